/** What takes more than a file that is there to be found: devices that are open, files that may not be read. */
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { checkIds, diagnose } from '../../lib/diagnosis/diagnose.js';
import type { Finding } from '../../lib/diagnosis/finding.js';
import { openDevice } from '../../lib/index.js';
import type { Files, Kernel } from '../../lib/kernel/kernel.js';
import { matters, type MatterId } from '../../lib/kernel/matters.js';
import { Edu, Machine, type MachineOptions } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const config = `/sys/bus/pci/devices/${address}/config`;
const group = '/dev/vfio/0';

const machine = (options: MachineOptions = {}): Kernel => new Machine({ devices: [{ model: new Edu() }], ...options }).kernel;

/** The kernel with other files in some places; a number is the answer of reading them, or of listing them. */
function over(
  kernel: Kernel,
  files: Partial<Record<string, string | Uint8Array | number | readonly string[]>>,
  links: Record<string, string> = {},
): Pick<Kernel, 'files'> {
  const own: Partial<Files> = {
    readFile: (path) => {
      const there = files[path];
      if (typeof there === 'string') return new TextEncoder().encode(there);
      return there === undefined || Array.isArray(there) ? kernel.files.readFile(path) : (there as Uint8Array | number);
    },
    readdir: (path) => {
      const there = files[path];
      return Array.isArray(there) ? [...(there as string[])] : typeof there === 'number' ? there : kernel.files.readdir(path);
    },
    readlink: (path) => links[path] ?? kernel.files.readlink(path),
    access: (path) => (path in files || path in links ? 0 : kernel.files.access(path)),
  };
  return { files: { ...wrapped(kernel.files), ...own } };
}

function wrapped(files: Files): Files {
  return {
    readFile: (path) => files.readFile(path),
    writeFile: () => {
      throw new Error('A check writes');
    },
    readdir: (path) => files.readdir(path),
    readlink: (path) => files.readlink(path),
    access: (path) => files.access(path),
    stat: (path) => files.stat(path),
    chmod: () => {
      throw new Error('A check changes a mode');
    },
    chown: () => {
      throw new Error('A check changes an owner');
    },
  };
}

/** The beginning of configuration space. */
function header(command: number): Uint8Array {
  const bytes = new Uint8Array(64);
  new DataView(bytes.buffer).setUint32(0, 0x11e8_1234, true);
  bytes[4] = command;
  return bytes;
}

const found = (kernel: Pick<Kernel, 'files'>, ...checks: MatterId[]): readonly Finding[] =>
  diagnose(kernel, checks.length === 0 ? {} : { checks }).findings;
const ids = (findings: readonly Finding[]): string[] => findings.map(({ severity, check }) => `${severity} ${check}`);

describe('a device that is open', () => {
  const opened = (command: number, more: Record<string, string> = {}): readonly Finding[] => {
    const kernel = machine();
    using _ = openDevice(kernel, address);
    return found(over(kernel, { [config]: header(command), ...more }));
  };

  it('is to reach memory, decode its own and be awake', () => {
    expect(ids(opened(6))).toEqual([]);
    expect(ids(opened(2))).toEqual(['note bus-master']);
    expect(ids(opened(4))).toEqual(['note memory-decode']);
    const power = `/sys/bus/pci/devices/${address}/power_state`;
    expect(ids(opened(6, { [power]: 'D0\n' }))).toEqual([]);
    expect(opened(6, { [power]: 'D3hot\n' })).toMatchObject([
      { check: 'power-state', severity: 'warning', evidence: [{ file: power, value: 'D3hot' }] },
    ]);
    expect(opened(2)[0]?.evidence).toEqual([{ file: config, value: 'command 0x0002, without bus mastering' }]);
  });

  it('one that is not may sleep', () => {
    expect(found(over(machine(), { [config]: header(0), [`/sys/bus/pci/devices/${address}/power_state`]: 'D3hot\n' }))).toEqual([]);
  });

  it('that does not answer is gone, and nothing else is said of it', () => {
    const kernel = machine();
    using _ = openDevice(kernel, address);
    expect(found(over(kernel, { [config]: new Uint8Array(64).fill(0xff) }))).toMatchObject([
      {
        check: 'device-gone',
        severity: 'failure',
        device: address,
        fix: [expect.stringContaining('remove'), expect.stringContaining('rescan')],
      },
    ]);
  });
});

