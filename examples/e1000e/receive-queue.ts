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

  /** `count` is a multiple of 8. The pool's blocks have 2048 bytes. */
  constructor(mmio: Mmio, dma: AddressSpace, pool: DmaPool, queue: number, count: number) {
    this.#registers = deviceRegisters(receiveRing(queue), mmio);
    this.#pool = pool;
    this.#ring = DescriptorRing.allocate(dma, receiveDescriptor, count);
    this.#blocks = new Array<DmaBlock>(count);
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
    const ring = this.#ring;
    const before = burst.count;
    const first = ring.head;
    while (burst.count < burst.capacity) {
      const descriptor = ring.oldest();
      const { status } = descriptor;
      if ((status & descriptorDone) === 0) break;
      const fresh = this.#pool.take();
      // Frames stay in the ring until there are blocks again.
      if (fresh === undefined) break;
      const block = this.#blocks[ring.head]!;
      if ((status & (endOfPacket | receiveErrors)) === endOfPacket) burst.add(block, descriptor.length);
      else this.#pool.give(block);
      ring.shift();
      this.#offer(fresh);
    }
    if (ring.head !== first) this.#registers.TAIL.write(ring.tail);
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
