/** Faults that are really planted in a machine of the lab, and what `vfio doctor` says of them; on a healthy one it is silent. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { PCI_COMMAND } from '../../lib/abi/pci.js';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_POPULATE, MAP_PRIVATE } from '../../lib/abi/system.js';
import { checkIds, type Diagnosis } from '../../lib/diagnosis/diagnose.js';
import { explain, findDevices, KernelError, native, openDevice, type OpenDevice, type PciDevice } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { vfio } from '../cli/support.js';
import { eduCopies } from '../support/edu-dma.js';
import { thrown } from '../support/thrown.js';

// All checks take seconds where the processor is emulated, and more where the host is busy.
vi.setConfig({ testTimeout: 120_000 });

const iommu = process.env['VFIO_LAB_IOMMU'];
const options = existsSync('/proc/cmdline') ? readFileSync('/proc/cmdline', 'utf8') : '';
const turnedOff = options.includes('intel_iommu=off');
const hasIommufd = existsSync('/dev/iommu');
const parameter = (module: string, name: string): string => `/sys/module/${module}/parameters/${name}`;
const type1 = (name: string): string => parameter('vfio_iommu_type1', name);

interface Run {
  readonly status: number;
  readonly found: readonly string[];
  readonly diagnosis: Diagnosis;
}

async function doctor(...args: string[]): Promise<Run> {
  const { status, err, json } = await vfio(['doctor', ...args, '--json']);
  expect(err).toBe('');
  const diagnosis = json as Diagnosis;
  return { status, diagnosis, found: diagnosis.findings.map(({ severity, check }) => `${severity} ${check}`) };
}

/** What a fault's machine has, each as 'severity check'. */
async function finds(...found: string[]): Promise<Diagnosis> {
  const run = await doctor();
  expect(run.found).toEqual(found);
  expect(run.status).toBe(found.some((each) => each.startsWith('failure')) ? 1 : 0);
  return run.diagnosis;
}

/** Sets a file for as long as the action takes. */
async function set(file: string, value: string, action: () => Promise<unknown>): Promise<void> {
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, value);
  try {
    await action();
  } finally {
    writeFileSync(file, before);
  }
}

/** Takes a node away, and puts it back with the numbers and mode that it had. */
async function without(node: string, action: () => Promise<unknown>): Promise<void> {
  const [mode = '', major = '', minor = ''] = execFileSync('stat', ['-c', '%a %t %T', node], { encoding: 'utf8' }).trim().split(' ');
  const make = ['-m', mode, node, 'c', String(Number.parseInt(major, 16)), String(Number.parseInt(minor, 16))];
  rmSync(node);
  try {
    await action();
  } finally {
    rmSync(node, { force: true });
    execFileSync('mknod', make);
  }
}

