/** Faults that are planted on simulated machines, and what `vfio doctor` says of them; on healthy ones it is silent. */
import { describe, expect, it } from 'vitest';
import { checkIds, type Diagnosis } from '../../lib/diagnosis/diagnose.js';
import type { MachineDescription } from '../../lib/sim/machine-description.js';
import { vfio } from './support.js';

const address = '0000:00:03.0';
const device = `/sys/devices/pci0000:00/${address}`;
const healthy: MachineDescription = { devices: [{ model: 'edu' }] };
const type1 = '/sys/module/vfio_iommu_type1/parameters';
const [group, node] = ['/dev/vfio/0', '/dev/vfio/devices/vfio0'];

interface Fault {
  readonly machine: MachineDescription;
  readonly args?: readonly string[];
  /** All that is found, each as 'severity check', by the order of the checks. */
  readonly found: readonly string[];
  /** Words of the evidence and of the way to mend it. */
  readonly says: readonly (string | RegExp)[];
}

const with1000 = (more: MachineDescription): MachineDescription => ({ ...healthy, user: 1000, ...more });
const planted = (files: Readonly<Record<string, string | null>>, more: MachineDescription = {}): MachineDescription => ({
  ...healthy,
  ...more,
  files,
});

const faults: Readonly<Record<string, Fault>> = {
  'no IOMMU': {
    machine: { iommu: 'none', devices: [{ model: 'edu', driver: null }] },
    found: ['failure iommu-active'],
    says: ['/sys/class/iommu = (empty)', '/sys/kernel/iommu_groups = (empty)', 'firmware', 'intel_iommu=on'],
  },
  'no IOMMU, and a device that is asked about': {
    machine: { iommu: 'none', devices: [{ model: 'edu', driver: null }] },
    args: [address],
    found: ['failure iommu-active', 'failure no-iommu-group', 'failure not-bound'],
    says: [`/sys/bus/pci/devices/${address}/iommu_group = (none)`, `npx vfio bind ${address}`],
  },
  'a guest without an IOMMU': {
    machine: { iommu: 'none', files: { '/proc/cpuinfo': 'flags\t\t: fpu hypervisor sse2\n' } },
    found: ['failure iommu-active', 'note vm-guest'],
    says: ['# See vm-guest', '-device intel-iommu'],
  },
  'an IOMMU that the command line turns off': {
    machine: { iommu: 'none', files: { '/proc/cmdline': 'root=/dev/sda ro intel_iommu=off quiet\n' } },
    found: ['failure iommu-active', 'failure kernel-options'],
    says: ['/proc/cmdline = root=/dev/sda ro intel_iommu=off quiet', "sed -i 's/ *intel_iommu=off//'"],
  },
  'a value that the AMD driver does not know': {
    machine: { iommu: 'none', files: { '/proc/cmdline': 'amd_iommu=on\n' } },
    found: ['failure iommu-active', 'failure kernel-options'],
    says: ["sed -i 's/ *amd_iommu=on//'"],
  },
  'interrupts that are not remapped': {
    machine: { ...healthy, iommu: 'virtio' },
    found: ['failure intr-remap'],
    says: ['IO-APIC, and no IR-IO-APIC', `${type1}/allow_unsafe_interrupts = N`, 'firmware', 'trusted as root is'],
  },
  'unsafe interrupts': {
    machine: { ...healthy, iommu: 'virtio', allowUnsafeInterrupts: true },
    found: ['warning unsafe-interrupts'],
    says: [`${type1}/allow_unsafe_interrupts = Y`, `echo N | sudo tee ${type1}/allow_unsafe_interrupts`],
  },
  'unsafe interrupts of iommufd': {
    machine: planted({ '/sys/module/iommufd/parameters/allow_unsafe_interrupts': 'Y\n' }),
    found: ['warning unsafe-interrupts'],
    says: ['echo N | sudo tee /sys/module/iommufd/parameters/allow_unsafe_interrupts'],
  },
  'memory of the firmware': {
    machine: planted({
      '/sys/kernel/iommu_groups/0/reserved_regions':
        '0x0000000000000000 0x0000000000ffffff direct-relaxable\n0x00000000bdf6e000 0x00000000bdf84fff direct\n',
    }),
    found: ['failure rmrr'],
    says: ['0x00000000bdf6e000 0x00000000bdf84fff direct', address],
  },
  'a narrow IOMMU': {
    machine: planted({ '/sys/class/iommu/dmar0/intel-iommu/cap': 'd2008c221f0286\n' }),
    found: ['warning iommu-width'],
    says: ['(32 bits)'],
  },
  'groups that are split by force': {
    machine: planted({ '/proc/cmdline': 'ro pcie_acs_override=downstream,multifunction\n' }),
    found: ['warning acs-override'],
    says: ["sed -i 's/ *pcie_acs_override=downstream,multifunction//'"],
  },
  'no vfio-pci': {
    machine: { devices: [{ model: 'edu', driver: null }], files: { '/sys/bus/pci/drivers/vfio-pci': null } },
    found: ['failure vfio-module'],
    says: ['$ sudo modprobe vfio-pci'],
  },
  'no type 1 and no iommufd': {
    machine: planted({ '/sys/module/vfio_iommu_type1': null }, { kernel: '6.1' }),
    found: ['failure type1-module', 'note iommufd', 'note cdev'],
    says: ['$ sudo modprobe vfio_iommu_type1'],
  },
  'an old kernel': {
    machine: { ...healthy, kernel: '6.1' },
    found: ['note iommufd', 'note cdev'],
    says: ['/dev/iommu = (none)', '6.1.0', 'newer kernel'],
  },
  'iommufd not loaded': {
    machine: planted({ '/sys/module/iommufd': null, '/dev/iommu': null, '/sys/class/misc/iommu': null }),
    found: ['note iommufd'],
    says: ['$ sudo modprobe iommufd'],
  },
  'few mappings': {
    machine: { ...healthy, dmaEntryLimit: 100 },
    found: ['warning dma-entry-limit'],
    says: [`${type1}/dma_entry_limit = 100`, `echo 65535 | sudo tee ${type1}/dma_entry_limit`],
  },
  'interrupt lines that nothing masks': {
    machine: planted({ '/sys/module/vfio_pci/parameters/nointxmask': 'Y\n' }),
    found: ['warning intx'],
    says: ['echo N | sudo tee /sys/module/vfio_pci/parameters/nointxmask'],
  },
  'a device that vfio-pci refuses': {
    machine: planted({ [`${device}/vendor`]: '0x8086\n', [`${device}/device`]: '0x37c8\n' }),
    found: ['failure denylist'],
    says: ['= 0x37c8', 'disable_denylist = N'],
  },
  'no-IOMMU mode': {
    machine: { ...healthy, iommu: 'none', unsafeNoIommu: true },
    found: ['failure iommu-active', 'failure no-iommu-group', 'warning noiommu'],
    says: ['enable_unsafe_noiommu_mode = Y', `echo ${address} | sudo tee /sys/bus/pci/drivers/vfio-pci/unbind`, 'made by vfio'],
    args: [address, '--check', 'iommu-active', 'no-iommu-group', 'noiommu'],
  },
  'no-IOMMU mode with an IOMMU': {
    machine: { ...healthy, unsafeNoIommu: true },
    found: ['warning noiommu'],
    says: ['echo N | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode'],
  },
  'no-IOMMU mode without the capability': {
    machine: { ...healthy, iommu: 'none', unsafeNoIommu: true, rawIo: false },
    found: ['failure iommu-active', 'warning noiommu', 'failure raw-io'],
    says: ['without cap_sys_rawio', 'setcap cap_sys_rawio+ep'],
  },
  'no huge pages where there is no IOMMU': {
    machine: {
      ...{ ...healthy, iommu: 'none', unsafeNoIommu: true },
      files: Object.fromEntries(
        ['1048576', '2048'].flatMap((size) =>
          ['nr', 'free'].map((what) => [`/sys/kernel/mm/hugepages/hugepages-${size}kB/${what}_hugepages`, '0\n']),
        ),
      ),
    },
    found: ['failure iommu-active', 'warning noiommu', 'warning hugepages'],
    says: ['0 reserved, 0 free', 'echo 512 | sudo tee /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'],
  },
  'huge pages that are all in use': {
    machine: planted({
      '/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages': '0\n',
      '/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages': '0\n',
    }),
    found: ['warning hugepages'],
    says: ['512 reserved, 0 free', 'echo 1024 | sudo tee'],
  },
  lockdown: {
    machine: planted({ '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n' }),
    found: ['note lockdown'],
    says: ['none [integrity] confidentiality', 'vfio read'],
  },
  'a driver that was faster at boot': {
    machine: {
      devices: [{ model: 'nvme', driver: 'nvme', hostDriver: 'nvme' }],
      files: { '/proc/cmdline': 'vfio-pci.ids=10de:1234,1b36:0010\n' },
    },
    found: ['warning boot-bind'],
    says: ['vfio-pci.ids=10de:1234,1b36:0010', `npx vfio bind ${address} --persistent`],
  },
  'a volume management device': {
    machine: planted(
      { '/sys/devices/pci0000:00/0000:00:04.0/vendor': '0x8086\n', '/sys/devices/pci0000:00/0000:00:04.0/device': '0x9a0b\n' },
      {
        devices: [{ model: 'edu' }, { model: 'edu', driver: null }],
      },
    ),
    found: ['note vmd'],
    says: ['0000:00:04.0', 'firmware'],
  },
  'a group with a host driver': {
    machine: {
      devices: [
        { model: 'edu', group: 1 },
        { model: 'nvme', group: 1, driver: 'nvme', hostDriver: 'nvme' },
        { model: 'edu', group: 1, driver: null },
      ],
    },
    found: ['failure group-viable'],
    says: [
      `/sys/bus/pci/devices/${address}/driver = vfio-pci`,
      '/sys/bus/pci/devices/0000:00:04.0/driver = nvme, in the way',
      '/sys/bus/pci/devices/0000:00:05.0/driver = (none)',
      '$ npx vfio bind 0000:00:04.0',
    ],
  },
  'a group with a device of another bus': {
    machine: {
      devices: [{ model: 'edu', group: 1 }],
      files: {
        '/sys/kernel/iommu_groups/1/devices/serial8250': { link: '../../../../devices/platform/serial8250' },
        '/sys/devices/platform/serial8250/driver': { link: '../../../bus/platform/drivers/serial8250' },
      },
    },
    found: ['failure group-viable'],
    says: [
      '/sys/kernel/iommu_groups/1/devices/serial8250/driver = serial8250, in the way',
      '$ echo serial8250 | sudo tee /sys/kernel/iommu_groups/1/devices/serial8250/driver/unbind',
    ],
  },
  'a group of several slots, of one of which is asked': {
    machine: {
      devices: [
        { model: 'nvme', group: 1 },
        { model: 'nvme', group: 1 },
      ],
    },
    args: [address, '--check', 'acs'],
    found: ['note acs'],
    says: ['/sys/kernel/iommu_groups/1/devices = 0000:00:04.0'],
  },
  'an override that nobody follows': {
    machine: planted({ [`${device}/driver_override`]: 'vfio-pci\n' }, { devices: [{ model: 'nvme', driver: 'nvme', hostDriver: 'nvme' }] }),
    found: ['warning stale-override'],
    says: [`echo | sudo tee /sys/bus/pci/devices/${address}/driver_override`, 'drivers_probe'],
  },
  'a device without a driver': {
    machine: { devices: [{ model: 'edu', driver: null }] },
    args: [address],
    found: ['failure not-bound'],
    says: [`/sys/bus/pci/devices/${address}/driver = (none)`, `$ npx vfio bind ${address}`],
  },
  'a device with a host driver': {
    machine: { devices: [{ model: 'nvme', driver: 'nvme', hostDriver: 'nvme' }] },
    args: [address],
    found: ['failure not-bound'],
    says: [`/sys/bus/pci/devices/${address}/driver = nvme`],
  },
  'a bridge': {
    machine: planted({ [`${device}/class`]: '0x060400\n' }, { devices: [{ model: 'edu', driver: null }] }),
    args: [address],
    found: ['failure bridge'],
    says: ['0x060400', 'vfio list --tree'],
  },
  'a virtual function': {
    machine: { devices: [{ model: 'nvme' }, { model: 'nvme', physicalFunction: address }] },
    args: ['0000:00:04.0', '--check', 'vf-token'],
    found: ['note vf-token'],
    says: [`/sys/bus/pci/devices/0000:00:04.0/physfn = ${address}`, 'vfToken'],
  },
  'nodes of another user': {
    machine: with1000({}),
    found: ['failure node-access'],
    says: [
      `${group} = mode 0600, user 0, group 0`,
      `${node} = mode 0600`,
      'user 1000, groups 1000',
      `sudo chown "$USER" ${group} ${node}`,
      'udev',
    ],
  },
  'little memory to be locked': {
    machine: { ...healthy, lockedMemoryLimit: 8 << 20 },
    found: ['warning memlock'],
    says: ['Max locked memory 8388608 bytes', 'LimitMEMLOCK=infinity', '--ulimit memlock=-1'],
  },
  'a container that is not there': {
    machine: planted({ '/dev/vfio/vfio': null }),
    found: ['failure missing-node'],
    says: ['/dev/vfio/vfio = (none)', 'mknod -m 600 /dev/vfio/vfio c 10 196'],
  },
  'a group without a node': {
    machine: planted({ [group]: null }),
    found: ['failure missing-node'],
    says: [`${group} = (none)`, '/sys/class/vfio/0/dev = 510:0', `docker run --device ${group}`],
  },
  'a device without its node': {
    machine: planted({ [node]: null }),
    found: ['failure missing-node'],
    says: [`mknod -m 600 ${node} c 511 0`],
  },
  'something else in the place of a node': {
    machine: planted({ [group]: 'text\n' }),
    found: ['failure stale-node'],
    says: [`${group} = not a device`, `sudo rm ${group} && sudo mknod`],
  },
  'a node of another device': {
    machine: planted({ '/sys/class/vfio/0/dev': '510:7\n' }),
    found: ['failure stale-node'],
    says: [`${group} = 510:0`, '/sys/class/vfio/0/dev = 510:7', 'c 510 7'],
  },
  'faults in the log of the kernel': {
    machine: planted({
      '/dev/kmsg':
        'DMAR: DRHD: handling fault status reg 2\n' +
        `DMAR: [DMA Read NO_PASID] Request device [00:03.0] fault addr 0x1000 [fault reason 0x06] PTE Read access is not set\n` +
        'DMAR: [DMA Read NO_PASID] Request device [00:07.0] fault addr 0x1000\n',
    }),
    found: ['warning dma-faults'],
    says: ['Request device [00:03.0] fault addr 0x1000'],
  },
};

