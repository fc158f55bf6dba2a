import type { DeviceRegisters } from 'vfio/driver';
import type { layout } from './layout.js';

/** There is no card to drive any more: it was pulled out, it hangs, or the host wants it back. Close it. */
export class CardGoneError extends Error {
  readonly code = 'ERR_CARD_GONE';

  constructor(message: string) {
    super(message);
    this.name = 'CardGoneError';
  }
}

/** What the registers of a card read as that is not there: nobody answers on the bus. */
const nobody = 0xffff_ffff;

/** Whether a card is still there. */
export class Presence {
  readonly #address: string;
  readonly #status: DeviceRegisters<typeof layout>['STATUS'];
  readonly #wanted = new AbortController();

  /** Of the card whose device has that address. */
  constructor(address: string, { STATUS }: DeviceRegisters<typeof layout>) {
    this.#address = address;
    this.#status = STATUS;
  }

  /** The host wants the card back. */
  want(): void {
    this.#wanted.abort();
  }

  /** Aborted when the host wants the card back, as it does when the card is pulled out. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Reads a register. */
  get isGone(): boolean {
    return this.#status.read() === nobody;
  }

  /** Reads a register. @throws CardGoneError */
  assert(): void {
    if (this.isGone) throw new CardGoneError(`The card ${this.#address} is gone: its registers read as ones`);
    if (this.#wanted.signal.aborted) throw new CardGoneError(`The host wants the card ${this.#address} back`);
  }
}
