import { checkedInteger, checked64, expected } from './error.js';
import type { Mmio, Poll, RegisterValues } from './kernel.js';

export type Width = 1 | 2 | 4 | 8;

/** Milliseconds; a poll holds up everything else of its thread. */
const longestPoll = 1000;

/** Where no call makes several accesses at once: the batch forms, of single ones. */
export abstract class StepwiseMmio implements Mmio {
  abstract read8(offset: number): number;
  abstract read16(offset: number): number;
  abstract read32(offset: number): number;
  abstract read64(offset: number): bigint;
  abstract write8(offset: number, value: number): void;
  abstract write16(offset: number, value: number): void;
  abstract write32(offset: number, value: number): void;
  abstract write64(offset: number, value: bigint): void;

  /** Refuses what cannot be accessed at all. */
  protected abstract assertAllowed(access: 'read' | 'write'): void;
  /** Bytes from offset 0 on. */
  protected abstract get end(): number;

  /** Milliseconds, by the clock that polls go by. */
  protected get now(): number {
    return performance.now();
  }

  readRange(offset: number, into: RegisterValues): void {
    this.assertAllowed('read');
    const width = widthOf('into', into);
    checkOffset('offset', offset, width, this.end - width * into.length);
    if (width === 8) {
      const longs = into as BigUint64Array;
      for (let index = 0; index < longs.length; index += 1) longs[index] = this.read64(offset + index * width);
    } else {
      const numbers = into as Exclude<RegisterValues, BigUint64Array>;
      const read = { 1: this.read8, 2: this.read16, 4: this.read32 }[width];
      for (let index = 0; index < numbers.length; index += 1) numbers[index] = read.call(this, offset + index * width);
    }
  }

  writeList(offsets: Uint32Array, values: RegisterValues): void {
    this.assertAllowed('write');
    if (typeName(offsets) !== 'Uint32Array') throw new TypeError(`Expected a Uint32Array for offsets but received ${String(offsets)}`);
    const width = widthOf('values', values);
    if (values.length !== offsets.length) throw expected(`as many as the ${offsets.length} offsets`, 'values', values.length);
    offsets.forEach((offset, index) => checkOffset(`offsets[${index}]`, offset, width, this.end - width));
    const write = { 1: this.write8, 2: this.write16, 4: this.write32 };
    offsets.forEach((offset, index) => {
      if (width === 8) this.write64(offset, (values as BigUint64Array)[index] ?? 0n);
      else write[width].call(this, offset, Number(values[index]));
    });
  }

  poll8(offset: number, poll: Poll<number>): number | undefined {
    return this.#poll(offset, 1, () => this.read8(offset), matcher, poll);
  }
  poll16(offset: number, poll: Poll<number>): number | undefined {
    return this.#poll(offset, 2, () => this.read16(offset), matcher, poll);
  }
  poll32(offset: number, poll: Poll<number>): number | undefined {
    return this.#poll(offset, 4, () => this.read32(offset), matcher, poll);
  }
  poll64(offset: number, poll: Poll<bigint>): bigint | undefined {
    return this.#poll(offset, 8, () => this.read64(offset), matcher64, poll);
  }

  /** The last read comes after the time, so that a thread that was held up meanwhile still finds what came in it. */
  #poll<Value extends number | bigint>(
    offset: number,
    width: Width,
    read: () => Value,
    matcherOf: (poll: Poll<Value>, width: Width) => (value: Value) => boolean,
    poll: Poll<Value>,
  ): Value | undefined {
    this.assertAllowed('read');
    checkOffset('offset', offset, width, this.end - width);
    const matches = matcherOf(poll, width);
    const { timeoutMilliseconds } = poll;
    if (!(timeoutMilliseconds >= 0 && timeoutMilliseconds <= longestPoll))
      throw expected(`a number from 0 to ${longestPoll}`, 'timeoutMilliseconds', timeoutMilliseconds);
    const end = this.now + timeoutMilliseconds;
    let value = read();
    for (let late = timeoutMilliseconds === 0; !late && !matches(value); value = read()) late = this.now >= end;
    return matches(value) ? value : undefined;
  }
}

function matcher({ mask, wanted }: Poll<number>, width: Width): (value: number) => boolean {
  const most = 2 ** (8 * width) - 1;
  checkedInteger('mask', mask, most);
  checkedInteger('wanted', wanted, most);
  if ((wanted & mask) >>> 0 !== wanted) throw expected('only bits of mask', 'wanted', wanted);
  return (value) => (value & mask) >>> 0 === wanted;
}

function matcher64({ mask, wanted }: Poll<bigint>): (value: bigint) => boolean {
  checked64('mask', mask);
  checked64('wanted', wanted);
  if ((wanted & mask) !== wanted) throw expected('only bits of mask', 'wanted', wanted);
  return (value) => (value & mask) === wanted;
}

/** Refuses an offset that is no multiple of `width` up to `most`. */
export function checkOffset(name: string, offset: number, width: Width, most: number): void {
  if (!Number.isInteger(offset) || offset < 0 || offset > most || offset % width !== 0)
    throw expected(`a multiple of ${width} from 0 to ${most}`, name, offset);
}

/** As the engine calls it, whichever realm it is from: 'Uint32Array'. */
function typeName(array: unknown): string | undefined {
  return ArrayBuffer.isView(array) ? Object.prototype.toString.call(array).slice('[object '.length, -1) : undefined;
}

function widthOf(name: string, array: RegisterValues): Width {
  const width = ({ Uint8Array: 1, Uint16Array: 2, Uint32Array: 4, BigUint64Array: 8 } as const)[typeName(array) ?? ''];
  if (width === undefined)
    throw new TypeError(`Expected a Uint8Array, Uint16Array, Uint32Array or BigUint64Array for ${name} but received ${String(array)}`);
  return width;
}