const summary = ({ findings }: Diagnosis): string[] => findings.map(({ severity, check }) => `${severity} ${check}`);

describe('doctor finds', () => {
  it.each(Object.entries(faults))('%s', async (_name, { machine, args = [], found, says }) => {
    const { status, json } = await vfio(['doctor', ...args, '--json'], { machine });
    expect(summary(json as Diagnosis)).toEqual(found);
    expect(status).toBe(found.some((each) => each.startsWith('failure')) ? 1 : 0);
    const { out } = await vfio(['doctor', ...args], { machine });
    for (const words of says)
      expect(out).toMatch(typeof words === 'string' ? new RegExp(words.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')) : words);
  });

  it('at least 30 faults, of as many kinds', () => {
    const ids = new Set(Object.values(faults).flatMap(({ found }) => found.map((each) => each.split(' ')[1])));
    expect(ids.size).toBeGreaterThanOrEqual(30);
  });
});

describe('doctor is silent', () => {
  it.each<[string, MachineDescription]>([
    ['on an Intel machine', healthy],
    ['on an AMD machine', { ...healthy, iommu: 'amd' }],
    ['on an ARM machine', { ...healthy, iommu: 'smmuv3' }],
    ['on a POWER machine', { ...healthy, iommu: 'spapr' }],
    ['on a kernel whose containers are of iommufd', { ...healthy, container: 'iommufd', kernel: '6.12' }],
    [
      'where VFIO has nothing',
      {
        devices: [
          { model: 'nvme', driver: 'nvme', hostDriver: 'nvme' },
          { model: 'edu', driver: null },
        ],
      },
    ],
    [
      'where a group has a device without a driver',
      {
        devices: [
          { model: 'edu', group: 1 },
          { model: 'edu', group: 1, driver: null },
        ],
      },
    ],
    ['for a user without devices', { devices: [], user: 1000 }],
  ])('%s', async (_name, machine) => {
    const { status, out, err } = await vfio(['doctor'], { machine });
    expect({ status, out, err }).toEqual({ status: 0, out: `${checkIds.length} checks, nothing found\n`, err: '' });
  });
});

describe('doctor', () => {
  it('runs the checks that are named', async () => {
    const { json } = await vfio(['doctor', '--check', 'memlock', 'hugepages', '--json'], { machine: healthy });
    expect(json).toEqual({ version: 1, checked: ['memlock', 'hugepages'], skipped: [], findings: [] });
  });

  it('says for programs what stands where', async () => {
    const { json } = await vfio(['doctor', '--json'], { machine: { ...healthy, dmaEntryLimit: 1 } });
    const file = `${type1}/dma_entry_limit`;
    expect((json as Diagnosis).findings).toEqual([
      {
        check: 'dma-entry-limit',
        severity: 'warning',
        finding: 'vfio_iommu_type1.dma_entry_limit is lower than usual',
        why: expect.stringContaining('ENOSPC') as string,
        evidence: [{ file, value: '1' }],
        fix: [`echo 65535 | sudo tee ${file}`],
      },
    ]);
  });

  it('ends with 1 for warnings too where it is strict', async () => {
    const machine = { ...healthy, dmaEntryLimit: 1 };
    expect([(await vfio(['doctor'], { machine })).status, (await vfio(['doctor', '--strict'], { machine })).status]).toEqual([0, 1]);
    expect((await vfio(['doctor', '--strict'], { machine: { ...healthy, kernel: '6.1' } })).status).toBe(0);
  });

  it('counts what it found, and what it could not look at', async () => {
    const machine = planted({ '/proc/interrupts': null, '/proc/cmdline': 'pcie_acs_override=downstream\n' }, { kernel: '6.1' });
    const { out } = await vfio(['doctor'], { machine });
    expect(out).toContain('\nSKIPPED intr-remap: there is no /proc/interrupts\n');
    expect(out.trimEnd().split('\n').at(-1)).toBe(`${checkIds.length - 1} checks, 1 warning, 2 notes, 1 skipped`);
  });

  it('names the checks', async () => {
    const { out, json } = await vfio(['doctor', '--list', '--json'], { machine: healthy });
    expect((json as { check: string }[]).map(({ check }) => check)).toEqual(checkIds);
    expect(out).toContain('"area": "IOMMU"');
    expect((await vfio(['doctor', '--list'], { machine: healthy })).out).toMatch(/^iommu-active +IOMMU +No IOMMU is at work$/m);
  });

  it.each([
    [['doctor', '--check', 'bogus'], 2, "Expected the name of a check for --check but received 'bogus'; --list names them"],
    [['doctor', 'bogus'], 2, "Expected a PCI address like '0000:01:00.0' for address but received 'bogus'"],
    [['doctor', '0000:00:1f.0'], 1, "ENOENT: no such file or directory, access '/sys/bus/pci/devices/0000:00:1f.0'"],
  ])('%s ends with %i', async (args, status, words) => {
    const said = await vfio(args, { machine: healthy });
    expect([said.status, said.out]).toEqual([status, '']);
    expect(said.err).toContain(words);
  });
});
