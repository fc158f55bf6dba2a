import type { DmaBlock, DmaPool } from 'vfio';

/** Frames that go through together, by the numbers of their blocks in the pool, so that nothing is allocated for each: the first `count`. */
export class Burst {
  readonly numbers: Uint32Array;
  /** Bytes of each frame, without its checksum. */
  readonly lengths: Uint16Array;
  readonly capacity: number;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.numbers = new Uint32Array(capacity);
    this.lengths = new Uint16Array(capacity);
  }

  add(block: DmaBlock, length: number): void {
    this.numbers[this.count] = block.index;
    this.lengths[this.count] = length;
    this.count += 1;
  }

  /** Forgets the first ones, which somebody took. */
  drop(taken: number): void {
    const left = this.count - taken;
    if (left > 0) {
      this.numbers.copyWithin(0, taken, this.count);
      this.lengths.copyWithin(0, taken, this.count);
    }
    this.count = left;
  }

  /** Gives the blocks of all back to their pool. */
  giveBack(pool: DmaPool): void {
    pool.giveMany(this.numbers, 0, this.count);
    this.count = 0;
  }
}
