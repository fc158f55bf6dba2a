/** `vfio list`: devices by group, their names, and whether VFIO can have them. */
import { describe, expect, it } from 'vitest';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const database = `# comment
1234  Technical Corp.
# another
	11e8  QEMU Virtual Device
		1af4 1100  Emulated
1b36  Red Hat, Inc.
	000d  QEMU XHCI Host Controller
	0010  QEMU NVM Express Controller
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection

C 00  Unclassified device
	ff  Unclassified device
C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
	00  Ethernet controller
`;
const files = { '/usr/share/misc/pci.ids': database };

const machine: MachineDescription = {
  files,
  devices: [
    { model: 'nvme', address: '0000:00:03.0', group: 2, hostDriver: 'nvme' },
    { model: 'e1000e', address: '0000:01:00.0', group: 5, driver: 'e1000e', hostDriver: 'e1000e' },
    { model: 'edu', address: '0000:01:00.1', group: 5 },
    { model: 'edu', address: '0000:00:04.0', group: 1, driver: null },
  ],
};

describe('vfio list', () => {
  it('shows groups in their order, and of each device names, ids, driver and readiness', async () => {
    const { status, out, err } = await vfio(['list'], { machine });
    expect([status, err]).toEqual([0, '']);
    expect(out).toBe(`group 1
  0000:00:04.0  Unclassified device             Technical Corp. QEMU Virtual Device [1234:11e8]                  -         needs vfio-pci
group 2
  0000:00:03.0  Non-Volatile memory controller  Red Hat, Inc. QEMU NVM Express Controller [1b36:0010]            vfio-pci  ready
group 5
  0000:01:00.0  Ethernet controller             Intel Corporation 82574L Gigabit Network Connection [8086:10d3]  e1000e    needs vfio-pci
  0000:01:00.1  Unclassified device             Technical Corp. QEMU Virtual Device [1234:11e8]                  vfio-pci  group not viable: 0000:01:00.0 is with e1000e
`);
  });

  it('has all of it for programs', async () => {
    expect((await vfio(['list', '--json'], { machine })).json).toContainEqual({
      address: '0000:01:00.1',
      vendor: 0x1234,
      device: 0x11e8,
      classCode: 0xff00,
      driver: 'vfio-pci',
      node: '/dev/vfio/devices/vfio1',
      group: 5,
      noIommu: false,
      revision: 0x10,
      names: { class: 'Unclassified device', vendor: 'Technical Corp.', device: 'QEMU Virtual Device' },
      readiness: {
        state: 'group-not-viable',
        blockers: [{ name: '0000:01:00.0', driver: 'e1000e', harmless: false }],
        holders: [],
      },
    });
  });

  it('says who has a device or its group open', async () => {
    const holders = {
      '/proc/77/fd/3': { link: '/dev/vfio/2' },
      '/proc/77/comm': 'qemu-system-x86\n',
      '/proc/8/fd/12': { link: '/dev/vfio/devices/vfio0' },
      '/proc/9/fd/1': { link: '/dev/null' },
      // What a device was opened by, its group, need not be open any more. Linux 6.18.
      '/proc/10/fd/5': { link: 'anon_inode:[vfio-device]' },
      '/proc/10/fdinfo/5': 'vfio-device-syspath: /sys/devices/pci0000:00/0000:00:03.0\n',
    };
    const { out } = await vfio(['list', '0000:00:03.0'], { machine: { ...machine, files: { ...files, ...holders } } });
    expect(out).toContain('vfio-pci  in use by 8 (?), 10 (?), 77 (qemu-system-x86)\n');
  });

  it('says that a device has no group, and that one has no IOMMU over it', async () => {
    const unsafe: MachineDescription = {
      files,
      iommu: 'none',
      unsafeNoIommu: true,
      devices: [{ model: 'edu' }, { model: 'edu', driver: null }],
    };
    const { out } = await vfio(['list'], { machine: unsafe });
    expect(out).toMatch(/^group 0\n.*vfio-pci {2}ready, without an IOMMU\nno group\n.*-\s+no IOMMU group\n$/);
  });

  it('counts devices of other buses and other VFIO drivers in, and bridges out', async () => {
    const edu = '/sys/devices/pci0000:00/0000:00:04.0';
    const planted = {
      ...files,
      '/sys/kernel/iommu_groups/1/devices/serial8250': { link: '../../../../devices/platform/serial8250' },
      '/sys/devices/platform/serial8250/driver': { link: '../../../bus/platform/drivers/serial8250' },
      [`${edu}/driver`]: { link: '../../../bus/pci/drivers/edu_vfio_pci' },
      [`${edu}/vfio-dev/vfio9/dev`]: '511:9\n',
    };
    const one = await vfio(['list', '--group', '1'], { machine: { ...machine, files: planted } });
    expect(one.out).toContain('group not viable: serial8250 is with serial8250\n');
    const bridge = { ...files, '/sys/devices/pci0000:00/0000:01:00.0/class': '0x060400\n' };
    const other = await vfio(['list', '--group', '5'], { machine: { ...machine, files: bridge } });
    expect(other.out).toMatch(/0000:01:00\.0 .* bridge\n.*0000:01:00\.1 .* ready\n/);
  });

  it('shows NUMA nodes where there are several', async () => {
    const nodes = { ...files, '/sys/devices/pci0000:00/0000:00:03.0/numa_node': '1\n' };
    const { out } = await vfio(['list'], { machine: { ...machine, files: nodes } });
    expect(out).toMatch(/\[1b36:0010\] +node 1 +vfio-pci/);
    expect((await vfio(['list'], { machine })).out).not.toContain('node');
  });

  it.each([
    [['--class', 'nvme'], ['0000:00:03.0']],
    [['--class', 'NETWORK'], ['0000:01:00.0']],
    [['--class', 'non-volatile'], ['0000:00:03.0']],
    [['--class', 'mass storage'], ['0000:00:03.0']],
    [['--class', '0x02'], ['0000:01:00.0']],
    [['--class', '0x010802'], ['0000:00:03.0']],
    [['--vendor', '8086'], ['0000:01:00.0']],
    [['--vendor', '0x1B36'], ['0000:00:03.0']],
    [['--vendor', 'red hat'], ['0000:00:03.0']],
    [['--device', '82574'], ['0000:01:00.0']],
    [['--device', '0x11e8', '--driver', 'none'], ['0000:00:04.0']],
    [
      ['--driver', 'vfio-pci'],
      ['0000:00:03.0', '0000:01:00.1'],
    ],
    [
      ['--group', '5'],
      ['0000:01:00.0', '0000:01:00.1'],
    ],
    [
      ['1:00.1', '0000:00:03.0', '00:03.0'],
      ['0000:00:03.0', '0000:01:00.1'],
    ],
  ])('%s', async (args, addresses) => {
    const { json } = await vfio(['list', '--json', ...args], { machine });
    expect((json as { address: string }[]).map(({ address }) => address)).toEqual(addresses);
  });

  it('of nothing says so', async () => {
    expect(await vfio(['list', '--group', '9'], { machine })).toMatchObject({ status: 0, out: '', err: 'vfio: no such device\n' });
    expect((await vfio(['list', '--group', '9', '--json'], { machine })).json).toEqual([]);
  });

  it.each([
    [['--class', '0x1'], 2, "Expected a class like nvme, network, 0x01, 0x0108 or 0x010802 but received '0x1'"],
    [['--group', 'x'], 2, "Expected a number like 4096 or 0x1000 but received 'x'"],
    [['3:0'], 2, 'Expected a PCI address'],
    [['0000:09:00.0'], 1, "ENOENT: no such file or directory, access '/sys/bus/pci/devices/0000:09:00.0'"],
  ])('%s is an error', async (args, wanted, words) => {
    const { status, out, err } = await vfio(['list', ...args], { machine });
    expect([status, out]).toEqual([wanted, '']);
    expect(err).toContain(words);
  });

  it('has colours on a terminal alone', async () => {
    expect((await vfio(['list'], { machine, interactive: true })).out).toContain('\u001b[');
    expect((await vfio(['list'], { machine })).out).not.toContain('\u001b[');
  });
});

