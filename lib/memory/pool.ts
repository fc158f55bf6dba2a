import { expected } from '../kernel/error.js';
import { Resource, together, togetherAsync } from '../kernel/resource.js';
import type { AddressSpace } from './address-space.js';
import type { AllocateOptions } from './allocate-options.js';
import type { DmaBuffer } from './buffer.js';
import { checkedSize } from './process-memory.js';
import type { SharedBuffer } from './shared-buffer.js';

export interface DmaPoolOptions extends AllocateOptions {
  /** Bytes of a block. */
  readonly blockSize: number;
  /** How many blocks there are. */
  readonly count: number;
}

/** A part of a pool's memory: the pool's own object, the same each time the block is taken. */
export class DmaBlock {
  /** Its number in the pool, from 0. */
  readonly index: number;
  /** Where it begins in the pool's memory, in bytes. */
  readonly offset: number;
  /** Where devices see its first byte. */
  readonly iova: bigint;
  /** Its bytes: one view, made at the start. */
  readonly bytes: Uint8Array<ArrayBuffer>;

  /** `DmaPool` makes them. */
  constructor(index: number, offset: number, iova: bigint, bytes: Uint8Array<ArrayBuffer>) {
    this.index = index;
    this.offset = offset;
    this.iova = iova;
    this.bytes = bytes;
  }
}

/** Blocks begin on lines of the cache, so that two of them never share one. */
const line = 64;

/**
 * Blocks of one size for packets, commands or descriptors, out of one buffer that is mapped in one call. Taking and giving back
 * cost the same whatever the pool's size, and allocate nothing; what was given last, and is in the cache still, is taken first.
 *
 * A block that is a power of two in size, up to the page, is aligned to it. Closing the pool takes its memory from the devices.
 */
export class DmaPool extends Resource {
  /** Bytes of a block. */
  readonly blockSize: number;
  /** The memory of all blocks. */
  readonly buffer: DmaBuffer | SharedBuffer;
  /** Bytes from a block to the next: block 5 begins at 5 times that in the pool's memory. */
  readonly stride: number;
  readonly #blocks: readonly DmaBlock[];
  /** The numbers of the free ones, of which the first `#free` count. */
  readonly #stack: Uint32Array;
  #free: number;
  /** 1 where the block is taken, by its number. */
  readonly #taken: Uint8Array;

