import tree from 'sorted-btree';

/** An interval of a 64-bit address space. `last` is inclusive, so that one may end at the very top. */
export interface Interval {
  readonly start: bigint;
  readonly last: bigint;
}

/** Measured with a million entries: larger nodes are not faster. */
const entriesOfNode = 64;

/** Disjoint intervals in address order: finding, inserting and removing one costs log n steps, whatever order they come in. */
export class IntervalMap<T extends Interval> {
  readonly #byStart = new tree.default<bigint, T>(undefined, (a, b) => (a < b ? -1 : a > b ? 1 : 0), entriesOfNode);

  get size(): number {
    return this.#byStart.size;
  }

  /** The interval that holds `address`. */
  at(address: bigint): T | undefined {
    const candidate = this.#startingUpTo(address);
    return candidate !== undefined && candidate.last >= address ? candidate : undefined;
  }

  /** The first interval that shares an address with `start`…`last`. */
  overlapping(start: bigint, last: bigint): T | undefined {
    const before = this.#startingUpTo(start);
    if (before !== undefined && before.last >= start) return before;
    const next = this.#startingAfter(start);
    return next !== undefined && next.start <= last ? next : undefined;
  }

  /** All that share an address with `start`…`last`, in order. The map may change between steps. */
  *within(start: bigint, last: bigint): Generator<T, void> {
    let entry = this.overlapping(start, last);
    while (entry !== undefined && entry.start <= last) {
      const { last: end } = entry;
      yield entry;
      entry = this.#startingAfter(end);
    }
  }

  /** @throws RangeError if it overlaps one that is there. */
  insert(entry: T): void {
    const before = this.#startingUpTo(entry.last);
    if (before !== undefined && before.last >= entry.start)
      throw new RangeError(`The interval ${entry.start}…${entry.last} overlaps another`);
    this.#byStart.set(entry.start, entry);
  }

  remove(entry: T): void {
    this.#byStart.delete(entry.start);
  }

  #startingUpTo(address: bigint): T | undefined {
    return this.#byStart.getPairOrNextLower(address)?.[1];
  }

  #startingAfter(address: bigint): T | undefined {
    return this.#byStart.nextHigherPair(address)?.[1];
  }
}
