/** `vfio show`: all that there is to know of one device. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const database = `1234  Technical Corp.
	11e8  Virtual Device
		1af4 1100  Emulated
1af4  Red Hat, Inc.
1b36  Red Hat, Inc.
	0010  QEMU NVM Express Controller
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection
C 00  Unclassified device
C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
	00  Ethernet controller
`;
const there = '/sys/devices/pci0000:00';
const files = { '/usr/share/misc/pci.ids': database };
const machine: MachineDescription = {
  files,
  devices: [
    { model: 'nvme', address: '0000:00:03.0', group: 2 },
    { model: 'edu', address: '0000:00:04.0', group: 1, driver: null },
    { model: 'e1000e', address: '0000:01:00.0', group: 5, driver: 'e1000e', hostDriver: 'e1000e' },
  ],
};
const having = (planted: NonNullable<MachineDescription['files']>): MachineDescription => ({ ...machine, files: { ...files, ...planted } });
const show = (address: string, ...more: string[]): Promise<string> => vfio(['show', address, ...more], { machine }).then(({ out }) => out);
const showPlanted = async (address: string, planted: NonNullable<MachineDescription['files']>): Promise<string> =>
  (await vfio(['show', address], { machine: having(planted) })).out;

describe('vfio show', () => {
  it('says what the device is, as lspci has it', async () => {
    const { status, out, err } = await vfio(['show', '00:03.0'], { machine });
    expect([status, err]).toEqual([0, '']);
    expect(out).toContain(
      '0000:00:03.0 Non-Volatile memory controller [0108]: Red Hat, Inc. QEMU NVM Express Controller [1b36:0010] (rev 02) (prog-if 02 [NVM Express])\n' +
        '  Subsystem: Red Hat, Inc. Device [1af4:1100]\n' +
        '  VFIO: ready\n' +
        '  Kernel driver in use: vfio-pci\n',
    );
    expect(out).toMatch(/\n {2}IOMMU group: 2\n {2}Power state: D3hot\n {2}Reset methods: flr\n {2}Interrupt: pin A routed to IRQ 11\n/);
    expect(out).toMatch(/\n {2}Region 0: Memory at [0-9a-f]{8} \(64-bit, non-prefetchable\) \[size=16K\]\n/);
    expect(out).toMatch(/\n {2}Control: I\/O\+ Mem\+ BusMaster- .*\n {2}Status: Cap\+ /);
    expect(out).not.toContain('Through VFIO');
  });

  it('names subsystems, and says the numbers of what has no name', async () => {
    expect(await show('00:04.0')).toMatch(
      /^0000:00:04\.0 Unclassified device \[00ff\]: Technical Corp\. Virtual Device \[1234:11e8\] \(rev 10\)\n {2}Subsystem: Red Hat, Inc\. Emulated \[1af4:1100\]\n {2}VFIO: needs vfio-pci\n/,
    );
    const nameless = await showPlanted('00:04.0', { '/usr/share/misc/pci.ids': '' });
    expect(nameless).toMatch(/^0000:00:04\.0 Class \[00ff\]: Device \[1234:11e8\] \(rev 10\)\n {2}Subsystem: Device \[1af4:1100\]\n/);
  });

  it('shows the link, the ROM, ports, and the driver with the one that overrides it', async () => {
    const out = await show('01:00.0');
    expect(out).toContain('  Link: 2.5 GT/s PCIe x1, of 2.5 GT/s PCIe x1\n');
    expect(out).toMatch(/ {2}Region 2: I\/O ports at [0-9a-f]{4} \[size=32\]\n/);
    expect(out).toMatch(/ {2}Expansion ROM at [0-9a-f]{8} \[disabled\] \[size=256K\]\n/);
    expect(out).toContain('  Reset methods: pm, bus\n');
    expect(out).not.toContain('override');
    expect(await showPlanted('00:04.0', { [`${there}/0000:00:04.0/driver_override`]: 'vfio-pci\n' })).toContain(
      '  Driver override: vfio-pci\n',
    );
    expect(await show('00:04.0')).toContain('  Reset methods: none\n');
  });

  it('shows what is only on some machines', async () => {
    const path = `${there}/0000:00:03.0`;
    const out = await showPlanted('00:03.0', {
      [`${path}/numa_node`]: '1\n',
      [`${path}/sriov_totalvfs`]: '8\n',
      [`${path}/sriov_numvfs`]: '1\n',
      [`${path}/virtfn0`]: { link: '../0000:00:03.1' },
      [`${path}/physfn`]: { link: '../0000:00:02.0' },
      [`${path}/msi_irqs/41`]: 'msix\n',
      [`${path}/msi_irqs/9`]: 'msix\n',
    });
    for (const line of [
      'NUMA node: 1',
      'Physical function: 0000:00:02.0',
      'Virtual functions: 1 of 8: 0000:00:03.1',
      'MSI-X in use: IRQ 9, 41',
    ])
      expect(out).toContain(`  ${line}\n`);
  });

  it('shows BARs without an address, out of use, and of another address than the device has', async () => {
    const path = `${there}/0000:01:00.0`;
    const space = new Uint8Array(64);
    const line = (start: string, last: string, flags: string): string => `${start} ${last} ${flags}\n`;
    const out = await showPlanted('01:00.0', {
      // Command register of 0, and BAR 0 of 0.
      [`${path}/config`]: String.fromCharCode(...space),
      [`${path}/resource`]: [
        line('0x1000000000', '0x10000fffff', '0x14220c'),
        line('0x0', '0xff', '0x40101'),
        line('0xe000', '0xe01f', '0x40101'),
        ...Array<string>(10).fill(line('0x0', '0x0', '0x0')),
      ].join(''),
    });
    expect(out).toContain('  Region 0: Memory at 1000000000 (64-bit, prefetchable) [virtual] [size=1M]\n');
    expect(out).toContain('  Region 1: I/O ports at <unassigned> [disabled] [size=256]\n');
  });

  it('names the modules that would take it', async () => {
    const out = await showPlanted('01:00.0', {
      '/proc/sys/kernel/osrelease': '6.12.1\n',
      '/lib/modules/6.12.1/modules.alias': [
        '# Aliases extracted from modules themselves.',
        'alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e',
        'alias pci:v00008086d000010D4sv*sd*bc*sc*i* other',
        'alias pci:v*d*sv*sd*bc02sc0[0-3]i* ether_class',
        'alias pci:v*d*sv*sd*bc01sc*i* storage_class',
        'alias usb:v8086p10D3d* usb_one',
      ].join('\n'),
    });
    expect(out).toContain('  Kernel modules: e1000e, ether_class\n');
  });

  it('says what images a ROM holds, where it can be read', async () => {
    const { json } = await vfio(['show', '01:00.0', '--json'], { machine });
    expect(json).toMatchObject({ rom: {} });
    expect((json as { rom: object }).rom).not.toHaveProperty('images');
  });

  it('has all of it for programs', async () => {
    expect((await vfio(['show', '00:03.0', '--json'], { machine })).json).toMatchObject({
      address: '0000:00:03.0',
      vendor: 0x1b36,
      names: { class: 'Non-Volatile memory controller', interface: 'NVM Express', subsystemVendor: 'Red Hat, Inc.' },
      readiness: { state: 'ready' },
      place: ['pci0000:00', '0000:00:03.0'],
      resetMethods: ['flr'],
      resources: [{ name: '0', kind: 'memory', size: '0x4000', wide: true, prefetchable: false }],
      config: { size: 4096, header: { vendor: 0x1b36 } },
    });
  });

  it('shows to others than root what the kernel shows them, and says so', async () => {
    const { status, out, err } = await vfio(['show', '00:03.0'], { machine: { ...machine, user: 1000 } });
    expect([status, err]).toEqual([0, 'vfio: capabilities are missing, as the kernel shows them to root alone\n']);
    expect(out).toContain('  Capabilities: <access denied>');
  });

  it.each([
    [['show'], 2, "missing required argument 'address'"],
    [['show', '0'], 2, 'Expected a PCI address'],
    [['show', '0000:00:09.0'], 1, "ENOENT: no such file or directory, access '/sys/bus/pci/devices/0000:00:09.0'"],
    [['show', '00:03.0', '--hex', '--open'], 2, 'Expected one of --open, --hex at a time'],
    [['show', '00:03.0', '--diff', '/nowhere'], 1, 'ENOENT'],
    [['show', '00:03.0', '--save', '/nowhere/there'], 1, 'ENOENT'],
  ])('%s is an error', async (args, wanted, words) => {
    const { status, out, err } = await vfio(args, { machine });
    expect([status, out]).toEqual([wanted, '']);
    expect(err).toContain(words);
  });

  it('says of a configuration space that is none what is wrong', async () => {
    const { status, err } = await vfio(['show', '00:03.0'], { machine: having({ [`${there}/0000:00:03.0/config`]: 'short' }) });
    expect([status, err]).toEqual([1, 'vfio: /sys/bus/pci/devices/0000:00:03.0/config has 5 bytes, and not 4096, 256, 64\n']);
  });
});

describe('vfio show --open', () => {
  it('shows regions, interrupts, features and IOVAs', async () => {
    const { status, out } = await vfio(['show', '00:03.0', '--open'], { machine });
    expect(status).toBe(0);
    for (const line of [
      '  Through VFIO, by its node: it can be reset',
      '    Region 0, BAR 0: 16K, readable, writable, mappable, with the MSI-X table',
      '    Region 7, configuration space: 4K, readable, writable',
      '    Interrupt 0, INTx: 1, eventfd, maskable, automasked',
      '    Interrupt 2, MSI-X: 65, eventfd',
      '    Feature low power entry: set',
      '    Hot reset: its bus cannot be reset',
      '    IOVAs: 0x0 to 0xfedfffff, 0xfef00000 to 0x7fffffffff',
      '    Pages: 4K',
    ])
      expect(out.split('\n')).toContain(line);
  });

  it('leaves out what a conventional device does not have', async () => {
    const { status, out } = await vfio(['show', '00:03.0', '--open'], { machine: { kernel: '6.12', devices: [{ model: 'edu' }] } });
    expect(status).toBe(0);
    expect(out.match(/^ {4}Interrupt .*$/gm)).toEqual([
      '    Interrupt 0, INTx: 1, eventfd, maskable, automasked',
      '    Interrupt 1, MSI: 1, eventfd, fixed count',
      '    Interrupt 4, requests: 1, eventfd, fixed count',
    ]);
  });

  it('has it for programs', async () => {
    const { json } = await vfio(['show', '00:03.0', '--open', '--json'], { machine });
    expect(json).toMatchObject({
      opened: {
        way: 'node',
        info: { isPci: true, resettable: true },
        interrupts: expect.arrayContaining([expect.objectContaining({ index: 2, count: 65 })]) as unknown,
        features: { 'low power entry': ['set'] },
        pageSizes: ['0x1000'],
      },
    });
  });

  it('says why it does not open, and goes on', async () => {
    const { status, out } = await vfio(['show', '00:04.0', '--open'], { machine });
    expect(status).toBe(1);
    expect(out).toContain('0000:00:04.0 Unclassified device');
    expect(out).toMatch(/\n {2}Through VFIO: it does not open: Device 0000:00:04\.0 has no driver\. Bind it/);
  });

  it('does not open a device without an IOMMU', async () => {
    const unsafe: MachineDescription = { files, iommu: 'none', unsafeNoIommu: true, devices: [{ model: 'edu' }] };
    const { status, out } = await vfio(['show', '00:03.0', '--open'], { machine: unsafe });
    expect(status).toBe(1);
    expect(out).toContain('Through VFIO: it does not open: Device 0000:00:03.0 has no IOMMU');
  });

  it('opens by the group where there are no nodes', async () => {
    const { out } = await vfio(['show', '00:03.0', '--open'], { machine: { ...machine, kernel: '6.1' } });
    expect(out).toContain('  Through VFIO, by its group: it can be reset\n');
  });
});

describe("a group's mates", () => {
  /** Configuration space of those bytes, all below 0x80: planted files are texts. */
  const space = (at: Readonly<Record<number, number>>, size = 256): string => {
    const bytes = new Uint8Array(size);
    for (const [offset, value] of Object.entries(at)) bytes[Number(offset)] = value;
    return String.fromCharCode(...bytes);
  };
  const express = (type: number, more: Readonly<Record<number, number>> = {}, size = 4096): string =>
    space({ 0x06: 0x10, 0x34: 0x40, 0x40: 0x10, 0x42: type << 4, ...more }, size);
  const accessControl = (control: number): Record<number, number> => ({ 0x100: 0x0d, 0x102: 1, 0x104: 0x1d, 0x106: control });
  const [one, other, port] = ['0000:00:03.0', '0000:00:04.0', '0000:00:1c.0'];

  const mates = async (planted: NonNullable<MachineDescription['files']>, together = machineOf()): Promise<string[]> => {
    const { out, err } = await vfio(['show', '00:03.0'], { machine: { ...together, files: { ...files, ...planted } } });
    expect(err).toBe('');
    return out.split('\n').filter((line) => line.startsWith('    with '));
  };
  const machineOf = (second = other): MachineDescription => ({
    devices: [one, second, port].map((address) => ({ model: 'edu' as const, address, group: address === port ? 9 : 1, driver: null })),
  });
  const behind = (address: string): NonNullable<MachineDescription['files']> => ({
    [`/sys/bus/pci/devices/${address}`]: { link: `../../../devices/pci0000:00/${port}/${address}` },
    [`${there}/${port}/${address}`]: { link: `../${address}` },
  });

  it.each([
    ['off', express(4, accessControl(0))],
    ['absent', express(4)],
    ['in part', express(4, accessControl(0x0d))],
  ])('a port above both whose access control is %s', async (_how, config) => {
    const planted = { ...behind(one), ...behind(other), [`${there}/${port}/config`]: config };
    expect(await mates(planted)).toEqual([
      `    with ${other} (no driver): port ${port} lacks the access control (ACS) that would keep them apart`,
    ]);
  });

  it('nothing that is seen, where the port has all of it', async () => {
    const planted = { ...behind(one), ...behind(other), [`${there}/${port}/config`]: express(4, accessControl(0x1d)) };
    expect(await mates(planted)).toEqual([
      `    with ${other} (no driver): why, the kernel does not show: firmware, or its list of exceptions`,
    ]);
  });

  it.each([
    ['a bridge of PCI', space({})],
    ['one from PCI Express', express(7)],
  ])('%s above both', async (_what, config) => {
    const planted = { ...behind(one), ...behind(other), [`${there}/${port}/config`]: config };
    expect(await mates(planted)).toEqual([
      `    with ${other} (no driver): behind ${port}, a bridge to a bus on which the IOMMU takes all devices for one`,
    ]);
  });

  it('a port that is a mate itself', async () => {
    const together: MachineDescription = {
      devices: [one, port].map((address) => ({ model: 'edu' as const, address, group: 1, driver: address === port ? 'pcieport' : null })),
    };
    const planted = { ...behind(one), [`${there}/${port}/config`]: express(4) };
    expect(await mates(planted, together)).toEqual([
      `    with ${port} (pcieport): port ${port} lacks the access control (ACS) that would keep them apart`,
    ]);
  });

  it('functions of one device', async () => {
    const second = '0000:00:03.1';
    const planted = {
      [`${there}/${one}/config`]: express(0),
      [`${there}/${second}/config`]: space({}),
    };
    expect(await mates(planted, machineOf(second))).toEqual([
      `    with ${second} (no driver): a function of the same device, and ${second} lacks the access control (ACS) that would keep them apart`,
    ]);
  });

  it('devices that are not of PCI', async () => {
    const planted = { '/sys/kernel/iommu_groups/1/devices/serial8250': { link: '../../../../devices/platform/serial8250' } };
    const lines = await mates(planted);
    expect(lines.at(-1)).toBe('    with serial8250 (no driver): why, the kernel does not show: firmware, or its list of exceptions');
  });

  it('what is not shown to others than root', async () => {
    const { out } = await vfio(['show', '00:03.0'], { machine: { ...machineOf(), files, user: 1000 } });
    expect(out).toContain(`    with ${other} (no driver): why, root can see: the capabilities that say so are not shown to others\n`);
  });
});

