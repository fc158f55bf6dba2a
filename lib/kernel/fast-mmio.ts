import { checkedInteger, checked64, ClosedError, expected } from './error.js';
import type { Mmio, Poll, RegisterValues } from './kernel.js';

/**
 * Register access by JavaScript itself. A read is `Atomics.load` and a write is a plain store, and must be: those two are one
 * access of the element's width in every tier of V8. A plain read may be dropped, merged or repeated, `Atomics.store` reads
 * before it writes, and a DataView goes byte by byte while it is cold. `test/native/access-trace.test.ts` holds this to it.
 *
 * The views stay here: who had one could read a register without meaning to, by printing it.
 */
export class FastMmio implements Mmio {
  /** Offsets are of 32 bits here: arithmetic with more of them would cost more than the access. */
  static readonly mostBytes = 0xffff_ffff;

  readonly #bytes: Uint8Array;
  readonly #halves: Uint16Array;
  readonly #words: Uint32Array;
  readonly #longs: BigUint64Array;
  readonly #batch: Mmio;

  /** `memory` is detached when the mapping ends. `batch` makes the accesses that are many in one call. */
  constructor(memory: ArrayBuffer, batch: Mmio) {
    this.#bytes = new Uint8Array(memory);
    this.#halves = new Uint16Array(memory, 0, memory.byteLength >>> 1);
    this.#words = new Uint32Array(memory, 0, memory.byteLength >>> 2);
    this.#longs = new BigUint64Array(memory, 0, memory.byteLength >>> 3);
    this.#batch = batch;
  }

  read8(offset: number): number {
    const index = elementOf(offset, 0);
    if (index >= this.#bytes.length) throw this.#refusal(offset, 1);
    return Atomics.load(this.#bytes, index);
  }
  read16(offset: number): number {
    const index = elementOf(offset, 1);
    if (index >= this.#halves.length) throw this.#refusal(offset, 2);
    return Atomics.load(this.#halves, index);
  }
  read32(offset: number): number {
    const index = elementOf(offset, 2);
    if (index >= this.#words.length) throw this.#refusal(offset, 4);
    return Atomics.load(this.#words, index);
  }
  read64(offset: number): bigint {
    const index = elementOf(offset, 3);
    if (index >= this.#longs.length) throw this.#refusal(offset, 8);
    return Atomics.load(this.#longs, index);
  }
  write8(offset: number, value: number): void {
    const index = elementOf(offset, 0);
    if (index >= this.#bytes.length) throw this.#refusal(offset, 1);
    this.#bytes[index] = checkedInteger('value', value, 0xff);
  }
  write16(offset: number, value: number): void {
    const index = elementOf(offset, 1);
    if (index >= this.#halves.length) throw this.#refusal(offset, 2);
    this.#halves[index] = checkedInteger('value', value, 0xffff);
  }
  write32(offset: number, value: number): void {
    const index = elementOf(offset, 2);
    if (index >= this.#words.length) throw this.#refusal(offset, 4);
    this.#words[index] = checkedInteger('value', value);
  }
  write64(offset: number, value: bigint): void {
    const index = elementOf(offset, 3);
    if (index >= this.#longs.length) throw this.#refusal(offset, 8);
    this.#longs[index] = checked64('value', value);
  }
  readRange(offset: number, into: RegisterValues): void {
    this.#batch.readRange(offset, into);
  }
  writeList(offsets: Uint32Array, values: RegisterValues): void {
    this.#batch.writeList(offsets, values);
  }
  poll8(offset: number, poll: Poll<number>): number | undefined {
    return this.#batch.poll8(offset, poll);
  }
  poll16(offset: number, poll: Poll<number>): number | undefined {
    return this.#batch.poll16(offset, poll);
  }
  poll32(offset: number, poll: Poll<number>): number | undefined {
    return this.#batch.poll32(offset, poll);
  }
  poll64(offset: number, poll: Poll<bigint>): bigint | undefined {
    return this.#batch.poll64(offset, poll);
  }

  /** Detached views have no elements, so every access comes here after the mapping's end. */
  #refusal(offset: number, width: number): Error {
    if (this.#bytes.length === 0) return new ClosedError('The mapping');
    return expected(`a multiple of ${width} from 0 to ${this.#bytes.length - width}`, 'offset', offset);
  }
}

/** An index that no element has. */
const nowhere = FastMmio.mostBytes;

/** The element at `offset`, if each is two to the power of `shift` bytes. */
function elementOf(offset: number, shift: number): number {
  if (typeof offset !== 'number') return nowhere;
  const index = offset >>> shift;
  return index * (1 << shift) === offset ? index : nowhere;
}
