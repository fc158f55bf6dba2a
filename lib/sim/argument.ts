import type { StructType } from '../abi/struct.js';
import type { UserMemory } from './user-memory.js';

/** The third argument of ioctl(2): a number, which may be a pointer, or the memory a pointer would point to. */
export class Argument {
  readonly #value: number | Uint8Array;
  readonly #memory: UserMemory;

  constructor(value: number | Uint8Array, memory: UserMemory) {
    this.#value = value;
    this.#memory = memory;
  }

  /** By value. A caller that gave memory gave, in C, its address: no number any request expects. */
  get number(): number {
    return typeof this.#value === 'number' ? this.#value : Number.MAX_SAFE_INTEGER;
  }

  /** copy_from_user of `size` bytes; undefined is EFAULT. Memory shorter than that reads as zero past its end. */
  copyFrom(size: number, offset = 0): Uint8Array | undefined {
    if (typeof this.#value === 'number') return this.#memory.read(BigInt(this.#value + offset), size);
    const copy = new Uint8Array(size);
    copy.set(this.#value.subarray(offset, offset + size));
    return copy;
  }

  /** copy_to_user; false is EFAULT. */
  copyTo(bytes: Uint8Array, offset = 0): boolean {
    if (typeof this.#value === 'number') return this.#memory.write(BigInt(this.#value + offset), bytes);
    this.#value.set(bytes.subarray(0, Math.max(0, this.#value.byteLength - offset)), offset);
    return true;
  }

  /** copy_from_user of what a pointer in the argument leads to; undefined is EFAULT. */
  readAt(address: bigint, size: number): Uint8Array | undefined {
    return this.#memory.read(address, size);
  }

  /** copy_to_user, likewise; false is EFAULT. */
  writeAt(address: bigint, bytes: Uint8Array): boolean {
    return this.#memory.write(address, bytes);
  }

  /** The struct, of which the first `minimum` bytes come from the caller and the rest is zero. */
  struct<T extends StructType>(type: T, minimum: number): ReturnType<T['create']> | undefined {
    const given = this.copyFrom(minimum);
    if (given === undefined) return undefined;
    const view = type.create();
    view.bytes.set(given);
    return view as ReturnType<T['create']>;
  }

  /** strndup_user: text up to its zero byte. A string means that much, a number an error. */
  text(limit: number, faulted: number, tooLong: number): string | number {
    const bytes: number[] = [];
    for (let offset = 0; offset < limit; offset += 1) {
      const byte = this.copyFrom(1, offset);
      if (byte === undefined) return faulted;
      if (byte[0] === 0) return Buffer.from(bytes).toString('latin1');
      bytes.push(byte[0] ?? 0);
    }
    return tooLong;
  }
}