/** As another user would have it, without root's capabilities, while the action takes. */
async function asUser(user: number, action: () => Promise<unknown>): Promise<void> {
  process.setegid?.(user);
  process.seteuid?.(user);
  try {
    await action();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

const devices = (): PciDevice[] => findDevices(native());
const bound = (): PciDevice[] => devices().filter(({ driver }) => driver === 'vfio-pci');
const isEdu = ({ vendor, device }: PciDevice): boolean => vendor === 0x1234 && device === 0x11e8;
const bind = (address: string, driver: string): void => writeFileSync(`/sys/bus/pci/drivers/${driver}/bind`, address);
const unbind = (address: string): void => writeFileSync(`/sys/bus/pci/devices/${address}/driver/unbind`, address);

if (iommu === 'intel' && !turnedOff && hasIommufd)
  describe('doctor on an Intel machine', () => {
    /** Of the host driver that is in a group of VFIO's. */
    let mate: PciDevice | undefined;
    let edu: PciDevice;
    let group: string;
    let node: string;

    beforeAll(() => {
      const groups = bound().map((device) => device.group);
      mate = devices().find((device) => device.driver === 'virtio-pci' && groups.includes(device.group));
      if (mate !== undefined) unbind(mate.address);
      edu = bound().find((device) => isEdu(device) && device.group !== mate?.group)!;
      group = `/dev/vfio/${edu.group}`;
      node = edu.node!;
    });
    afterAll(() => {
      if (mate !== undefined) bind(mate.address, 'virtio-pci');
    });

    it('is silent while the machine is healthy, in words and for programs', async () => {
      expect(await vfio(['doctor'])).toMatchObject({ status: 0, out: `${checkIds.length} checks, nothing found\n`, err: '' });
      const { diagnosis } = await doctor();
      expect(diagnosis).toMatchObject({ checked: checkIds, skipped: [], findings: [] });
    });

    describe('finds', () => {
      it('a group with a host driver', async () => {
        bind(mate!.address, 'virtio-pci');
        try {
          const { findings } = await finds('failure group-viable');
          expect(findings[0]?.fix).toEqual([`npx vfio bind ${mate!.address}`]);
          expect(findings[0]?.evidence).toContainEqual({
            file: `/sys/bus/pci/devices/${mate!.address}/driver`,
            value: 'virtio-pci, in the way',
          });
        } finally {
          unbind(mate!.address);
        }
      });

      it('an override that nobody follows', () =>
        set(`/sys/bus/pci/devices/${mate!.address}/driver_override`, 'vfio-pci\n', async () => {
          await finds('warning stale-override');
        }).finally(() => writeFileSync(`/sys/bus/pci/devices/${mate!.address}/driver_override`, '\n')));

      it('a device without a driver, and one that shares its group with others', async () => {
        expect((await doctor(mate!.address)).found).toEqual(['note acs', 'failure not-bound']);
      });

      it('a bridge', async () => {
        const bridge = devices().find(({ classCode }) => classCode === 0x060400)!;
        expect((await doctor(bridge.address, '--check', 'bridge', 'not-bound')).found).toEqual(['failure bridge']);
      });

      it('a device without a reset', async () => {
        expect((await doctor(edu.address)).found).toEqual(['note reset-method']);
      });

      it("a user's lack of nodes, and of memory to be locked", () =>
        asUser(1000, () => finds(...bound().map(() => 'failure node-access'), 'warning memlock')));

      it('one node of two that a user has', async () => {
        for (const each of bound()) chownSync(`/dev/vfio/${each.group}`, 1000, 1000);
        try {
          await asUser(1000, () => finds(...bound().map(() => 'note node-access'), 'warning memlock'));
          for (const each of bound()) chownSync(each.node!, 1000, 1000);
          await asUser(1000, () => finds('warning memlock'));
        } finally {
          for (const each of bound()) for (const path of [each.node!, `/dev/vfio/${each.group}`]) chownSync(path, 0, 0);
        }
      });

      it('nodes of a group of users', async () => {
        for (const each of bound()) for (const path of [each.node!, `/dev/vfio/${each.group}`]) chownSync(path, 0, 1001);
        for (const each of bound()) for (const path of [each.node!, `/dev/vfio/${each.group}`]) chmodSync(path, 0o660);
        try {
          await asUser(1001, () => finds('warning memlock'));
          await asUser(1000, () => finds(...bound().map(() => 'failure node-access'), 'warning memlock'));
        } finally {
          for (const each of bound()) for (const path of [each.node!, `/dev/vfio/${each.group}`]) chownSync(path, 0, 0);
          for (const each of bound()) for (const path of [each.node!, `/dev/vfio/${each.group}`]) chmodSync(path, 0o600);
        }
      });

      it('a container that is closed to users', async () => {
        chmodSync('/dev/vfio/vfio', 0o600);
        try {
          await asUser(1000, () => finds(...bound().map(() => 'failure node-access'), 'failure container-node', 'warning memlock'));
        } finally {
          chmodSync('/dev/vfio/vfio', 0o666);
        }
      });

      it.each(['/dev/vfio/vfio', '/dev/iommu'])('%s missing', (path) => without(path, () => finds('failure missing-node')));

      it('a group without its node', () => without(group, () => finds('failure missing-node')));

      it('a device without its node', () => without(node, () => finds('failure missing-node')));

      it('a node of another device, and what is none', async () => {
        await without(group, async () => {
          execFileSync('mknod', [group, 'c', '1', '3']);
          const { findings } = await finds('failure stale-node');
          expect(findings[0]?.evidence[0]).toEqual({ file: group, value: '1:3' });
        });
        await without(node, async () => {
          writeFileSync(node, '');
          expect((await finds('failure stale-node')).findings[0]?.evidence[0]).toEqual({ file: node, value: 'not a device' });
        });
      });

      it('who holds a group', async () => {
        // It stays what it is while it holds: whoever looks sees the same command line.
        const holder = spawn('sh', ['-c', 'exec 3<> "$0"; echo open; read end', group], { stdio: ['pipe', 'pipe', 'ignore'] });
        const ended = new Promise((resolve) => holder.once('exit', resolve));
        try {
          await new Promise((resolve) => holder.stdout.once('data', resolve));
          const { findings } = (await doctor(edu.address, '--check', 'holder')).diagnosis;
          expect(findings).toMatchObject([
            {
              check: 'holder',
              device: edu.address,
              evidence: [{ file: `/proc/${holder.pid}/fd/3`, value: group }, {}],
              fix: [`sudo kill ${holder.pid}`],
            },
          ]);
          const error = thrown(KernelError, () => openDevice(native(), edu.address, { by: 'group' }));
          expect([error.code, error.checks]).toEqual(['EBUSY', ['holder']]);
          expect(explain(native(), error)).toEqual(findings);
        } finally {
          holder.kill();
          await ended;
        }
      });

      it('that this process has the device by its node already', () =>
        opened(() => {
          const error = thrown(KernelError, () => openDevice(native(), edu.address, { by: 'node' }));
          expect([error.code, error.request]).toEqual(['EINVAL', 'VFIO_DEVICE_BIND_IOMMUFD']);
          expect(explain(native(), error)).toMatchObject([
            { check: 'holder', device: edu.address, fix: ['# This process has it: close what it opened before'] },
          ]);
        }));

      it('an open device that reaches no memory, and does not decode its own', () =>
        opened(async ({ device }) => {
          await finds('note bus-master');
          const command = device.config.read16(PCI_COMMAND);
          device.config.write16(PCI_COMMAND, command & ~2);
          await finds('note memory-decode', 'note bus-master');
          device.config.write16(PCI_COMMAND, command | 4);
          await finds();
        }));

      it('few mappings', () => set(type1('dma_entry_limit'), '100', () => finds('warning dma-entry-limit')));

      it('unsafe interrupts', () => set(type1('allow_unsafe_interrupts'), 'Y', () => finds('warning unsafe-interrupts')));

      it('unsafe interrupts of iommufd', () =>
        set(parameter('iommufd', 'allow_unsafe_interrupts'), 'Y', () => finds('warning unsafe-interrupts')));

      it('interrupt lines that nothing masks', () => set(parameter('vfio_pci', 'nointxmask'), 'Y', () => finds('warning intx')));

      it('no-IOMMU mode', () => set(parameter('vfio', 'enable_unsafe_noiommu_mode'), 'Y', () => finds('warning noiommu')));

      it('no huge pages, where somebody asks', async () => {
        expect((await doctor('--check', 'hugepages')).found).toEqual(['note hugepages']);
      });

      it('huge pages that are all in use', () =>
        set('/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages', '1', async () => {
          await finds();
          const page = native().mmap(-1, 2 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, 0) as Mapping;
          await finds('warning hugepages');
          page.unmap();
        }));

      // The last, as the log keeps them.
      it('accesses that the IOMMU stopped', async () => {
        await opened(async ({ device }) => {
          await eduCopies(device, 0x123_4000n, 0x123_4000n);
        });
        const { findings } = await finds('warning dma-faults');
        expect(findings[0]).toMatchObject({ device: edu.address });
        expect(findings[0]?.evidence.at(-1)?.value).toMatch(/fault addr 0x1234000/);
      });
    });

    async function opened(action: (opened: OpenDevice) => unknown): Promise<void> {
      const open = openDevice(native(), edu.address);
      try {
        await action(open);
      } finally {
        open.close();
      }
    }
  });

if (iommu === 'intel' && turnedOff)
  describe('doctor on a machine whose command line turns the IOMMU off', () => {
    it("has devices that nobody took: the kernel's own drivers were not asked for", () => {
      expect(devices().find(({ classCode }) => classCode === 0x010802)?.driver).toBeUndefined();
      expect(devices().filter(({ classCode }) => classCode === 0x010802)).toHaveLength(1);
    });

    it('says so, and of an option that weakens groups', async () => {
      const { found, status, diagnosis } = await doctor();
      expect([status, found]).toEqual([1, ['failure iommu-active', 'note vm-guest', 'failure kernel-options', 'warning acs-override']]);
      expect(diagnosis.findings[2]?.fix[0]).toContain('intel_iommu=off');
    });
  });

if (iommu === 'none')
  describe('doctor on a machine without an IOMMU', () => {
    it('says so, and what no-IOMMU mode means', async () => {
      expect((await doctor('--check', 'iommu-active', 'vm-guest', 'no-iommu-group')).found).toEqual([
        'failure iommu-active',
        'note vm-guest',
      ]);
      const { address } = devices().find(isEdu)!;
      expect((await doctor(address, '--check', 'no-iommu-group')).found).toEqual(['failure no-iommu-group']);
      await set(parameter('vfio', 'enable_unsafe_noiommu_mode'), 'Y', async () => {
        writeFileSync(`/sys/bus/pci/devices/${address}/driver_override`, 'vfio-pci');
        if (bound().length === 0) writeFileSync('/sys/bus/pci/drivers_probe', address);
        try {
          const { found } = await doctor();
          expect(found.filter((each) => !/dma-faults|cdev|iommufd/.test(each))).toEqual([
            ...['failure iommu-active', 'note vm-guest', 'warning noiommu', 'warning hugepages'],
          ]);
          await asUser(1000, async () => expect((await doctor('--check', 'raw-io')).found).toEqual(['failure raw-io']));
        } finally {
          unbind(address);
        }
      });
    });
  });

if (iommu === 'virtio')
  describe('doctor on a machine that does not remap interrupts', () => {
    it('says so, or that this is allowed', async () => {
      await finds('failure intr-remap');
      await set(type1('allow_unsafe_interrupts'), 'Y', () => finds('warning unsafe-interrupts'));
    });
  });

if (iommu !== undefined && iommu !== 'none' && !hasIommufd && !turnedOff)
  describe('doctor on a kernel before iommufd', () => {
    it('says what it lacks', async () => {
      const { found } = await doctor('--check', 'iommufd', 'cdev', 'type1-module', 'missing-node', 'stale-node');
      expect(found).toEqual(['note iommufd', 'note cdev']);
    });
  });