describe('bytes', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vfio-show-'));
    file = join(folder, 'saved.txt');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('--hex shows them with their offsets', async () => {
    const out = await show('00:04.0', '--hex');
    expect(out.split('\n').slice(0, 3)).toEqual([
      ...['0000:00:04.0 configuration space', '00: 34 12 e8 11 03 01 10 00 10 00 ff 00 00 00 00 00', expect.stringMatching(/^10: 00 00 /)],
    ]);
    expect((await show('00:03.0', '--hex')).split('\n').at(-2)).toMatch(/^ff0: (00 ?){16}$/);
    expect((await vfio(['show', '00:04.0', '--hex', '--json'], { machine })).json).toMatchObject({
      address: '0000:00:04.0',
      bytes: expect.stringMatching(/^3412e811[0-9a-f]{504}$/) as unknown,
    });
  });

  it('--save writes them as they are shown, and --diff finds them the same', async () => {
    expect(await show('00:03.0', '--save', file)).toBe(`4096 bytes of 0000:00:03.0 are saved in ${file}\n`);
    expect(readFileSync(file, 'utf8')).toBe(`${await show('00:03.0', '--hex')}\n`);
    expect(await vfio(['show', '00:03.0', '--diff', file], { machine })).toMatchObject({ status: 0, out: 'no difference in 4096 bytes\n' });
  });

  it('--diff says what is otherwise, by names and bytes', async () => {
    await show('00:04.0', '--save', file);
    writeFileSync(file, readFileSync(file, 'utf8').replace('00: 34 12 e8 11 03', '00: 34 12 e8 11 06'));
    const { status, out } = await vfio(['show', '00:04.0', '--diff', file], { machine });
    expect(status).toBe(1);
    expect(out).toBe('header.command.ioSpace: false -> true\nheader.command.busMaster: true -> false\n004: 06 -> 03\n');
    expect((await vfio(['show', '00:04.0', '--diff', file, '--json'], { machine })).json).toEqual({
      fields: [
        { name: 'header.command.ioSpace', before: false, now: true },
        { name: 'header.command.busMaster', before: true, now: false },
      ],
      bytes: [{ offset: 4, before: 6, now: 3 }],
      compared: 256,
    });
  });

  it('--diff compares what both have', async () => {
    await show('00:03.0', '--save', file);
    const { status, out, err } = await vfio(['show', '00:03.0', '--diff', file], { machine: { ...machine, user: 1000 } });
    expect([status, out]).toEqual([0, 'no difference in 64 bytes\n']);
    expect(err).toBe(`vfio: ${file} has 4096 bytes and the device shows 64: those that both have are compared\n`);
  });

  it('--diff reads what lspci writes of several devices, with short addresses', async () => {
    await show('00:04.0', '--save', file);
    const own = readFileSync(file, 'utf8').replace(
      '0000:00:04.0 configuration space',
      '00:04.0 Unclassified device [00ff]: Device 1234:11e8 (rev 10)',
    );
    writeFileSync(file, `00:00.0 Host bridge: something\n00: 86 80 c0 29\n\n${own}`);
    expect((await vfio(['show', '00:04.0', '--diff', file], { machine })).status).toBe(0);
  });

  it.each([
    ['', 'has no configuration space of 0000:00:04.0, as --save and lspci -xxxx write it'],
    ['00:05.0 x\n00: 00\n', 'has no configuration space of 0000:00:04.0'],
    ['00:04.0 x\n00: 34 12\n', 'has 2 bytes of 0000:00:04.0, and not 64, 256, 4096'],
    ['00:04.0 x\n00: 34 12\n10: 00\n', 'has no byte 02 of 0000:00:04.0 where it should be'],
  ])('--diff refuses %j', async (text, words) => {
    writeFileSync(file, text);
    const { status, out, err } = await vfio(['show', '00:04.0', '--diff', file], { machine });
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(`${file} ${words}`);
  });
});
