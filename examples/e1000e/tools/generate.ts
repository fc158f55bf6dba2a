import type { DmaPool } from 'vfio';
import type { Burst } from '../burst.js';
import type { Card } from '../card.js';

/** The type of frames for experiments (IEEE 802), so that no station takes them for something. */
const etherType = 0x88b5;
/** The header's fourteen bytes and two more: what comes behind them is written and looked at in words. */
const headerWords = 4;
/** So that a word that came from somewhere else, or from another frame, is not what it should be. */
const step = 0x9e37_79b1;

export interface GeneratorOptions {
  /** Bytes of each frame, 60 to 1514. */
  readonly size: number;
  /**
   * Whether each is filled to its last whole word with what follows from its number, so that one that is damaged anywhere is
   * known by it. Without that it has its number, and behind it what was there before. Default: true.
   */
  readonly isFilled?: boolean;
}

/** Numbered frames of one size from a card to all. */
export class Generator {
  readonly #card: Card;
  readonly #size: number;
  /** Words of a frame that are written. */
  readonly #written: number;
  readonly #header: Uint32Array;
  /** All blocks of the pool. */
  readonly #words: Uint32Array;
  #next = 0;

  constructor(card: Card, { size, isFilled = true }: GeneratorOptions) {
    if (!Number.isInteger(size) || size < 60 || size > 1514)
      throw new RangeError(`Expected an integer from 60 to 1514 for size but received ${size}`);
    const station = card.station.split(':').map((byte) => parseInt(byte, 16));
    const header = Uint8Array.of(...new Array<number>(6).fill(0xff), ...station, etherType >> 8, etherType & 0xff, 0, 0);
    this.#card = card;
    this.#size = size;
    this.#written = isFilled ? size >>> 2 : headerWords + 1;
    this.#header = new Uint32Array(header.buffer);
    this.#words = new Uint32Array(card.pool.buffer.memory);
  }

  /** How many were made. */
  get made(): number {
    return this.#next;
  }

  /** Fills the burst with new frames, as long as the pool has blocks and there are less than `most`. */
  fill(burst: Burst, most = Infinity): void {
    const [words, written, size, { pool }] = [this.#words, this.#written, this.#size, this.#card];
    const [one, two, three, four] = this.#header as unknown as [number, number, number, number];
    let next = this.#next;
    while (burst.count < burst.capacity && next < most) {
      const block = pool.take();
      if (block === undefined) break;
      const first = block.offset >>> 2;
      words[first] = one;
      words[first + 1] = two;
      words[first + 2] = three;
      words[first + 3] = four;
      const end = first + written;
      for (let at = first + headerWords, value = next; at < end; at += 1, value = (value + step) | 0) words[at] = value;
      burst.add(block, size);
      next += 1;
    }
    this.#next = next;
  }
}

/** Looks whether frames of a `Generator` come in order, each once and whole. */
export class Verifier {
  received = 0;
  /** Those that came in another place than they were sent. */
  misplaced = 0;
  damaged = 0;
  readonly #pool: DmaPool;
  readonly #words: Uint32Array;

  /** Of frames in blocks of this pool. */
  constructor(pool: DmaPool) {
    this.#pool = pool;
    this.#words = new Uint32Array(pool.buffer.memory);
  }

  /** Looks at each of the burst and gives it back. */
  take(burst: Burst): void {
    const words = this.#words;
    for (let index = 0; index < burst.count; index += 1) {
      const block = burst.blocks[index]!;
      const first = (block.offset >>> 2) + headerWords;
      const end = (block.offset >>> 2) + (burst.lengths[index]! >>> 2);
      const number = words[first]!;
      let isWhole = true;
      for (let at = first, value = number; at < end; at += 1, value = (value + step) >>> 0) isWhole &&= words[at] === value;
      if (!isWhole) this.damaged += 1;
      if (number !== this.received) this.misplaced += 1;
      this.received += 1;
      this.#pool.give(block);
    }
    burst.count = 0;
  }
}
