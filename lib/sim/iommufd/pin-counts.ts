/** How often pages are pinned, where more than one mapping does. */
import { IntervalMap } from '../interval-map.js';

const pageSize = 4096n;

/** Whole pages, to before `end`. */
export interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

/** The pages that the bytes from `start` to before `end` lie in. */
export function wholePages(start: bigint, end: bigint): Span {
  return { start: start & -pageSize, end: (end + pageSize - 1n) & -pageSize };
}

/** Pages next to each other that are pinned as often. */
interface Counted {
  readonly start: bigint;
  readonly last: bigint;
  count: number;
}

export class PinCounts {
  readonly #counted = new IntervalMap<Counted>();

  constructor(first: Span) {
    this.add(first);
  }

  has(offset: bigint): boolean {
    return this.#counted.at(offset) !== undefined;
  }

  /** Returns the bytes that were not pinned before. */
  add({ start, end }: Span): bigint {
    this.#cut(start);
    this.#cut(end);
    let [next, added] = [start, 0n];
    const fill = (until: bigint): void => {
      if (until === next) return;
      this.#counted.insert({ start: next, last: until - 1n, count: 1 });
      added += until - next;
    };
    for (const counted of this.#counted.within(start, end - 1n)) {
      fill(counted.start);
      counted.count += 1;
      next = counted.last + 1n;
    }
    fill(end);
    return added;
  }

  /** Returns the bytes that are not pinned any more. */
  remove({ start, end }: Span): bigint {
    this.#cut(start);
    this.#cut(end);
    let removed = 0n;
    for (const counted of this.#counted.within(start, end - 1n)) {
      counted.count -= 1;
      if (counted.count > 0) continue;
      this.#counted.remove(counted);
      removed += counted.last + 1n - counted.start;
    }
    return removed;
  }

  /** So that none lies across `at`. */
  #cut(at: bigint): void {
    const counted = this.#counted.at(at);
    if (counted === undefined || counted.start === at) return;
    this.#counted.remove(counted);
    this.#counted.insert({ ...counted, last: at - 1n });
    this.#counted.insert({ ...counted, start: at });
  }
}
