import { MAP_HUGE_MASK, MAP_HUGE_SHIFT } from '../abi/system.js';

/** What the machine has, as a power of two; the first is what it prefers. It never runs out of them. */
const sizes: readonly number[] = [21, 30];

/** The size of the huge pages that flags of mmap(2) or memfd_create(2) ask for by `flag`; undefined: for none. */
export function hugePageOf(flags: number, flag: number): bigint | 'unknown' | undefined {
  if ((flags & flag) === 0) return undefined;
  const asked = (flags >>> MAP_HUGE_SHIFT) & MAP_HUGE_MASK;
  const size = asked === 0 ? sizes[0] : sizes.find((each) => each === asked);
  return size === undefined ? 'unknown' : 1n << BigInt(size);
}
