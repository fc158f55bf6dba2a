import { expected, KernelError } from '../kernel/error.js';
import type { IovaRange } from './address-space.js';
import { FreePages } from './free-pages.js';

/** What is counted in, so that numbers are exact up to the last IOVA. No IOMMU under Linux has smaller pages. */
const pageBits = 12n;
const partOfPage = (1n << pageBits) - 1n;
const pages = 2 ** (64 - Number(pageBits));
/** Never handed out: many devices and drivers take IOVA 0 for "none". */
const lowest = 0x1_0000n;

export interface IovaRequest {
  /** Bytes. */
  readonly size: bigint;
  /** What the IOVA is a multiple of: a power of two, at least the IOMMU's page. */
  readonly alignment: bigint;
  /** Where it may be, as it is now. */
  readonly ranges: readonly IovaRange[];
  /** The highest IOVA. */
  readonly below: bigint;
  /** The lowest. Default: 64 KiB. */
  readonly from?: bigint;
}

/**
 * Picks IOVAs: the lowest free ones inside the allowed ranges that the size fits in. Those given back are used again. It
 * knows of what it picked, and of nothing else that is mapped.
 */
export class IovaAllocator {
  /** Undefined while nothing was picked: to callers who pick all their IOVAs themselves, giving them back costs nothing. */
  #free: FreePages | undefined;

  /** @returns the first IOVA, or undefined when nothing is free. */
  allocate({ size, alignment, ranges, below, from = lowest }: IovaRequest): bigint | undefined {
    if (size <= 0n) throw expected('a positive number of bytes', 'size', size);
    const count = pageUp(size);
    const multiple = pageUp(alignment);
    const first = pageUp(from);
    const end = pageDown(below + 1n);
    this.#free ??= new FreePages(pages);
    for (const range of ranges) {
      const place = this.#free.lowest({
        count,
        alignment: multiple,
        from: Math.max(pageUp(range.start), first),
        end: Math.min(pageDown(range.last + 1n), end),
      });
      if (place === undefined) continue;
      this.#free.take(place, count);
      return BigInt(place) << pageBits;
    }
    return undefined;
  }

  /**
   * Allocates, and has it mapped. Where the caller has mapped something itself, `map` throws the kernel's EEXIST: then it goes
   * on behind.
   * @throws RangeError when nothing is free.
   */
  allocateMapped(request: IovaRequest, map: (iova: bigint) => unknown): bigint {
    // The kernel does not say up to where it is taken: each step is twice the last.
    for (let next = request, step = request.size; ; step *= 2n) {
      const iova = this.#allocateOrThrow(next);
      try {
        map(iova);
        return iova;
      } catch (error) {
        next = this.#behind(next, iova, step, error);
      }
    }
  }

  /** The same for a mapping that takes long; what it tries is taken meanwhile. */
  async allocateMappedAsync(request: IovaRequest, map: (iova: bigint) => Promise<unknown>): Promise<bigint> {
    for (let next = request, step = request.size; ; step *= 2n) {
      const iova = this.#allocateOrThrow(next);
      try {
        await map(iova);
        return iova;
      } catch (error) {
        next = this.#behind(next, iova, step, error);
      }
    }
  }

  #allocateOrThrow(request: IovaRequest): bigint {
    const iova = this.allocate(request);
    if (iova === undefined) throw noIovaFor(request.size, request.below);
    return iova;
  }

  /** Where to go on after the kernel refused an IOVA; not at all, unless something is mapped there. */
  #behind(request: IovaRequest, iova: bigint, step: bigint, error: unknown): IovaRequest {
    this.release(iova, request.size);
    if (!(error instanceof KernelError) || error.code !== 'EEXIST') throw error;
    return { ...request, from: iova + step };
  }

  /** Frees what was allocated there. What is free already stays so. */
  release(iova: bigint, size: bigint): void {
    if (this.#free !== undefined && size > 0n) give(this.#free, iova, size);
  }

  releaseAll(): void {
    this.#free = undefined;
  }
}

/** Of pages that were taken in part, the whole. */
function give(free: FreePages, iova: bigint, size: bigint): void {
  const start = pageDown(iova);
  free.give(start, Math.min(pageUp(iova + size), pages) - start);
}

function pageUp(bytes: bigint): number {
  return Number((bytes + partOfPage) >> pageBits);
}

function pageDown(bytes: bigint): number {
  return Number(bytes >> pageBits);
}

/** What an address space throws that has no IOVA left. */
export function noIovaFor(size: bigint, below: bigint): RangeError {
  return expected(`a size for which an IOVA up to 0x${below.toString(16)} is free`, 'size', size);
}
