import { ClosedError, type Device, type Interrupt } from 'vfio';
import type { DeviceRegisters } from 'vfio/driver';
import type { layout } from './layout.js';
import type { Presence } from './presence.js';

export interface SleepOptions {
  /** Default: as long as it takes. */
  readonly timeoutMilliseconds?: number;
  /** Ends it early. */
  readonly signal?: AbortSignal;
}

/** What the card interrupts for, as bits of ICR, IMS and EIAC: the queues, and all else together. */
const receiveQueues = [1 << 20, 1 << 21] as const;
const transmitQueues = [1 << 22, 1 << 23] as const;
const linkChanged = 1 << 2;
const other = 1 << 24;
/** Each of these causes has a vector of its own, in this order; IVAR has four bits for each. */
const vectors = [...receiveQueues, ...transmitQueues, other].length;
const allocation = 0x000c_ba98;
/** Between two of a vector, in units of 256 nanoseconds: at most 20,000 a second. */
const interval = 195;
/** What comes so soon is not slept for: an interrupt and waking up take as long. */
const spinMilliseconds = 0.05;
/** An interrupt can be lost, and a card go away without a word: it is looked again after that long. */
const lookMilliseconds = 1000;

/** The card's five MSI-X vectors. Those of queues are off but while somebody sleeps. */
export class CardInterrupts {
  readonly #registers: DeviceRegisters<typeof layout>;
  readonly #presence: Presence;
  readonly #vectors: readonly Interrupt[];
  readonly #end = new AbortController();

  /** Of a card that was reset, and may send messages. */
  constructor(device: Device, registers: DeviceRegisters<typeof layout>, presence: Presence) {
    this.#registers = registers;
    this.#presence = presence;
    this.#vectors = device.interrupt('msix').enable(vectors);
    const { CTRL_EXT, EIAC, EITR0, EITR1, EITR2, EITR3, EITR4, IVAR } = registers;
    IVAR.write(allocation);
    for (const register of [EITR0, EITR1, EITR2, EITR3, EITR4]) register.write(interval);
    // The causes of queues are cleared as their message is sent, so that nobody has to.
    EIAC.write([...receiveQueues, ...transmitQueues].reduce((all, cause) => all | cause));
    // Causes that were not served are told of again, and the firmware leaves the card to this driver.
    CTRL_EXT.change({ PBA: 1, DRV_LOAD: 1 });
  }

  /** Sleeps until `ready`, which what a receive queue gets may make so. Returns whether it is: else time or the signal ended it. */
  received(queue: 0 | 1, ready: () => boolean, options: SleepOptions): Promise<boolean> {
    return this.#sleep(this.#vectors[queue]!, receiveQueues[queue], ready, options);
  }

  /** The same of what a transmit queue has sent. */
  sent(queue: 0 | 1, ready: () => boolean, options: SleepOptions): Promise<boolean> {
    return this.#sleep(this.#vectors[receiveQueues.length + queue]!, transmitQueues[queue], ready, options);
  }

  /** Calls the listener when the link may have come or gone. */
  onLink(listener: () => void): void {
    const { ICR, IMS } = this.#registers;
    this.#vectors[vectors - 1]!.on('signal', () => {
      // Writing clears these alone; reading would clear those of queues too, and somebody sleep on.
      ICR.write(linkChanged | other);
      listener();
      IMS.write(linkChanged | other);
    });
    IMS.write(linkChanged | other);
  }

  /** Nobody sleeps any more, and nothing comes. */
  close(): void {
    this.#registers.IMC.write(0xffff_ffff);
    this.#end.abort();
  }

  async #sleep(
    vector: Interrupt,
    cause: number,
    ready: () => boolean,
    { timeoutMilliseconds = Infinity, signal }: SleepOptions,
  ): Promise<boolean> {
    this.#assertOpen();
    const begin = performance.now();
    do if (ready()) return true;
    while (performance.now() - begin < spinMilliseconds);
    for (;;) {
      this.#presence.assert();
      const left = begin + timeoutMilliseconds - performance.now();
      if (left <= 0 || signal?.aborted === true) return false;
      // The message turns it off again. What came before is told of now.
      this.#registers.IMS.write(cause);
      if (ready()) return true;
      await came(vector, Math.min(left, lookMilliseconds), [this.#end.signal, this.#presence.wanted, signal]);
      this.#assertOpen();
      if (ready()) return true;
    }
  }

  #assertOpen(): void {
    if (this.#end.signal.aborted) throw new ClosedError('The card');
  }
}

/** Until an interrupt, or one of the signals, or that long. All who sleep on one vector are woken by it. */
function came(vector: Interrupt, milliseconds: number, signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      vector.off('signal', wake);
      for (const signal of signals) signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    vector.on('signal', wake);
    for (const signal of signals) signal?.addEventListener('abort', wake);
  });
}
