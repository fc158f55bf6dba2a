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

  /** @returns the first IOVA, or undefined when nothing below `limit` is free. */
  allocate(size: bigint, page: bigint, ranges: readonly IovaRange[], limit: bigint): bigint | undefined {
    for (const range of ranges) {
      const last = range.last < limit ? range.last : limit;
      let start = align(range.start > lowest ? range.start : lowest, page);
      for (const taken of this.#taken) {
        if (taken.last < start) continue;
        if (start + size - 1n < taken.start) break;
        start = align(taken.last + 1n, page);
      }
      if (start + size - 1n > last) continue;
      this.take({ start, last: start + size - 1n });
      return start;
    }
    return undefined;
  }

  /** Marks a range that was chosen elsewhere. */
  take(range: IovaRange): void {
    const at = this.#taken.findIndex((taken) => taken.start > range.start);
    this.#taken.splice(at === -1 ? this.#taken.length : at, 0, range);
  }

  /** Frees everything that starts inside the range. */
  release({ start, last }: IovaRange): void {
    for (let at = this.#taken.length - 1; at >= 0; at -= 1) {
      const taken = this.#taken[at];
      if (taken !== undefined && taken.start >= start && taken.start <= last) this.#taken.splice(at, 1);
    }
  }
}

function align(value: bigint, page: bigint): bigint {
  return (value + page - 1n) & -page;
}
