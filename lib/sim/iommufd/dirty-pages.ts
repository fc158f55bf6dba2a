/** The dirty bits of a page table's entries. */
import type { Interval } from '../interval-map.js';

export class DirtyPages {
  readonly #pageSize: bigint;
  readonly #pages = new Set<bigint>();
  /** Devices' writes are noted. */
  tracking = false;

  /** `pageSize` in bytes: what one bit stands for. */
  constructor(pageSize: bigint) {
    this.#pageSize = pageSize;
  }

  /** A device wrote. */
  mark(iova: bigint, size: number): void {
    if (!this.tracking) return;
    const last = (iova + BigInt(size) - 1n) / this.#pageSize;
    for (let page = iova / this.#pageSize; page <= last; page += 1n) this.#pages.add(page);
  }

  /** The pages of the range that were written. */
  *within({ start, last }: Interval): Generator<Interval, void> {
    for (const page of this.#pages) {
      const first = page * this.#pageSize;
      if (first >= start && first <= last) yield { start: first, last: first + this.#pageSize - 1n };
    }
  }

  clear({ start, last }: Interval): void {
    for (const page of this.#pages) {
      const first = page * this.#pageSize;
      if (first >= start && first <= last) this.#pages.delete(page);
    }
  }
}
