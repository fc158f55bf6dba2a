import type { DmaPool } from 'vfio';
import type { CardInterrupts, SleepOptions } from './interrupts.js';
import type { Port } from './port.js';
import type { Presence } from './presence.js';
import type { ReceiveQueue } from './receive-queue.js';
import type { TransmitQueue } from './transmit-queue.js';

/** What the pairs of a card have together. */
export interface CardParts {
  readonly station: string;
  readonly pool: DmaPool;
  readonly interrupts: CardInterrupts;
  readonly presence: Presence;
}

/** A pair of queues in the thread that has the card: it sleeps until the card interrupts. */
export class OwnPort implements Port {
  readonly station: string;
  readonly pool: DmaPool;
  readonly transmit: TransmitQueue;
  readonly receive: ReceiveQueue;
  readonly #queue: 0 | 1;
  readonly #interrupts: CardInterrupts;
  readonly #presence: Presence;

  constructor({ station, pool, interrupts, presence }: CardParts, queue: 0 | 1, transmit: TransmitQueue, receive: ReceiveQueue) {
    this.station = station;
    this.pool = pool;
    this.transmit = transmit;
    this.receive = receive;
    this.#queue = queue;
    this.#interrupts = interrupts;
    this.#presence = presence;
  }

  frames(options: SleepOptions = {}): Promise<boolean> {
    return this.#interrupts.received(this.#queue, () => this.receive.ready, options);
  }

  sent(options: SleepOptions = {}): Promise<boolean> {
    return this.#interrupts.sent(this.#queue, () => this.transmit.pending === 0, options);
  }

  assertPresent(): void {
    this.#presence.assert();
  }
}
