import type { DmaBlock, DmaPool, Mmio } from 'vfio';
import { deviceRegisters, type DescriptorRing, type DeviceRegisters } from 'vfio/driver';
import type { Burst } from './burst.js';
import { descriptorDone, endOfPacket, receiveDescriptor, receiveErrors, receiveRing, type RingRegisters } from './layout.js';

/** A ring of blocks that the card fills with frames. */
export class ReceiveQueue {
  readonly #registers: DeviceRegisters<RingRegisters>;
  readonly #pool: DmaPool;
  readonly #ring: DescriptorRing<typeof receiveDescriptor>;
  /** What is in the ring, by place. */
  readonly #blocks: DmaBlock[];
  /** How many fresh blocks the card has not been told of, and of how many it is told at once: that takes longer than a frame. */
  #untold = 0;
  readonly #telling: number;

  /** Of a ring that has nothing in it, and is filled. The pool's blocks have 2048 bytes. */
  constructor(mmio: Mmio, ring: DescriptorRing<typeof receiveDescriptor>, pool: DmaPool, queue: 0 | 1) {
    this.#registers = deviceRegisters(receiveRing(queue), mmio);
    this.#pool = pool;
    this.#ring = ring;
    this.#blocks = new Array<DmaBlock>(ring.count);
    this.#telling = Math.min(32, ring.count / 2);
    while (this.#ring.free > 0) {
      const block = pool.take();
      if (block === undefined) throw new RangeError(`The pool has too few blocks for a ring of ${ring.count}`);
      this.#offer(block);
    }
  }

  /** Gives the card all that is in the ring, which it knows already. */
  start(): void {
    this.#registers.TAIL.write(this.#ring.tail);
  }

  /** Adds frames that have come to the burst, as far as it has room. Each block is the caller's, to send or to give back. */
  receive(burst: Burst): number {
    const [ring, pool, blocks] = [this.#ring, this.#pool, this.#blocks];
    const before = burst.count;
    let untold = this.#untold;
    while (burst.count < burst.capacity) {
      const descriptor = ring.oldest();
      const { status } = descriptor;
      if ((status & descriptorDone) === 0) break;
      const fresh = pool.take();
      // Frames stay in the ring until there are blocks again.
      if (fresh === undefined) break;
      const block = blocks[ring.head]!;
      if ((status & (endOfPacket | receiveErrors)) === endOfPacket) burst.add(block, descriptor.length);
      else pool.give(block);
      ring.shift();
      this.#offer(fresh);
      untold += 1;
    }
    if (untold >= this.#telling) {
      this.#registers.TAIL.write(ring.tail);
      untold = 0;
    }
    this.#untold = untold;
    return burst.count - before;
  }

  /** Whether there are frames to be received. */
  get ready(): boolean {
    return (this.#ring.oldest().status & descriptorDone) !== 0;
  }

  #offer(block: DmaBlock): void {
    const descriptor = this.#ring.next();
    descriptor.address = block.iova;
    descriptor.cleared = 0;
    this.#blocks[this.#ring.tail] = block;
    this.#ring.push();
  }
}
