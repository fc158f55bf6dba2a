import type { DmaBlock } from 'vfio';

/** Frames that go through together, so that nothing is allocated for each: the first `count` of them. */
export class Burst {
  readonly blocks: DmaBlock[];
  /** Bytes of each frame, without its checksum. */
  readonly lengths: Uint16Array;
  readonly capacity: number;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.blocks = new Array<DmaBlock>(capacity);
    this.lengths = new Uint16Array(capacity);
  }

  add(block: DmaBlock, length: number): void {
    this.blocks[this.count] = block;
    this.lengths[this.count] = length;
    this.count += 1;
  }

  /** Forgets the first ones, which somebody took. */
  drop(taken: number): void {
    const left = this.count - taken;
    if (left > 0) {
      this.blocks.copyWithin(0, taken, this.count);
      this.lengths.copyWithin(0, taken, this.count);
    }
    this.count = left;
  }
}
