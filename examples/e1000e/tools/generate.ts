import type { DmaPool } from 'vfio';
import { parseStation } from '../addresses.js';
import type { Burst } from '../burst.js';
import { checkedInteger } from '../checked.js';
import { putWord, writeUdp } from '../packets.js';
import type { Port } from '../port.js';

/** The type of frames for experiments (IEEE 802), so that no station takes them for something. */
const etherType = 0x88b5;
/** The header's fourteen bytes and two more: what comes behind them is written and looked at in words. */
const headerWords = 4;
/** The same with the headers of IPv4 and UDP. */
const flowHeaderWords = 11;
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
  /**
   * Makes them UDP over IPv4 from 10.0.0.FLOW, 0 to 255. A card that shares flows out over two queues gives even ones to the
   * first, and odd ones to the second. Default: they are of no protocol.
   */
  readonly flow?: number;
}

/** Numbered frames of one size from a port to all. */
export class Generator {
  readonly #port: Port;
  readonly #size: number;
  /** Words of a frame that are written. */
  readonly #written: number;
  readonly #header: Uint32Array;
  /** All blocks of the pool. */
  readonly #words: Uint32Array;
  #next = 0;

  constructor(port: Port, { size, isFilled = true, flow }: GeneratorOptions) {
    if (!Number.isInteger(size) || size < 60 || size > 1514)
      throw new RangeError(`Expected an integer from 60 to 1514 for size but received ${size}`);
    const header = new Uint8Array(4 * (flow === undefined ? headerWords : flowHeaderWords));
    header.fill(0xff, 0, 6);
    header.set(parseStation(port.station), 6);
    if (flow === undefined) putWord(header, 12, etherType);
    else writeUdp(header, checkedInteger('flow', flow, 0, 255), size);
    this.#port = port;
    this.#size = size;
    this.#header = new Uint32Array(header.buffer);
    this.#written = isFilled ? size >>> 2 : this.#header.length + 1;
    this.#words = new Uint32Array(port.pool.buffer.memory);
  }

  /** How many were made. */
  get made(): number {
    return this.#next;
  }

  /** Fills the burst with new frames, as long as the pool has blocks and there are less than `most`. */
  fill(burst: Burst, most = Infinity): void {
    const words = this.#words;
    const written = this.#written;
    const size = this.#size;
    const header = this.#header;
    const { pool } = this.#port;
    const { numbers, lengths } = burst;
    const stride = pool.stride >>> 2;
    const wanted = Math.min(burst.capacity - burst.count, Math.max(0, most - this.#next));
    const end = burst.count + pool.takeMany(numbers, burst.count, wanted);
    let next = this.#next;
    for (let index = burst.count; index < end; index += 1) {
      const first = numbers[index]! * stride;
      for (let word = 0; word < header.length; word += 1) words[first + word] = header[word]!;
      for (let at = first + header.length, value = next; at < first + written; at += 1, value = (value + step) | 0) words[at] = value;
      lengths[index] = size;
      next += 1;
    }
    burst.count = end;
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
  readonly #headerWords: number;
  readonly #words: Uint32Array;

  /** Of frames in blocks of this pool: of one flow, or of no protocol. */
  constructor(pool: DmaPool, { isFlow = false } = {}) {
    this.#pool = pool;
    this.#headerWords = isFlow ? flowHeaderWords : headerWords;
    this.#words = new Uint32Array(pool.buffer.memory);
  }

  /** Looks at each of the burst and gives it back. */
  take(burst: Burst): void {
    const words = this.#words;
    const skipped = this.#headerWords;
    const stride = this.#pool.stride >>> 2;
    for (let index = 0; index < burst.count; index += 1) {
      const begin = burst.numbers[index]! * stride;
      const [first, end] = [begin + skipped, begin + (burst.lengths[index]! >>> 2)];
      const number = words[first]!;
      let isWhole = true;
      for (let at = first, value = number; at < end; at += 1, value = (value + step) >>> 0) isWhole &&= words[at] === value;
      if (!isWhole) this.damaged += 1;
      if (number !== this.received) this.misplaced += 1;
      this.received += 1;
    }
    burst.giveBack(this.#pool);
  }
}
