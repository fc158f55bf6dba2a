import { readText, type WithFiles } from './sysfs.js';
import { devicesPath } from './topology.js';

/** Addresses that the kernel gave a device: to a BAR, or to its ROM. */
export interface PciResource {
  /** Of a BAR 0 to 5; 'rom'; of a bridge, 'window0' to 'window3' for what it passes on, of a physical function 'vf0' to 'vf5'. */
  readonly name: string;
  readonly kind: 'memory' | 'ports';
  readonly start: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Its register has 64 bits. */
  readonly wide: boolean;
  readonly prefetchable: boolean;
}

/** The kernel's flags of a resource: IORESOURCE_IO and the like, of linux/ioport.h. */
const portsFlag = 0x100n;
const prefetchFlag = 0x2000n;
const wideFlag = 0x10_0000n;

const rom = 6;
const virtual = 7;

/** What of those stands in a device's file `resource`: a line for each, of nothing where there is none. */
export function readResources(kernel: WithFiles, address: string): PciResource[] {
  const lines = readText(kernel, `${devicesPath}/${address}/resource`).split('\n');
  // A bridge's windows are the last four, after those of virtual functions where the kernel has such.
  const windows = lines.length > 13 ? lines.length - 4 : lines.length;
  return lines.flatMap((line, index) => {
    const [start = 0n, last = 0n, flags = 0n] = line.split(' ').map(BigInt);
    if (flags === 0n) return [];
    return {
      name: nameOf(index, windows),
      kind: (flags & portsFlag) === 0n ? 'memory' : 'ports',
      start,
      size: start === 0n && last === 0n ? 0n : last - start + 1n,
      wide: (flags & wideFlag) !== 0n,
      prefetchable: (flags & prefetchFlag) !== 0n,
    } as const;
  });
}

function nameOf(index: number, windows: number): string {
  if (index < rom) return String(index);
  if (index === rom) return 'rom';
  return index < windows ? `vf${index - virtual}` : `window${index - windows}`;
}