describe('who holds a device', () => {
  const other = (kernel: Kernel): Pick<Kernel, 'files'> =>
    over(
      kernel,
      { '/proc': ['4242', 'self', 'version'], '/proc/4242/fd': ['0', '7'], '/proc/4242/cmdline': 'node\0driver.js\0' },
      { '/proc/4242/fd/7': group },
    );

  it('is said where somebody asks', () => {
    expect(ids(found(other(machine())))).toEqual(['note bus-master']);
    expect(diagnose(other(machine()), { address, checks: ['holder'] }).findings).toMatchObject([
      {
        severity: 'warning',
        device: address,
        evidence: [
          { file: '/proc/4242/fd/7', value: group },
          { file: '/proc/4242/cmdline', value: 'node driver.js' },
        ],
        fix: ['sudo kill 4242'],
      },
    ]);
  });

  it('may be this process', () => {
    const kernel = machine();
    const fd = kernel.open(group, 2);
    expect(found(kernel, 'holder')).toMatchObject([
      { evidence: [{ file: `/proc/self/fd/${fd}`, value: group }, {}], fix: [expect.stringMatching(/^# This process/)] },
    ]);
    kernel.close(fd);
    expect(found(kernel, 'holder')).toEqual([]);
  });

  it('takes root to see, if it is a process of another user', () => {
    const kernel = over(machine(), { '/proc': ['4242'], '/proc/4242/fd': -errno.EACCES }, { '/proc/4242': '' });
    expect(diagnose(kernel, { checks: ['holder'] })).toEqual({
      checked: [],
      skipped: [{ check: 'holder', why: "needs root to look at other users' processes in /proc" }],
      findings: [],
    });
  });
});

describe('what may not be read', () => {
  it('is skipped, with the reason', () => {
    const kernel = over(machine(), { '/proc/cmdline': -errno.EACCES });
    const { skipped, checked, findings } = diagnose(kernel);
    expect(skipped).toEqual(
      ['kernel-options', 'acs-override', 'boot-bind'].map((check) => ({ check, why: 'needs root to read /proc/cmdline' })),
    );
    expect(checked.length + skipped.length).toBe(checkIds.length);
    expect(findings).toEqual([]);
  });

  it('is EPERM where a control group is in the way', () => {
    const kernel = over(machine(), { '/dev/vfio/vfio': -errno.EPERM, '/proc/self/cgroup': '0::/docker/12\n' });
    expect(found(kernel)).toMatchObject([{ check: 'container-cgroup', severity: 'failure', evidence: [{}, { value: '0::/docker/12' }] }]);
  });
});

describe('the log of the kernel', () => {
  const record = (text: string): string => `4,1,1,-;${text}\n SUBSYSTEM=pci\n`;
  /** A kernel whose log is a device: each read is a record. */
  const logging = (answers: readonly (string | number)[], opened = 77): Kernel => {
    const kernel = machine();
    const left = [...answers];
    const closed: number[] = [];
    return Object.assign(Object.create(kernel) as Kernel, {
      closed,
      files: {
        ...over(kernel, {}).files,
        stat: (path: string) =>
          path === '/dev/kmsg' ? { kind: 'character-device', mode: 0o644, user: 0, group: 0, device: '1:11' } : kernel.files.stat(path),
      },
      open: (path: string) => (path === '/dev/kmsg' ? opened : kernel.open(path, 0)),
      read: (_fd: number, bytes: Uint8Array) => {
        const next = left.shift() ?? -errno.EAGAIN;
        return typeof next === 'number' ? next : new TextEncoder().encodeInto(next, bytes).written;
      },
      close: (fd: number) => closed.push(fd) * 0,
    });
  };

  it('is read to its end, over what was lost, and closed', () => {
    const kernel = logging([
      record('AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:03.0 domain=0x0 address=0x1000]'),
      -errno.EPIPE,
      record('other'),
    ]);
    expect(found(kernel, 'dma-faults')).toMatchObject([
      {
        device: address,
        evidence: [{ file: '/dev/kmsg', value: 'AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:03.0 domain=0x0 address=0x1000]' }],
      },
    ]);
    expect((kernel as unknown as { closed: number[] }).closed).toEqual([77]);
  });

  it('takes root, and the addon', () => {
    expect(diagnose(logging([], -errno.EPERM), { checks: ['dma-faults'] }).skipped).toEqual([
      { check: 'dma-faults', why: 'needs root to read /dev/kmsg' },
    ]);
    expect(diagnose({ files: logging([]).files }, { checks: ['dma-faults'] }).skipped).toEqual([
      { check: 'dma-faults', why: 'needs the addon to read /dev/kmsg' },
    ]);
    expect(diagnose(logging([], -errno.ENODEV), { checks: ['dma-faults'] }).skipped).toMatchObject([
      { why: expect.stringMatching(/^\/dev\/kmsg: ENODEV/) },
    ]);
  });
});

it('there is a check for each matter, and what it finds is said in its words', () => {
  expect([...checkIds].sort()).toEqual(Object.keys(matters).sort());
  for (const { check, finding, why } of found(machine({ kernel: '6.1', user: 1000, lockedMemoryLimit: 0, dmaEntryLimit: 1 })))
    expect({ finding, why }).toMatchObject({ finding: matters[check].finding, why: matters[check].why });
});
