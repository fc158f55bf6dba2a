/** What a simulated machine shows of itself and of the process below /proc, and of its huge pages below /sys. */
import { directory, line, link, text, type FileNode } from './file-node.js';
import type { Platform } from './platform.js';

/** capabilities(7): what root has by itself, and what a machine can give or take. */
const rootCapabilities = (1n << 41n) - 1n;
const [ipcLock, rawIo] = [1n << 14n, 1n << 17n];

/** /proc, as far as it is of the machine. */
export function procEntries(platform: Platform): Record<string, FileNode> {
  return {
    cmdline: line(() => 'root=/dev/vda1 ro quiet'),
    cpuinfo: text(() => (ofX86(platform) ? 'processor\t: 0\nflags\t\t: fpu msr pae apic sse2 vmx x2apic\n' : 'processor\t: 0\n')),
    interrupts: text(() => interrupts(platform)),
    sys: directory(() => ({ kernel: directory(() => ({ osrelease: line(() => `${platform.kernel.version}.0`) })) })),
  };
}

/** /proc/self, as far as it says what the process may do and has open. */
export function processEntries(platform: Platform): Record<string, FileNode> {
  const { process } = platform;
  return {
    fd: directory(() => Object.fromEntries([...process.files].map(([fd, path]) => [String(fd), link(() => path)]))),
    limits: text(() => limits(platform)),
    status: text(() => {
      const user = Array<number>(4).fill(process.user).join('\t');
      const granted = capabilities(platform).toString(16).padStart(16, '0');
      return `Name:\tnode\nUid:\t${user}\nGid:\t${user}\nGroups:\t\nCapEff:\t${granted}\n`;
    }),
  };
}

/** No limit of locked memory is as good as the capability that goes without one. */
function capabilities({ process, rawIo: hasRawIo, lockedMemory }: Platform): bigint {
  const usual = process.user === 0 ? rootCapabilities & ~(ipcLock | rawIo) : 0n;
  return usual | (hasRawIo ? rawIo : 0n) | (limited(lockedMemory.limit) ? 0n : ipcLock);
}

function limited(limit: bigint): boolean {
  return limit < 1n << 64n;
}

function limits({ lockedMemory: { limit } }: Platform): string {
  const row = (...[name, soft, hard, unit]: [string, string, string, string]): string =>
    `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} ${unit.padEnd(10)}\n`;
  const bytes = limited(limit) ? String(limit) : 'unlimited';
  return row('Limit', 'Soft Limit', 'Hard Limit', 'Units') + row('Max locked memory', bytes, bytes, 'bytes');
}

function ofX86({ iommu: { kind } }: Platform): boolean {
  return kind !== 'smmuv3' && kind !== 'spapr';
}

/** Interrupts that an IOMMU remaps have names that begin with IR. */
function interrupts(platform: Platform): string {
  const remapped = platform.iommu.isolatesInterrupts ? 'IR-' : '';
  const chip = ofX86(platform) ? `${remapped}IO-APIC   9-fasteoi` : '    GICv3  25 Level   ';
  return `           CPU0\n  9:          0  ${chip}   acpi\n`;
}

/** Of each size it has enough. */
export function hugePageEntries(): Record<string, FileNode> {
  const of = (count: number): FileNode =>
    directory(() => ({ nr_hugepages: line(() => String(count)), free_hugepages: line(() => String(count)) }));
  return { 'hugepages-1048576kB': of(1), 'hugepages-2048kB': of(512) };
}
