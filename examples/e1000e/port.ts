import type { DmaPool } from 'vfio';
import type { SleepOptions } from './interrupts.js';
import type { ReceiveQueue } from './receive-queue.js';
import type { TransmitQueue } from './transmit-queue.js';

/** What programs send and receive by: a pair of a card's queues, and blocks for their frames. A card is one, by its first pair. */
export interface Port {
  /** The station's address, '52:54:00:12:34:56'. */
  readonly station: string;
  readonly pool: DmaPool;
  readonly transmit: TransmitQueue;
  readonly receive: ReceiveQueue;
  /**
   * Waits until there are frames to be received, and returns whether there are: else time or the signal ended it. For a loop that
   * polls while frames come.
   * @throws CardGoneError, ClosedError
   */
  frames(options?: SleepOptions): Promise<boolean>;
  /** Waits until all that was given to the card is sent, in the same way. */
  sent(options?: SleepOptions): Promise<boolean>;
  /** Reads a register: now and then, in a loop that may poll a card that is gone. @throws CardGoneError */
  assertPresent(): void;
}
