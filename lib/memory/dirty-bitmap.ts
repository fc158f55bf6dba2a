import { expected } from '../kernel/error.js';

/** Written pages that follow each other. */
export interface DirtyRange {
  readonly iova: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/**
 * Which pages of a range were written: a bit for each, in the kernel's form (64-bit words of this machine, the first page
 * in the lowest bit). It is read where it lies: asking for ranges steps over whole words of written or unwritten pages.
 */
export class DirtyBitmap {
  /** The range's first address. */
  readonly iova: bigint;
  /** Bytes a bit stands for. */
  readonly pageSize: bigint;
  /** Bits that mean something. */
  readonly pages: number;
  /** The words, for a kernel to fill. */
  readonly memory: ArrayBuffer;
  readonly #words: Uint32Array;

  /** All clean. @throws RangeError when `size` is not a multiple of the page, or more than a bitmap can have. */
  constructor({ iova, size, pageSize }: { iova: bigint; size: bigint; pageSize: bigint }) {
    if (pageSize <= 0n || (pageSize & (pageSize - 1n)) !== 0n) throw expected('a power of two', 'pageSize', pageSize);
    if (size <= 0n || size % pageSize !== 0n) throw expected(`a positive multiple of ${pageSize}`, 'size', size);
    if (size / pageSize > mostPages) throw expected(`at most ${mostPages} pages`, 'size', size);
    this.iova = iova;
    this.pageSize = pageSize;
    this.pages = Number(size / pageSize);
    this.memory = new ArrayBuffer(Math.ceil(this.pages / 64) * 8);
    this.#words = new Uint32Array(this.memory);
  }

  /** Whether the page that holds the address was written. @throws RangeError for an address outside. */
  isDirty(iova: bigint): boolean {
    const page = (iova - this.iova) / this.pageSize;
    if (iova < this.iova || page >= BigInt(this.pages)) throw expected(`an address of the ${this.pages} pages`, 'iova', iova);
    return this.#bit(Number(page));
  }

  /** How many pages were written. */
  get count(): number {
    let count = 0;
    for (const [start, end] of this.#runs()) count += end - start;
    return count;
  }

  /** The written pages as ranges, lowest first, each as long as it can be. */
  *ranges(): Generator<DirtyRange, void> {
    for (const [start, end] of this.#runs()) {
      yield { iova: this.iova + BigInt(start) * this.pageSize, size: BigInt(end - start) * this.pageSize };
    }
  }

  /** First and last-plus-one page of each run of written ones. */
  *#runs(): Generator<[start: number, end: number], void> {
    for (let start = this.#next(0, true); start < this.pages; ) {
      const end = this.#next(start, false);
      yield [start, end];
      start = this.#next(end, true);
    }
  }

  /** The first page from `page` on that is dirty, or clean; `pages` where there is none. */
  #next(page: number, dirty: boolean): number {
    const skipped = dirty ? 0 : 0xffff_ffff;
    for (let at = page; at < this.pages; ) {
      const word = ((this.#words[at >>> 5] ?? 0) ^ skipped) >>> (at & 31);
      // The lowest bit that is set: its position is the count of zeros below it.
      if (word !== 0) return Math.min(at + 31 - Math.clz32(word & -word), this.pages);
      at = ((at >>> 5) + 1) * 32;
    }
    return this.pages;
  }

  #bit(page: number): boolean {
    return (((this.#words[page >>> 5] ?? 0) >>> (page & 31)) & 1) === 1;
  }
}

/** What a kernel takes at once, and what bit operations here can count. */
const mostPages = 1n << 31n;
