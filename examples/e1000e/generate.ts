import type { Burst } from './burst.js';
import type { Card } from './card.js';

/** The type of frames for experiments (IEEE 802), so that no station takes them for something. */
const etherType = 0x88b5;
const headerBytes = 14;

/** Numbered frames of one size from a card to all. Each carries its number twice: behind the header, and in its last four bytes. */
export class Generator {
  readonly #card: Card;
  readonly #length: number;
  readonly #header: Uint8Array;
  #next = 0;

  constructor(card: Card, length: number) {
    if (!Number.isInteger(length) || length < 60 || length > 1514) throw new RangeError(`A frame has 60 to 1514 bytes, not ${length}`);
    const station = card.station.split(':').map((byte) => parseInt(byte, 16));
    this.#card = card;
    this.#length = length;
    this.#header = Uint8Array.of(...new Array<number>(6).fill(0xff), ...station, etherType >> 8, etherType & 0xff);
  }

  /** How many were made. */
  get made(): number {
    return this.#next;
  }

  /** Fills the burst with new frames, as long as the pool has blocks and there are less than `most`. */
  fill(burst: Burst, most = Infinity): void {
    while (burst.count < burst.capacity && this.#next < most) {
      const block = this.#card.pool.take();
      if (block === undefined) return;
      block.bytes.set(this.#header);
      writeNumber(block.bytes, headerBytes, this.#next);
      writeNumber(block.bytes, this.#length - 4, this.#next);
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

  /** Looks at each of the burst and gives it back. */
  take(burst: Burst, card: Card): void {
    for (let index = 0; index < burst.count; index += 1) {
      const block = burst.blocks[index]!;
      const { bytes } = block;
      const number = readNumber(bytes, headerBytes);
      if (readNumber(bytes, burst.lengths[index]! - 4) !== number) this.damaged += 1;
      if (number !== this.received) this.misplaced += 1;
      this.received += 1;
      card.pool.give(block);
    }
    burst.count = 0;
  }
}

function writeNumber(bytes: Uint8Array, at: number, number: number): void {
  bytes[at] = number >>> 24;
  bytes[at + 1] = number >>> 16;
  bytes[at + 2] = number >>> 8;
  bytes[at + 3] = number;
}

function readNumber(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
