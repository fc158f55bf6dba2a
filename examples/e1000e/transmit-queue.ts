import type { DmaBlock, DmaPool, Mmio } from 'vfio';
import { deviceRegisters, type DescriptorRing, type DeviceRegisters } from 'vfio/driver';
import type { Burst } from './burst.js';
import {
  descriptorDone,
  endOfFrame,
  insertChecksum,
  reportStatus,
  transmitDescriptor,
  transmitRing,
  type RingRegisters,
} from './layout.js';

/** A ring of frames to send. Their blocks go back to the pool when they are sent. */
export class TransmitQueue {
  readonly #registers: DeviceRegisters<RingRegisters>;
  readonly #pool: DmaPool;
  readonly #ring: DescriptorRing<typeof transmitDescriptor>;
  /** What is in the ring, by place. */
  readonly #blocks: DmaBlock[];
  /** Of the first place of each burst that is in the ring: its last, the only one of which the card reports that it is sent. */
  readonly #reported: Uint16Array;

  /** Of a ring that has nothing in it, and that the card knows. */
  constructor(mmio: Mmio, ring: DescriptorRing<typeof transmitDescriptor>, pool: DmaPool, queue: 0 | 1) {
    this.#registers = deviceRegisters(transmitRing(queue), mmio);
    this.#pool = pool;
    this.#ring = ring;
    this.#blocks = new Array<DmaBlock>(ring.count);
    this.#reported = new Uint16Array(ring.count);
  }

  /** Hands frames to the card, as many as there is room for, and drops those from the burst. Returns how many. */
  send(burst: Burst): number {
    this.reclaim();
    const ring = this.#ring;
    const sending = Math.min(burst.count, ring.free);
    if (sending === 0) return 0;
    const [inRing, { blocks, lengths }] = [this.#blocks, burst];
    const first = ring.tail;
    let last = first;
    for (let index = 0; index < sending; index += 1) {
      const block = blocks[index]!;
      const descriptor = ring.next();
      descriptor.address = block.iova;
      descriptor.order = endOfFrame | insertChecksum | lengths[index]!;
      last = ring.tail;
      inRing[last] = block;
      ring.push();
    }
    const descriptor = ring.at(last);
    descriptor.order |= reportStatus;
    descriptor.cleared = 0;
    this.#reported[first] = last;
    this.#registers.TAIL.write(ring.tail);
    burst.drop(sending);
    return sending;
  }

  /** Gives blocks of bursts that were sent back to the pool. */
  reclaim(): void {
    const [ring, pool, blocks] = [this.#ring, this.#pool, this.#blocks];
    while (ring.used > 0) {
      const last = this.#reported[ring.head]!;
      if ((ring.at(last).status & descriptorDone) === 0) return;
      let place: number;
      do {
        place = ring.head;
        pool.give(blocks[place]!);
        ring.shift();
      } while (place !== last);
    }
  }

  /** How many frames the card has not reported yet. */
  get pending(): number {
    this.reclaim();
    return this.#ring.used;
  }
}
