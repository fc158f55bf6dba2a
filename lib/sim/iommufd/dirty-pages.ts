/** The dirty bits of a page table's entries. */
import { IntervalMap, type Interval } from '../interval-map.js';

export class DirtyPages {
  readonly #pageSize: bigint;
  readonly #pages = new IntervalMap<Interval>();
  /** Devices' writes are noted. */
  tracking = false;

  /** `pageSize` in bytes: what one bit stands for. */
  constructor(pageSize: bigint) {
    this.#pageSize = pageSize;
  }

  /** A device wrote, while that was noted. */
  mark(iova: bigint, size: number): void {
    const end = iova + BigInt(size);
    for (let start = iova & -this.#pageSize; start < end; start += this.#pageSize)
      if (this.#pages.at(start) === undefined) this.#pages.insert({ start, last: start + this.#pageSize - 1n });
  }

  /** The pages of the range that were written. */
  *within({ start, last }: Interval): Generator<Interval, void> {
    for (const page of this.#pages.within(start, last)) if (page.start >= start) yield page;
  }

  clear(range: Interval): void {
    for (const page of this.within(range)) this.#pages.remove(page);
  }
}
