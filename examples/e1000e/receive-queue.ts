import type { DmaPool, Mmio } from 'vfio';
import { deviceRegisters, type DescriptorRing, type DeviceRegisters } from 'vfio/driver';
import { blockAddresses } from './block-addresses.js';
import type { Burst } from './burst.js';
import { descriptorDone, endOfPacket, receiveErrors, receiveRing, type receiveDescriptor, type RingRegisters } from './layout.js';

/** A ring of blocks that the card fills with frames. */
export class ReceiveQueue {
  readonly #registers: DeviceRegisters<RingRegisters>;
  readonly #pool: DmaPool;
  readonly #addresses: Uint32Array;
  readonly #ring: DescriptorRing<typeof receiveDescriptor>;
  /** The ring's memory, of which each descriptor is four: what each frame needs is read and written by the word. */
  readonly #words: Uint32Array;
  /** The numbers of the blocks that are in the ring, by place. */
  readonly #numbers: Uint32Array;
  /** How many fresh blocks the card has not been told of, and of how many it is told at once: that takes longer than a frame. */
  #untold = 0;
  readonly #telling: number;

  /** Of a ring that has nothing in it, and is filled. The pool's blocks have 2048 bytes. */
  constructor(mmio: Mmio, ring: DescriptorRing<typeof receiveDescriptor>, pool: DmaPool, queue: 0 | 1) {
    this.#registers = deviceRegisters(receiveRing(queue), mmio);
    this.#pool = pool;
    this.#addresses = blockAddresses(pool);
    this.#ring = ring;
    this.#words = new Uint32Array(ring.buffer.memory);
    this.#numbers = new Uint32Array(ring.count);
    this.#telling = Math.min(32, ring.count / 2);
    if (pool.free < ring.free) throw new RangeError(`The pool has too few blocks for a ring of ${ring.count}`);
    this.#offer(ring.free);
  }

  start(): void {
    this.#registers.TAIL.write(this.#ring.tail);
  }

  /** Adds frames that have come to the burst, as far as it has room. Each block is the caller's, to send or to give back. */
  receive(burst: Burst): number {
    const ring = this.#ring;
    const words = this.#words;
    const inRing = this.#numbers;
    const { numbers, lengths, count: before } = burst;
    // Frames stay in the ring until there are blocks for their places.
    const most = Math.min(burst.capacity - before, this.#pool.free);
    const places = ring.count;
    let count = before;
    let taken = 0;
    for (let place = ring.head; taken < most; taken += 1, place = place + 1 === places ? 0 : place + 1) {
      const status = Atomics.load(words, 4 * place + 2);
      if ((status & descriptorDone) === 0) break;
      if ((status & (endOfPacket | receiveErrors)) === endOfPacket) {
        numbers[count] = inRing[place]!;
        lengths[count] = words[4 * place + 3]! & 0xffff;
        count += 1;
      } else this.#pool.giveMany(inRing, place, 1);
    }
    if (taken === 0) return 0;
    ring.shift(taken);
    burst.count = count;
    this.#offer(taken);
    this.#untold += taken;
    if (this.#untold >= this.#telling) {
      this.#registers.TAIL.write(ring.tail);
      this.#untold = 0;
    }
    return count - before;
  }

  /** Whether there are frames to be received. */
  get ready(): boolean {
    return (this.#ring.oldest().status & descriptorDone) !== 0;
  }

  /** Puts so many fresh blocks in the ring, which has room for them, as the pool has them. */
  #offer(count: number): void {
    const ring = this.#ring;
    const words = this.#words;
    const addresses = this.#addresses;
    const inRing = this.#numbers;
    const beforeEnd = Math.min(count, ring.count - ring.tail);
    this.#pool.takeMany(inRing, ring.tail, beforeEnd);
    if (count > beforeEnd) this.#pool.takeMany(inRing, 0, count - beforeEnd);
    const places = ring.count;
    for (let left = count, place = ring.tail; left > 0; left -= 1, place = place + 1 === places ? 0 : place + 1) {
      const number = inRing[place]!;
      words[4 * place] = addresses[2 * number]!;
      words[4 * place + 1] = addresses[2 * number + 1]!;
      words[4 * place + 2] = 0;
    }
    ring.push(count);
  }
}