describe('vfio list --tree', () => {
  it('shows what is behind which bridge, and virtual functions below their physical one', async () => {
    const pci = '/sys/bus/pci/devices';
    const there = '/sys/devices/pci0000:00';
    const bridged: MachineDescription = {
      devices: [{ model: 'edu', address: '0000:00:1c.0' }, { model: 'nvme' }, { model: 'nvme' }, { model: 'edu' }],
      files: {
        ...files,
        [`${there}/0000:00:1c.0/class`]: '0x060400\n',
        [`${there}/0000:00:1c.0/secondary_bus_number`]: '1\n',
        [`${there}/0000:00:1c.0/subordinate_bus_number`]: '18\n',
        [`${pci}/0000:00:03.0`]: { link: '../../../devices/pci0000:00/0000:00:1c.0/0000:00:03.0' },
        [`${there}/0000:00:1c.0/0000:00:03.0`]: { link: '../0000:00:03.0' },
        [`${there}/0000:00:04.0/physfn`]: { link: '../0000:00:03.0' },
      },
    };
    const { out } = await vfio(['list', '--tree'], { machine: bridged });
    expect(out.split('\n').map((line) => line.replace(/ {2}.*/, ''))).toEqual([
      'pci0000:00',
      '├─ 0000:00:05.0',
      '└─ 0000:00:1c.0 [01-12]',
      '',
      '',
      '',
    ]);
    expect(out).toMatch(/\n {3}└─ 0000:00:03\.0 .*\n {6}└─ 0000:00:04\.0 .*\n$/);
  });
});
