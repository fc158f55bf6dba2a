import type { AddressSpace, DmaBlock, DmaBuffer, DmaPool } from 'vfio';
import type { DeviceRegisters } from 'vfio/driver';
import type { Burst } from './burst.js';
import { descriptorDone, endOfFrame, insertChecksum, reportStatus, transmitDescriptor, type layout } from './layout.js';

/** A ring of frames to send. Their blocks go back to the pool when they are sent. */
export class TransmitQueue {
  readonly #registers: DeviceRegisters<typeof layout>;
  readonly #pool: DmaPool;
  readonly #count: number;
  readonly #ring: DmaBuffer;
  readonly #descriptors: ReturnType<typeof transmitDescriptor.array>;
  /** What is in the ring, by place. */
  readonly #blocks: DmaBlock[];
  /** The next place to fill, and the oldest that is not known to be sent. */
  #tail = 0;
  #head = 0;

  /** `count` is a multiple of 8. */
  constructor(registers: DeviceRegisters<typeof layout>, dma: AddressSpace, pool: DmaPool, count: number) {
    this.#registers = registers;
    this.#pool = pool;
    this.#count = count;
    this.#ring = dma.allocate(count * transmitDescriptor.size);
    this.#descriptors = transmitDescriptor.array(this.#ring.memory, 0, count);
    this.#blocks = new Array<DmaBlock>(count);
  }

  start(): void {
    const { TDBAL, TDBAH, TDLEN, TDH, TDT, TCTL, TIPG } = this.#registers;
    TDBAL.write(Number(this.#ring.iova & 0xffff_ffffn));
    TDBAH.write(Number(this.#ring.iova >> 32n));
    TDLEN.write(this.#count * transmitDescriptor.size);
    TDH.write(0);
    TDT.write(0);
    TIPG.write(0x0060_2008);
    TCTL.write({ EN: 1, PSP: 1, CT: 0x0f, COLD: 0x3f });
  }

  /** Hands frames to the card, as many as there is room for, and drops those from the burst. Returns how many. */
  send(burst: Burst): number {
    this.reclaim();
    // One place stays empty: full and empty would look the same.
    const room = (this.#head - this.#tail - 1 + this.#count) % this.#count;
    const sending = Math.min(burst.count, room);
    if (sending === 0) return 0;
    for (let index = 0; index < sending; index += 1) {
      const block = burst.blocks[index]!;
      const descriptor = this.#descriptors.at(this.#tail);
      descriptor.address = block.iova;
      descriptor.length = burst.lengths[index]!;
      descriptor.command = endOfFrame | insertChecksum | reportStatus;
      descriptor.status = 0;
      this.#blocks[this.#tail] = block;
      this.#tail = this.#tail + 1 === this.#count ? 0 : this.#tail + 1;
    }
    this.#registers.TDT.write(this.#tail);
    burst.drop(sending);
    return sending;
  }

  /** Gives blocks of frames that were sent back to the pool. */
  reclaim(): void {
    while (this.#head !== this.#tail && (this.#descriptors.at(this.#head).status & descriptorDone) !== 0) {
      this.#pool.give(this.#blocks[this.#head]!);
      this.#head = this.#head + 1 === this.#count ? 0 : this.#head + 1;
    }
  }

  /** How many frames the card has not sent yet. */
  get pending(): number {
    this.reclaim();
    return (this.#tail - this.#head + this.#count) % this.#count;
  }
}
