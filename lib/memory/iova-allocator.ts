import { expected } from '../kernel/error.js';
import type { IovaRange } from './address-space.js';

/** Never handed out: many devices and drivers take IOVA 0 for "none". */
const lowest = 0x1_0000n;

/**
 * Picks IOVAs: the lowest free ones inside the allowed ranges that the size fits in, aligned to the page. Ranges that
 * were given back are used again.
 */
export class IovaAllocator {
  /** What is taken, in address order, none touching another's addresses. */
  readonly #taken: IovaRange[] = [];

  /** @returns the first IOVA from `from` on, or undefined when nothing up to `limit` is free. */
  allocate(size: bigint, page: bigint, ranges: readonly IovaRange[], limit: bigint, from = lowest): bigint | undefined {
    for (const range of ranges) {
      const last = range.last < limit ? range.last : limit;
      let start = align(range.start > from ? range.start : from, page);
      for (const taken of this.#taken) {
        if (taken.last < start) continue;
        if (start + size - 1n < taken.start) break;
        start = align(taken.last + 1n, page);
      }
      if (start + size - 1n > last) continue;
      this.#take({ start, last: start + size - 1n });
      return start;
    }
    return undefined;
  }

  #take(range: IovaRange): void {
    this.#taken.splice(this.#indexFrom(range.start), 0, range);
  }

  /** Frees everything that starts inside the range. */
  release({ start, last }: IovaRange): void {
    const first = this.#indexFrom(start);
    let end = first;
    while (end < this.#taken.length && (this.#taken[end]?.start ?? last) <= last) end += 1;
    if (end > first) this.#taken.splice(first, end - first);
  }

  /** The index of the first that starts there or behind. */
  #indexFrom(start: bigint): number {
    let [low, high] = [0, this.#taken.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#taken[middle]?.start ?? start) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function align(value: bigint, page: bigint): bigint {
  return (value + page - 1n) & -page;
}

/** What an address space throws that has no IOVA left. */
export function noIovaFor(size: bigint, below: bigint): RangeError {
  return expected(`a size for which an IOVA up to 0x${below.toString(16)} is free`, 'size', size);
}
