/** A DMA window: a stretch of IOVAs with a table of translation control entries (TCEs), one for each page. */
import { errno } from '../../abi/errno.js';
import type { DmaMapping } from '../dma.js';
import { IntervalMap } from '../interval-map.js';

const pageShift = 12;
/** Bytes of a TCE, as a power of two. */
const entryShift = 3;
/** POWERNV_IOMMU_MAX_LEVELS: how deep a table can be. */
export const mostLevels = 5;
/** What the levels translate together with the page must stay below so many bits. */
const mostBits = 55;

/** One entry. `undo` gives back what it holds. */
export interface Entry extends DmaMapping {
  readonly undo: () => void;
}

export class Window {
  readonly start: bigint;
  readonly pageShift: bigint;
  /** Of entries: at least a page's worth, since a table is never smaller than a page. */
  readonly entries: bigint;
  readonly #table = new IntervalMap<Entry>();

  private constructor(start: bigint, shift: number, entries: bigint) {
    this.start = start;
    this.pageShift = BigInt(shift);
    this.entries = entries;
  }

  /** pnv_pci_ioda2_get_table_size and pnv_pci_ioda2_table_alloc_pages: a window, or -errno. */
  static create(start: bigint, shift: number, size: bigint, levels: number): Window | number {
    if (levels === 0 || (size & (size - 1n)) !== 0n) return -errno.EINVAL;
    const bits = size.toString(2).length - 1 - shift;
    // Linux computes a table of nonsense for a window smaller than its page.
    if (bits < 0) return -errno.EINVAL;
    const levelBits = Math.max(Math.ceil(bits / levels), pageShift - entryShift);
    // More levels than there can be have more bits than that, of whatever size they are.
    if (levelBits * levels + shift >= mostBits) return -errno.EINVAL;
    return new Window(start, shift, 1n << BigInt(Math.max(bits, pageShift - entryShift)));
  }

  get pageMask(): bigint {
    return (1n << this.pageShift) - 1n;
  }

  get last(): bigint {
    return this.start + (this.entries << this.pageShift) - 1n;
  }

  contains(iova: bigint): boolean {
    return iova >= this.start && iova <= this.last;
  }

  at(iova: bigint): Entry | undefined {
    return this.#table.at(iova);
  }

  /** Writes one entry. What was there before is given back: an entry is replaced, not refused. */
  exchange(entry: Entry): void {
    this.clear(entry.start, entry.last);
    this.#table.insert(entry);
  }

  clear(start: bigint, last: bigint): void {
    for (const entry of this.#table.within(start, last)) {
      this.#table.remove(entry);
      entry.undo();
    }
  }

  clearAll(): void {
    this.clear(this.start, this.last);
  }
}
