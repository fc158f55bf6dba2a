import { DmaPool, SharedBuffer, SharedRegion, type Kernel, type RegionMemory, type Resource, type SharedMemory } from 'vfio';
import { DescriptorRing, deviceRegisters } from 'vfio/driver';
import type { SleepOptions } from './interrupts.js';
import { blockSize, layout, receiveDescriptor, transmitDescriptor } from './layout.js';
import type { Port } from './port.js';
import { Presence } from './presence.js';
import { ReceiveQueue } from './receive-queue.js';
import { TransmitQueue } from './transmit-queue.js';
import { Turns } from './turns.js';

/** A pair of queues as the thread is told of it that is to drive it: what `postMessage` copies. */
export interface Lent {
  readonly queue: 0 | 1;
  readonly station: string;
  /** The address of the card's device. */
  readonly address: string;
  readonly ringLength: number;
  readonly registers: RegionMemory;
  readonly transmit: SharedMemory;
  readonly receive: SharedMemory;
  readonly frames: SharedMemory;
}

/** Blocks of each pair that is lent: for a full ring each way, and as many again. */
export const lentBlocks = 2048;

/**
 * A pair of queues in another thread than the one that has the card. It polls, as a thread does that has a core to itself. It is
 * closed, or the thread is over, before the card is closed.
 */
export class LentPort implements Port, Disposable {
  readonly station: string;
  readonly pool: DmaPool;
  readonly transmit: TransmitQueue;
  readonly receive: ReceiveQueue;
  readonly #presence: Presence;
  readonly #opened: Resource[] = [];

  private constructor(kernel: Kernel, lent: Lent) {
    const { queue, station, address, ringLength } = lent;
    const memory = (shared: SharedMemory): SharedBuffer => this.#open(SharedBuffer.open(kernel, shared));
    try {
      const { fastMmio, mmio } = this.#open(SharedRegion.open(kernel, lent.registers));
      const sending = DescriptorRing.over(memory(lent.transmit), transmitDescriptor, ringLength);
      const receiving = DescriptorRing.over(memory(lent.receive), receiveDescriptor, ringLength);
      this.station = station;
      this.pool = DmaPool.over(memory(lent.frames), { blockSize });
      this.transmit = new TransmitQueue(fastMmio, sending, this.pool, queue);
      this.receive = new ReceiveQueue(fastMmio, receiving, this.pool, queue);
      this.#presence = new Presence(address, deviceRegisters(layout, mmio));
      this.assertPresent();
      this.receive.start();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Takes what `card.lend()` gave. Of what is lent it is the only one. @throws KernelError, CardGoneError */
  static open(kernel: Kernel, lent: Lent): LentPort {
    return new LentPort(kernel, lent);
  }

  frames(options: SleepOptions = {}): Promise<boolean> {
    return this.#poll(() => this.receive.ready, options);
  }

  sent(options: SleepOptions = {}): Promise<boolean> {
    return this.#poll(() => this.transmit.pending === 0, options);
  }

  assertPresent(): void {
    this.#presence.assert();
  }

  close(): void {
    for (const each of this.#opened.splice(0).toReversed()) each.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open<R extends Resource>(opened: R): R {
    this.#opened.push(opened);
    return opened;
  }

  async #poll(ready: () => boolean, { timeoutMilliseconds = Infinity, signal }: SleepOptions): Promise<boolean> {
    const turns = new Turns();
    const end = performance.now() + timeoutMilliseconds;
    while (!ready()) {
      if (signal?.aborted === true || performance.now() >= end) return false;
      if (!turns.due) continue;
      await turns.take();
      this.assertPresent();
    }
    return true;
  }
}