  private constructor(buffer: DmaBuffer | SharedBuffer, blockSize: number, count: number) {
    super(`Pool of ${buffer.label}`, buffer);
    this.buffer = buffer;
    this.blockSize = blockSize;
    const stride = strideOf(blockSize);
    this.stride = stride;
    this.#blocks = Array.from(
      { length: count },
      (_, index) =>
        new DmaBlock(index, index * stride, buffer.iova + BigInt(index * stride), new Uint8Array(buffer.memory, index * stride, blockSize)),
    );
    // The first is on top.
    this.#stack = Uint32Array.from(this.#blocks.keys()).reverse();
    this.#free = count;
    this.#taken = new Uint8Array(count);
  }

  /** Memory for `count` blocks, of an address space; closed with it. @throws as `space.allocate` */
  static create(space: AddressSpace, { blockSize, count, ...options }: DmaPoolOptions): DmaPool {
    const size = checkedBytes(blockSize, count);
    return together((undo) => new DmaPool(undo(space.allocate(size, options)), blockSize, count));
  }

  /** The same by `space.allocateAsync`, for gigabytes. */
  static async createAsync(space: AddressSpace, { blockSize, count, ...options }: DmaPoolOptions): Promise<DmaPool> {
    const size = checkedBytes(blockSize, count);
    return togetherAsync(async (undo) => new DmaPool(undo(await space.allocateAsync(size, options)), blockSize, count));
  }

  /**
   * Blocks of memory that there is already, as many as it has room for: of a buffer whose end is the pool's, and the other way
   * round. Of one that threads share, one alone has a pool over it: what is taken in one is free in the other still.
   * @throws RangeError when there is no room for one
   */
  static over(buffer: DmaBuffer | SharedBuffer, { blockSize }: Pick<DmaPoolOptions, 'blockSize'>): DmaPool {
    checkedBytes(blockSize, 1);
    const count = Math.floor(buffer.size / strideOf(blockSize));
    if (count === 0) throw expected(`at most ${buffer.size} bytes, the buffer's,`, 'blockSize', blockSize);
    return new DmaPool(buffer, blockSize, count);
  }

  /** How many blocks there are. */
  get count(): number {
    return this.#blocks.length;
  }

  /** How many of them are free. */
  get free(): number {
    return this.#free;
  }

  /** A free block, with what was in it; undefined when there is none. @throws ClosedError */
  take(): DmaBlock | undefined {
    if (this.#free === 0) return this.#none();
    this.#free -= 1;
    const index = this.#stack[this.#free]!;
    this.#taken[index] = 1;
    return this.#blocks[index];
  }

  /**
   * Takes free blocks by their numbers, at most `count`, into `numbers` from `start` on: for those who move many, and keep what
   * they need of each by its number. Returns how many there were. @throws RangeError where `numbers` has no room; ClosedError
   */
  takeMany(numbers: Uint32Array, start: number, count: number): number {
    if (!isRange(numbers, start, count)) throw outside(numbers, start, count);
    const taking = Math.min(count, this.#free);
    if (taking === 0) return this.#none() ?? 0;
    const stack = this.#stack;
    const taken = this.#taken;
    let free = this.#free;
    for (let at = start; at < start + taking; at += 1) {
      free -= 1;
      const index = stack[free]!;
      taken[index] = 1;
      numbers[at] = index;
    }
    this.#free = free;
    return taking;
  }

  /** Gives a block back, which no device uses any more. @throws RangeError for one that is free already, or another pool's; ClosedError */
  give(block: DmaBlock): void {
    const { index } = block;
    if (this.#taken[index] !== 1 || this.#blocks[index] !== block) this.#refuse(block);
    this.#taken[index] = 0;
    this.#stack[this.#free] = index;
    this.#free += 1;
  }

  /**
   * Gives blocks back by their numbers, `count` from `start` on.
   * @throws RangeError for one that is free already, or that is no block: those before it are given back then; ClosedError
   */
  giveMany(numbers: Uint32Array, start: number, count: number): void {
    if (!isRange(numbers, start, count)) throw outside(numbers, start, count);
    const stack = this.#stack;
    const taken = this.#taken;
    let free = this.#free;
    for (let at = start; at < start + count; at += 1) {
      const index = numbers[at]!;
      if (taken[index] !== 1) {
        this.#free = free;
        this.assertOpen();
        this.#refuse(this.at(index));
      }
      taken[index] = 0;
      stack[free] = index;
      free += 1;
    }
    this.#free = free;
  }

  /** The block of a number, as a device's answer may have it. @throws RangeError */
  at(index: number): DmaBlock {
    const block = this.#blocks[index];
    if (block === undefined) throw expected(`an integer from 0 to ${this.count - 1}`, 'index', index);
    return block;
  }

  #none(): undefined {
    this.assertOpen();
    return undefined;
  }

  #refuse(block: DmaBlock): never {
    this.assertOpen();
    if (this.#blocks[block.index] !== block) throw expected('a block of this pool', `block ${block.index}`, 'one of another');
    throw expected('a block that is taken', `block ${block.index}`, 'a free one');
  }

  protected override release(): void {
    // From here on, taking and giving go the slow way, which tells.
    this.#free = 0;
    this.#taken.fill(0);
    this.buffer.close();
  }
}

function isRange(numbers: Uint32Array, start: number, count: number): boolean {
  return start >= 0 && count >= 0 && Number.isInteger(start) && Number.isInteger(count) && start + count <= numbers.length;
}

function outside(numbers: Uint32Array, start: number, count: number): Error {
  return expected(`a range of the ${numbers.length} numbers`, 'start and count', `${start}, ${count}`);
}

function checkedBytes(blockSize: number, count: number): number {
  if (!Number.isSafeInteger(blockSize) || blockSize <= 0) throw expected('a positive integer', 'blockSize', blockSize);
  if (!Number.isSafeInteger(count) || count <= 0) throw expected('a positive integer', 'count', count);
  return checkedSize(strideOf(blockSize) * count);
}

function strideOf(blockSize: number): number {
  return Math.ceil(blockSize / line) * line;
}
