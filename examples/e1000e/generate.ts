import type { DmaPool } from 'vfio';
import type { Burst } from './burst.js';
import type { Card } from './card.js';

/** The type of frames for experiments (IEEE 802), so that no station takes them for something. */
const etherType = 0x88b5;
/** The header's fourteen bytes and two more: what comes behind them is written and looked at in words. */
const headerWords = 4;
/** So that a word that came from somewhere else, or from another frame, is not what it should be. */
const step = 0x9e37_79b1;

/**
 * Numbered frames of one size from a card to all. Each is filled to its last whole word with what follows from its number, so
 * that one that is damaged anywhere is known by it.
 */
export class Generator {
  readonly #card: Card;
  readonly #length: number;
  readonly #header: Uint32Array;
  /** All blocks of the pool. */
  readonly #words: Uint32Array;
  #next = 0;

  constructor(card: Card, length: number) {
    if (!Number.isInteger(length) || length < 60 || length > 1514) throw new RangeError(`A frame has 60 to 1514 bytes, not ${length}`);
    const station = card.station.split(':').map((byte) => parseInt(byte, 16));
    const header = Uint8Array.of(...new Array<number>(6).fill(0xff), ...station, etherType >> 8, etherType & 0xff, 0, 0);
    this.#card = card;
    this.#length = length;
    this.#header = new Uint32Array(header.buffer);
    this.#words = new Uint32Array(card.pool.buffer.memory);
  }

  /** How many were made. */
  get made(): number {
    return this.#next;
  }

  /** Fills the burst with new frames, as long as the pool has blocks and there are less than `most`. */
  fill(burst: Burst, most = Infinity): void {
    const words = this.#words;
    while (burst.count < burst.capacity && this.#next < most) {
      const block = this.#card.pool.take();
      if (block === undefined) return;
      const first = block.offset >>> 2;
      const end = first + (this.#length >>> 2);
      for (let index = 0; index < headerWords; index += 1) words[first + index] = this.#header[index]!;
      for (let at = first + headerWords, value = this.#next; at < end; at += 1, value = (value + step) | 0) words[at] = value;
      burst.add(block, this.#length);
      this.#next += 1;
    }
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
