import { expected, KernelError } from '../kernel/error.js';
import type { IovaRange } from './address-space.js';
import { FreePages, type PagesWanted } from './free-pages.js';
import { PageSet } from './page-set.js';

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

/** How many pieces wait for the next request of their size, and how many pages one has at most, as `iova_rcache` of Linux. */
const mostRecent = 64;
const mostPages = 32;

interface Piece {
  readonly start: number;
  readonly count: number;
}

/**
 * Picks IOVAs inside the allowed ranges: the lowest of the pieces of that size that were given back a moment ago, or else the
 * lowest free ones that the size fits in. It knows of what it picked, and of nothing else that is mapped.
 *
 * Drivers give back and ask for pieces of a few sizes all the time. To hand out the same ones saves two walks through the
 * tree of the free ones, which, where a million others have holes between them, no cache of the processor holds.
 */
export class IovaAllocator {
  /** Undefined while nothing was picked: to callers who pick all their IOVAs themselves, giving them back costs nothing. */
  #free: FreePages | undefined;
  /** Given back, and not yet among the free ones. */
  #recent: Piece[] = [];
  /** What small pieces take. What is given back may be more than was picked, or free already: then it cannot wait apart. */
  readonly #taken = new PageSet();

  /** @returns the first IOVA, or undefined when nothing is free. */
  allocate({ size, alignment, ranges, below, from = lowest }: IovaRequest): bigint | undefined {
    if (size <= 0n) throw expected('a positive number of bytes', 'size', size);
    const count = pageUp(size);
    const first = pageUp(from);
    const end = pageDown(below + 1n);
    const wanted = ranges.map((range) => ({
      count,
      alignment: pageUp(alignment),
      from: Math.max(pageUp(range.start), first),
      end: Math.min(pageDown(range.last + 1n), end),
    }));
    const place = this.#recentFor(wanted) ?? this.#freeFor(wanted);
    if (place === undefined) return undefined;
    if (count <= mostPages) this.#taken.add(place, count);
    return BigInt(place) << pageBits;
  }

  #recentFor(wanted: readonly PagesWanted[]): number | undefined {
    let found: Piece | undefined;
    for (const piece of this.#recent) {
      const isLower = found === undefined || piece.start < found.start;
      if (isLower && wanted.some((pages) => fits(piece, pages))) found = piece;
    }
    if (found !== undefined) this.#recent.splice(this.#recent.indexOf(found), 1);
    return found?.start;
  }

  #freeFor(wanted: readonly PagesWanted[]): number | undefined {
    const free = (this.#free ??= new FreePages(pages));
    this.#giveRecentTo(free);
    for (const pages of wanted) {
      const place = free.lowest(pages);
      if (place === undefined) continue;
      free.take(place, pages.count);
      return place;
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
    if (this.#free === undefined || size <= 0n) return;
    // Of pages that were taken in part, the whole.
    const start = pageDown(iova);
    const count = Math.min(pageUp(iova + size), pages) - start;
    const whole = this.#taken.delete(start, count);
    if (!whole || this.#recent.length === mostRecent) this.#giveRecentTo(this.#free);
    if (whole) this.#recent.push({ start, count });
    else this.#free.give(start, count);
  }

  releaseAll(): void {
    this.release(0n, 1n << 64n);
  }

  #giveRecentTo(free: FreePages): void {
    for (const { start, count } of this.#recent) free.give(start, count);
    this.#recent = [];
  }
}

function fits(piece: Piece, { count, alignment, from, end }: PagesWanted): boolean {
  const { start } = piece;
  return piece.count === count && start % alignment === 0 && start >= from && start + count <= end;
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
