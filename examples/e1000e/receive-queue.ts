import type { AddressSpace, DmaBlock, DmaBuffer, DmaPool } from 'vfio';
import type { DeviceRegisters } from 'vfio/driver';
import type { Burst } from './burst.js';
import { descriptorDone, endOfPacket, receiveDescriptor, type layout } from './layout.js';

/** A ring of blocks that the card fills with frames. */
export class ReceiveQueue {
  readonly #registers: DeviceRegisters<typeof layout>;
  readonly #pool: DmaPool;
  readonly #count: number;
  readonly #ring: DmaBuffer;
  readonly #descriptors: ReturnType<typeof receiveDescriptor.array>;
  readonly #blocks: DmaBlock[];
  #next = 0;

  /** `count` is a multiple of 8. The pool's blocks have 2048 bytes. */
  constructor(registers: DeviceRegisters<typeof layout>, dma: AddressSpace, pool: DmaPool, count: number) {
    this.#registers = registers;
    this.#pool = pool;
    this.#count = count;
    this.#ring = dma.allocate(count * receiveDescriptor.size);
    this.#descriptors = receiveDescriptor.array(this.#ring.memory, 0, count);
    this.#blocks = Array.from({ length: count }, (_, place) => this.#offer(place, this.#fresh()));
  }

  start(): void {
    const { RDBAL, RDBAH, RDLEN, RDH, RDT } = this.#registers;
    RDBAL.write(Number(this.#ring.iova & 0xffff_ffffn));
    RDBAH.write(Number(this.#ring.iova >> 32n));
    RDLEN.write(this.#count * receiveDescriptor.size);
    RDH.write(0);
    // One place stays the driver's: full and empty would look the same.
    RDT.write(this.#count - 1);
  }

  /** Adds frames that have come to the burst, as far as it has room. Each block is the caller's, to send or to give back. */
  receive(burst: Burst): number {
    const before = burst.count;
    const first = this.#next;
    while (burst.count < burst.capacity) {
      const descriptor = this.#descriptors.at(this.#next);
      if ((descriptor.status & descriptorDone) === 0) break;
      const fresh = this.#pool.take();
      // Frames stay in the ring until there are blocks again.
      if (fresh === undefined) break;
      const block = this.#blocks[this.#next]!;
      const whole = (descriptor.status & endOfPacket) !== 0 && descriptor.errors === 0;
      if (whole) burst.add(block, descriptor.length);
      else this.#pool.give(block);
      this.#blocks[this.#next] = this.#offer(this.#next, fresh);
      this.#next = this.#next + 1 === this.#count ? 0 : this.#next + 1;
    }
    // The card may have all but the place that is looked at next.
    if (this.#next !== first) this.#registers.RDT.write(this.#next === 0 ? this.#count - 1 : this.#next - 1);
    return burst.count - before;
  }

  #fresh(): DmaBlock {
    const block = this.#pool.take();
    if (block === undefined) throw new RangeError(`The pool has too few blocks for a ring of ${this.#count}`);
    return block;
  }

  #offer(place: number, block: DmaBlock): DmaBlock {
    const descriptor = this.#descriptors.at(place);
    descriptor.address = block.iova;
    descriptor.status = 0;
    return block;
  }
}
