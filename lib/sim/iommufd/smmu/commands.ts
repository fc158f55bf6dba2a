/** Commands that a guest may give: the order of checks is that of arm_vsmmu_validate_user_cmd. */
import { errno } from '../../../abi/errno.js';
import { bits, union } from './bits.js';

const opcode = bits(7, 0);
const streamId = bits(63, 32);
const leaf = bits(0);
const count = bits(16, 12);
const scale = bits(24, 20);
const vmid = bits(47, 32);
const asid = bits(63, 48);
const hint = bits(9, 8);
const granule = bits(11, 10);
const address = bits(63, 12);

/** What a command does to the caches of a stage-1 translation. */
export type Command =
  /** Everything that is cached of the guest's. */
  | { readonly kind: 'all' }
  | { readonly kind: 'space'; readonly asid: number }
  /** Of one address space, or of all. */
  | { readonly kind: 'pages'; readonly asid: number | undefined; readonly start: bigint; readonly last: bigint }
  /** Of the configuration of a stream, by the guest's number. */
  | { readonly kind: 'stream'; readonly stream: bigint };

const allContexts = 0x06;
const oneContext = 0x05;
const allOfSpaces = 0x10;
const oneSpace = 0x11;
const pagesOfSpace = 0x12;
const pagesOfAll = 0x13;
const allOfGuest = 0x30;

/** The command, or -errno. This SMMU has address space numbers of 16 bits and ranges; no substreams, no ATS. */
export function decodeCommand([first, second]: readonly [bigint, bigint]): Command | number {
  const within = (a: bigint, b: bigint): boolean => (first & ~(opcode.mask | a)) === 0n && (second & ~b) === 0n;
  const space = Number(asid.get(first));
  switch (Number(opcode.get(first))) {
    case allOfGuest:
      return within(0n, 0n) ? { kind: 'all' } : -errno.EIO;
    case pagesOfSpace:
    case pagesOfAll: {
      const one = Number(opcode.get(first)) === pagesOfSpace;
      const taken = union(count, scale, vmid) | (one ? asid.mask : 0n);
      if (!isRange(first, second) || !within(taken, union(granule, hint, leaf, address))) return -errno.EIO;
      return { kind: 'pages', asid: one ? space : undefined, ...pages(first, second) };
    }
    case oneSpace:
      return within(union(asid, vmid), 0n) ? { kind: 'space', asid: space } : -errno.EIO;
    case allOfSpaces:
      return within(vmid.mask, 0n) ? { kind: 'all' } : -errno.EIO;
    case oneContext:
      return within(streamId.mask, leaf.mask) ? { kind: 'stream', stream: streamId.get(first) } : -errno.EIO;
    case allContexts:
      return within(streamId.mask, 0n) ? { kind: 'stream', stream: streamId.get(first) } : -errno.EIO;
    default:
      // Among them those for translations ahead of time, which this SMMU does not have.
      return -errno.EIO;
  }
}

/** arm_vsmmu_validate_range: fields of a range are zero without a granule, and not all of them with one. */
function isRange(first: bigint, second: bigint): boolean {
  const ranged = (first & (count.mask | bits(25, 20).mask)) !== 0n;
  const [level, size] = [hint.get(second), granule.get(second)];
  if (size === 0n) return !ranged && level === 0n;
  if (size === 2n && level === 1n) return false;
  return ranged || level !== 0n;
}

function pages(first: bigint, second: bigint): { start: bigint; last: bigint } {
  const start = second & address.mask;
  const page = 12n + 2n * (granule.get(second) === 0n ? 0n : granule.get(second) - 1n);
  const length = granule.get(second) === 0n ? 1n << 12n : (count.get(first) + 1n) << (scale.get(first) + page);
  return { start, last: start + length - 1n };
}
