import type { DmaPool, Mmio } from 'vfio';
import { deviceRegisters, type DescriptorRing, type DeviceRegisters } from 'vfio/driver';
import { blockAddresses } from './block-addresses.js';
import type { Burst } from './burst.js';
import {
  descriptorDone,
  endOfFrame,
  insertChecksum,
  reportStatus,
  transmitRing,
  type RingRegisters,
  type transmitDescriptor,
} from './layout.js';

/** A ring of frames to send. Their blocks go back to the pool when they are sent. */
export class TransmitQueue {
  readonly #registers: DeviceRegisters<RingRegisters>;
  readonly #pool: DmaPool;
  readonly #addresses: Uint32Array;
  readonly #ring: DescriptorRing<typeof transmitDescriptor>;
  /** The ring's memory, of which each descriptor is four: what each frame needs is written by the word, a fifth of the time. */
  readonly #words: Uint32Array;
  /** The numbers of the blocks that are in the ring, by place. */
  readonly #numbers: Uint32Array;
  /** Of the first place of each burst that is in the ring: its last, the only one of which the card reports that it is sent. */
  readonly #reported: Uint16Array;

  /** Of a ring that has nothing in it, and that the card knows. */
  constructor(mmio: Mmio, ring: DescriptorRing<typeof transmitDescriptor>, pool: DmaPool, queue: 0 | 1) {
    this.#registers = deviceRegisters(transmitRing(queue), mmio);
    this.#pool = pool;
    this.#addresses = blockAddresses(pool);
    this.#ring = ring;
    this.#words = new Uint32Array(ring.buffer.memory);
    this.#numbers = new Uint32Array(ring.count);
    this.#reported = new Uint16Array(ring.count);
  }

  /** Hands frames to the card, as many as there is room for, and drops those from the burst. Returns how many. */
  send(burst: Burst): number {
    this.reclaim();
    const ring = this.#ring;
    const sending = Math.min(burst.count, ring.free);
    if (sending === 0) return 0;
    const words = this.#words;
    const addresses = this.#addresses;
    const inRing = this.#numbers;
    const { numbers, lengths } = burst;
    const first = ring.tail;
    const places = ring.count;
    let last = first;
    for (let index = 0, place = first; index < sending; index += 1, place = place + 1 === places ? 0 : place + 1) {
      const number = numbers[index]!;
      const word = 4 * place;
      words[word] = addresses[2 * number]!;
      words[word + 1] = addresses[2 * number + 1]!;
      words[word + 2] = endOfFrame | insertChecksum | lengths[index]!;
      inRing[place] = number;
      last = place;
    }
    words[4 * last + 2]! |= reportStatus;
    words[4 * last + 3] = 0;
    this.#reported[first] = last;
    ring.push(sending);
    this.#registers.TAIL.write(ring.tail);
    burst.drop(sending);
    return sending;
  }

  /** Gives blocks of bursts that were sent back to the pool. */
  reclaim(): void {
    const ring = this.#ring;
    const pool = this.#pool;
    const inRing = this.#numbers;
    while (ring.used > 0) {
      const first = ring.head;
      const last = this.#reported[first]!;
      if ((Atomics.load(this.#words, 4 * last + 3) & descriptorDone) === 0) return;
      if (last >= first) pool.giveMany(inRing, first, last + 1 - first);
      else {
        pool.giveMany(inRing, first, ring.count - first);
        pool.giveMany(inRing, 0, last + 1);
      }
      ring.shift(((last - first + ring.count) % ring.count) + 1);
    }
  }

  /** How many frames the card has not reported yet. */
  get pending(): number {
    this.reclaim();
    return this.#ring.used;
  }
}
