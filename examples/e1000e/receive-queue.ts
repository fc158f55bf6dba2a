import type { AddressSpace, DmaBlock, DmaPool, Mmio } from 'vfio';
import { DescriptorRing, deviceRegisters, type DeviceRegisters } from 'vfio/driver';
import type { Burst } from './burst.js';
import { descriptorDone, endOfPacket, receiveDescriptor, receiveErrors, receiveRing, startRing, type RingRegisters } from './layout.js';

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

  /** `count` is a multiple of 8. The pool's blocks have 2048 bytes. */
  constructor(mmio: Mmio, dma: AddressSpace, pool: DmaPool, queue: number, count: number) {
    this.#registers = deviceRegisters(receiveRing(queue), mmio);
    this.#pool = pool;
    this.#ring = DescriptorRing.allocate(dma, receiveDescriptor, count);
    this.#blocks = new Array<DmaBlock>(count);
    this.#telling = Math.min(32, count / 2);
    while (this.#ring.free > 0) {
      const block = pool.take();
      if (block === undefined) throw new RangeError(`The pool has too few blocks for a ring of ${count}`);
      this.#offer(block);
    }
  }

  start(): void {
    startRing(this.#registers, this.#ring.buffer);
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
