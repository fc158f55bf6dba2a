import type { DmaBlock } from 'vfio';
import { formatIpv4, parseIpv4, parseStation } from './addresses.js';
import { Burst } from './burst.js';
import type { Card } from './card.js';
import { checkedInteger } from './checked.js';
import {
  arpAt,
  arpReply,
  arpRequest,
  echoAt,
  echoEnd,
  echoReply,
  echoRequest,
  equalAt,
  everyone,
  isArp,
  turnEcho,
  wordAt,
  writeArp,
  writeEcho,
  type Party,
} from './packets.js';
import { Turns } from './turns.js';

export interface PingOptions {
  /** Bytes of data, 0 to 1472. Default: 56. */
  readonly size?: number;
  /** For the neighbour's station, and again for the answer. Default: 1000. */
  readonly timeoutMilliseconds?: number;
  readonly signal?: AbortSignal;
}

/** Nobody at the other end said anything in time. */
export class UnansweredError extends Error {
  readonly code = 'ERR_UNANSWERED';

  constructor(message: string) {
    super(message);
    this.name = 'UnansweredError';
  }
}

type Waiting = Required<Pick<PingOptions, 'timeoutMilliseconds'>> & Pick<PingOptions, 'signal'>;

/** Between requests for a station's address. */
const againMilliseconds = 1000;
const burstSize = 32;
const mostData = 1472;

/** A card with an IPv4 address on its network: it says whose the address is, answers echo requests, and makes them. */
export class Station {
  /** How many questions it answered. */
  readonly answered = { arp: 0, echo: 0 };
  readonly #card: Card;
  readonly #own: Party;
  readonly #receiving = new Burst(burstSize);
  readonly #sending = new Burst(burstSize);
  /** Stations by the addresses that were asked for; undefined until the answer. */
  readonly #neighbours = new Map<string, Uint8Array | undefined>();
  /** When echo requests were answered, by sequence number; undefined until then. */
  readonly #echoes = new Map<number, number | undefined>();
  readonly #identifier = process.pid & 0xffff;
  #sequence = 0;

  /** @throws RangeError for what is no IPv4 address */
  constructor(card: Card, address: string) {
    this.#card = card;
    this.#own = { station: parseStation(card.station), address: parseIpv4(address) };
  }

  /** Looks at a burst of what has come, and answers. Returns how many frames that were. */
  turn(): number {
    const { receive, transmit, pool } = this.#card;
    const receiving = this.#receiving;
    const count = receive.receive(receiving);
    for (let index = 0; index < count; index += 1) {
      const block = pool.at(receiving.numbers[index]!);
      const answer = this.#take(block.bytes, receiving.lengths[index]!);
      if (answer > 0) this.#sending.add(block, answer);
      else pool.give(block);
    }
    receiving.count = 0;
    transmit.send(this.#sending);
    // What the ring has no room for is lost, as on any network.
    this.#sending.giveBack(pool);
    return count;
  }

  /** Answers until the signal. */
  async answer(signal: AbortSignal): Promise<void> {
    const turns = new Turns();
    while (!signal.aborted) {
      if (this.turn() === 0) await this.#card.frames({ signal });
      if (turns.due) await turns.take();
    }
  }

  /**
   * Asks an address for an echo. Returns how long it took, in milliseconds.
   * @throws RangeError for what is no IPv4 address; UnansweredError, CardGoneError; the signal's reason
   */
  async ping(address: string, { size = 56, timeoutMilliseconds = 1000, signal }: PingOptions = {}): Promise<number> {
    checkedInteger('size', size, 0, mostData);
    const bytes = parseIpv4(address);
    const waiting = { timeoutMilliseconds, ...(signal && { signal }) };
    const station = await this.#stationOf(bytes, waiting);
    const sequence = (this.#sequence = (this.#sequence + 1) & 0xffff);
    this.#echoes.set(sequence, undefined);
    try {
      const begin = performance.now();
      this.#send((frame) => writeEcho(frame, this.#own, { station, address: bytes }, { identifier: this.#identifier, sequence, size }));
      const end = await this.#until(() => this.#echoes.get(sequence), `An answer of ${address}`, waiting);
      return end - begin;
    } finally {
      this.#echoes.delete(sequence);
    }
  }

  async #stationOf(address: Uint8Array, waiting: Waiting): Promise<Uint8Array> {
    const name = formatIpv4(address);
    const known = this.#neighbours.get(name);
    if (known !== undefined) return known;
    this.#neighbours.set(name, undefined);
    const ask = (): void => this.#send((frame) => writeArp(frame, arpRequest, this.#own, { station: new Uint8Array(6), address }));
    ask();
    // What was sent before the other's link was up is lost.
    const asking = setInterval(ask, againMilliseconds);
    try {
      return await this.#until(() => this.#neighbours.get(name), `The station of ${name}`, waiting);
    } finally {
      clearInterval(asking);
    }
  }

  /** Takes what comes until `found`; another that does so may find it first. */
  async #until<T>(found: () => T | undefined, what: string, { timeoutMilliseconds, signal }: Waiting): Promise<T> {
    const { interrupts, receive } = this.#card;
    const end = performance.now() + timeoutMilliseconds;
    for (;;) {
      this.turn();
      const result = found();
      if (result !== undefined) return result;
      signal?.throwIfAborted();
      const left = end - performance.now();
      if (left <= 0) throw new UnansweredError(`${what} did not come within ${timeoutMilliseconds} ms`);
      await interrupts.received(0, () => found() !== undefined || receive.ready, { timeoutMilliseconds: left, ...(signal && { signal }) });
    }
  }

  #send(write: (frame: Uint8Array) => number): void {
    const { pool, transmit } = this.#card;
    const block: DmaBlock | undefined = pool.take();
    // As when there is no room for it: it is lost.
    if (block === undefined) return;
    this.#sending.add(block, write(block.bytes));
    if (transmit.send(this.#sending) === 0) pool.give(block);
    this.#sending.count = 0;
  }

  /** The length of the answer that it made of a frame, in its place; 0: none. */
  #take(frame: Uint8Array, length: number): number {
    const { station, address } = this.#own;
    if (!equalAt(frame, 0, station) && !equalAt(frame, 0, everyone)) return 0;
    if (isArp(frame, length, arpRequest) && equalAt(frame, arpAt.target, address)) {
      this.answered.arp += 1;
      const asking = {
        station: frame.slice(arpAt.senderStation, arpAt.sender),
        address: frame.slice(arpAt.sender, arpAt.targetStation),
      };
      return writeArp(frame, arpReply, this.#own, asking);
    }
    if (isArp(frame, length, arpReply)) {
      const name = formatIpv4(frame.subarray(arpAt.sender, arpAt.targetStation));
      if (this.#neighbours.has(name)) this.#neighbours.set(name, frame.slice(arpAt.senderStation, arpAt.sender));
      return 0;
    }
    const asked = echoEnd(frame, length, echoRequest, address);
    if (asked !== undefined) {
      this.answered.echo += 1;
      turnEcho(frame, station, asked);
      return length;
    }
    if (echoEnd(frame, length, echoReply, address) !== undefined && wordAt(frame, echoAt.identifier) === this.#identifier) {
      const sequence = wordAt(frame, echoAt.sequence);
      if (this.#echoes.has(sequence)) this.#echoes.set(sequence, performance.now());
    }
    return 0;
  }
}
