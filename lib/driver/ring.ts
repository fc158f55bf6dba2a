import type { StructArray, StructType } from '../abi/struct.js';
import { expected } from '../kernel/error.js';
import type { AddressSpace } from '../memory/address-space.js';
import type { AllocateOptions } from '../memory/allocate-options.js';
import type { DmaBuffer } from '../memory/buffer.js';
import type { SharedBuffer } from '../memory/shared-buffer.js';

/** @inline */
type FieldsOf<T> = T extends StructType<infer F> ? F : never;
/** A descriptor at a place; the ring's own object, moved there. */
export type Descriptor<T extends StructType> = ReturnType<StructArray<FieldsOf<T>>['at']>;

/**
 * Descriptors in memory that the device reaches, used one after the other, round and round. Of the descriptors from `head` up
 * to `tail` a driver waits for news; the others are free, and one of them always stays so: full and empty would look the same.
 *
 * A ring that a driver fills (transmit, receive, submission): write `next()`, `push()`, and tell the device `tail`; when the
 * device is done with `oldest()`, `shift()`. A ring that only the device fills (completion): `oldest()`, `shift()`, and tell it
 * `head`; `laps` tells which phase is new.
 */
export class DescriptorRing<T extends StructType> {
  /** How many descriptors there are. */
  readonly count: number;
  /** Their memory. What `allocate` made is closed with its address space. */
  readonly buffer: DmaBuffer | SharedBuffer;
  readonly #descriptors: StructArray<FieldsOf<T>>;
  #head = 0;
  #tail = 0;
  #laps = 0;

  private constructor(buffer: DmaBuffer | SharedBuffer, type: T, count: number) {
    this.buffer = buffer;
    this.count = count;
    this.#descriptors = type.array(buffer.memory, 0, count);
  }

  /** Zeroed memory for `count` descriptors, of which one less can be in use. @throws as `space.allocate` */
  static allocate<T extends StructType>(space: AddressSpace, type: T, count: number, options?: AllocateOptions): DescriptorRing<T> {
    return new DescriptorRing(space.allocate(checkedCount(count) * type.size, options), type, count);
  }

  /** The same in memory that there is already, from its beginning: what is there stays. @throws RangeError when it is too small */
  static over<T extends StructType>(buffer: DmaBuffer | SharedBuffer, type: T, count: number): DescriptorRing<T> {
    const most = Math.floor(buffer.size / type.size);
    if (checkedCount(count) > most) throw expected(`at most the ${most} that the buffer has room for`, 'count', count);
    return new DescriptorRing(buffer, type, count);
  }

  /** Where devices see the first. */
  get iova(): bigint {
    return this.buffer.iova;
  }

  /** The oldest that is in use, and the next to be filled: places from 0. */
  get head(): number {
    return this.#head;
  }
  get tail(): number {
    return this.#tail;
  }

  /** How many are in use, and how many can be pushed. */
  get used(): number {
    const distance = this.#tail - this.#head;
    return distance < 0 ? distance + this.count : distance;
  }
  get free(): number {
    return this.count - 1 - this.used;
  }

  /** How often `head` has come round: where a device turns a phase bit in each lap, its parity. */
  get laps(): number {
    return this.#laps;
  }

  /** The descriptor at `tail`, for the driver to fill before `push`. */
  next(): Descriptor<T> {
    return this.#descriptors.at(this.#tail) as Descriptor<T>;
  }

  /** Takes the next one into use, or so many of them. The ring does not look whether they are free: compare `free` once for many. */
  push(count = 1): void {
    const tail = this.#tail + count;
    this.#tail = tail < this.count ? tail : tail - this.count;
  }

  /** The descriptor at `head`. */
  oldest(): Descriptor<T> {
    return this.#descriptors.at(this.#head) as Descriptor<T>;
  }

  /** Is done with the oldest, or with so many of them. The ring does not look whether they are in use. */
  shift(count = 1): void {
    const head = this.#head + count;
    if (head < this.count) this.#head = head;
    else {
      this.#head = head - this.count;
      this.#laps += 1;
    }
  }

  /** Any of them. @throws RangeError */
  at(place: number): Descriptor<T> {
    return this.#descriptors.at(place) as Descriptor<T>;
  }
}

function checkedCount(count: number): number {
  if (!Number.isSafeInteger(count) || count < 2) throw expected('an integer from 2 on', 'count', count);
  return count;
}
