/**
 * Memory that a process registered for DMA, with the rules of the kernel's arch/powerpc/mm/book3s64/iommu_api.c: a
 * region belongs to the process, and the containers that registered it hold it together.
 */
import { errno } from '../../abi/errno.js';
import type { LockedMemory } from '../platform.js';
import type { Pin, UserMemory } from '../user-memory.js';

const pageSize = 4096n;
/** The process's pages are 4 KiB, but lie in 64 KiB pieces of memory wherever their addresses allow it. */
const largestPageShift = 16n;

export interface RegisteredRegion {
  readonly start: bigint;
  readonly size: bigint;
  /** The largest page, as a power of two, that the IOMMU may map the region by. */
  readonly pageShift: bigint;
  readonly pin: Pin;
  /** Registrations that have not been taken back. */
  users: number;
  /** Entries of translation tables that lead into it. */
  mapped: number;
}

export class RegisteredMemory {
  readonly #memory: UserMemory;
  readonly #locked: LockedMemory;
  readonly #regions = new Set<RegisteredRegion>();

  constructor(memory: UserMemory, locked: LockedMemory) {
    this.#memory = memory;
    this.#locked = locked;
  }

  /** One more user of the region with this very range. */
  get(start: bigint, size: bigint): RegisteredRegion | undefined {
    for (const region of this.#regions) {
      if (region.start !== start || region.size !== size) continue;
      region.users += 1;
      return region;
    }
    return undefined;
  }

  /** A new region with one user, or -errno. The kernel pins before it looks for an overlap. */
  create(start: bigint, size: bigint): RegisteredRegion | number {
    // There is no room to be had for a list of no pages.
    if (size === 0n) return -errno.ENOMEM;
    if (!this.#locked.take(size)) return -errno.ENOMEM;
    const region = this.#add(start, size);
    if (typeof region === 'number') this.#locked.give(size);
    return region;
  }

  #add(start: bigint, size: bigint): RegisteredRegion | number {
    const pin = this.#memory.pin(start, size);
    if (pin === undefined) return -errno.EFAULT;
    for (const region of this.#regions) {
      if (region.start >= start + size || start >= region.start + region.size) continue;
      pin.release();
      return -errno.EINVAL;
    }
    const region = { start, size, pageShift: naturalShift(start | size), pin, users: 1, mapped: 0 };
    this.#regions.add(region);
    return region;
  }

  /** One user less. The last cannot go while the region is mapped: EBUSY. */
  put(region: RegisteredRegion): number {
    if (region.users === 1 && region.mapped > 0) return -errno.EBUSY;
    region.users -= 1;
    if (region.users === 0) {
      this.#regions.delete(region);
      region.pin.release();
      this.#locked.give(region.size);
    }
    return 0;
  }

  /** The region that holds the whole of the page, if it may be mapped by pages of that size. */
  lookup(address: bigint, pageShift: bigint): RegisteredRegion | undefined {
    for (const region of this.#regions) {
      if (address < region.start || address + (1n << pageShift) > region.start + region.size) continue;
      return pageShift <= region.pageShift ? region : undefined;
    }
    return undefined;
  }
}

function naturalShift(value: bigint): bigint {
  let shift = 12n;
  while (shift < largestPageShift && (value & ((1n << (shift + 1n)) - 1n)) === 0n) shift += 1n;
  return shift;
}

export function isPageAligned(value: bigint): boolean {
  return (value & (pageSize - 1n)) === 0n;
}
