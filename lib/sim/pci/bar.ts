/** The windows through which a function's registers and memory are reached. */
import { PCI_BASE_ADDRESS_MEM_PREFETCH, PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_BASE_ADDRESS_SPACE_IO } from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';
import { allOnes, type Width } from '../mapping.js';

/** Widths in bytes, from the narrowest to the widest. */
export type Widths = readonly [narrowest: Width, widest: Width];

/** What becomes of accesses that are narrower or wider than a device expects. */
export interface AccessRules {
  /** Those that reach it. Another reads 0, and is dropped if it is a write. Default: all. */
  readonly valid?: Widths;
  /**
   * Those that it is made for. A wider access reaches it as several; of a narrower one it sees an access of the narrowest
   * width, at the same offset, of whose value a reader gets the low bytes. Default: all.
   */
  readonly implemented?: Widths;
}

export interface BarOptions {
  /** Bytes: a power of two. */
  readonly size: number;
  /** 'ports' are I/O ports, of x86. Default: 'memory'. */
  readonly kind?: 'memory' | 'ports';
  /** Its address has 64 bits, in the register of the next index too, which is then no BAR. Default: false. */
  readonly wide?: boolean;
  /** Reading has no side effects. Default: false. */
  readonly prefetchable?: boolean;
  readonly access?: AccessRules;
}

export interface Bar {
  readonly index: number;
  readonly size: number;
  readonly ports: boolean;
  readonly wide: boolean;
  /** The low bits of its register. */
  readonly flags: number;
  readonly access: AccessRules;
}

/** A number stands for memory of that size. */
export function resolveBars(bars: Readonly<Record<number, number | BarOptions>>): Bar[] {
  const resolved = Object.entries(bars).map(([key, given]): Bar => {
    const index = Number(key);
    const options = typeof given === 'number' ? { size: given } : given;
    const { size, kind = 'memory', wide = false, prefetchable = false, access = {} } = options;
    if (!Number.isInteger(index) || index < 0 || index > (wide ? 4 : 5))
      throw expected(`the index of a BAR, up to ${wide ? 4 : 5}`, 'bars', key);
    if (!Number.isInteger(Math.log2(size)) || size < (kind === 'ports' ? 4 : 16)) throw expected('a power of two', 'size', size);
    const ports = kind === 'ports';
    if (ports && (wide || prefetchable)) throw expected('no wide or prefetchable ports', 'bars', key);
    const flags = ports
      ? PCI_BASE_ADDRESS_SPACE_IO
      : (wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) | (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
    return { index, size, ports, wide, flags, access };
  });
  for (const { index, wide } of resolved)
    if (wide && resolved.some((other) => other.index === index + 1)) throw expected('no BAR after a wide one', 'bars', index + 1);
  return resolved;
}

/** The bits of a BAR's register, or of two, that hold an address. */
export function addressBits(size: number): { readonly low: number; readonly high: number } {
  const bits = BigInt.asUintN(64, -BigInt(size));
  return { low: Number(bits & 0xffff_ffffn), high: Number(bits >> 32n) };
}

type Read = (offset: number, width: Width) => bigint;
type Write = (offset: number, width: Width, value: bigint) => void;

const within = (width: Width, [narrowest, widest]: Widths): boolean => width >= narrowest && width <= widest;
const every: Widths = [1, 8];

/** A read as the device sees it. */
export function adjustedRead({ valid = every, implemented = every }: AccessRules, offset: number, width: Width, read: Read): bigint {
  if (!within(width, valid)) return 0n;
  const each = adjusted(width, implemented);
  let value = 0n;
  for (let done = 0; done < width; done += each) value |= (read(offset + done, each) & allOnes(each)) << BigInt(8 * done);
  return value & allOnes(width);
}

/** A write as the device sees it. */
export function adjustedWrite(
  { valid = every, implemented = every }: AccessRules,
  offset: number,
  width: Width,
  value: bigint,
  write: Write,
): void {
  if (!within(width, valid)) return;
  const each = adjusted(width, implemented);
  for (let done = 0; done < width; done += each) write(offset + done, each, (value >> BigInt(8 * done)) & allOnes(each));
}

function adjusted(width: Width, [narrowest, widest]: Widths): Width {
  if (width < narrowest) return narrowest;
  return width > widest ? widest : width;
}
