import { Burst } from './burst.js';
import type { Card } from './card.js';

const burstSize = 32;

/** Sends on one card what another receives, without a copy: the cards share a pool. */
export class Forwarder {
  forwarded = 0;
  readonly #from: Card;
  readonly #to: Card;
  readonly #burst = new Burst(burstSize);

  constructor(from: Card, to: Card) {
    this.#from = from;
    this.#to = to;
  }

  /** How many frames wait for the other card to have room. */
  get waiting(): number {
    return this.#burst.count;
  }

  /** A burst, if there is one. What the other card has no room for now is sent the next time. */
  turn(): number {
    this.#from.receive.receive(this.#burst);
    const sent = this.#to.transmit.send(this.#burst);
    this.forwarded += sent;
    return sent;
  }
}
