import { Burst } from '../burst.js';
import { checkedInteger } from '../checked.js';
import { Generator, Verifier } from './generate.js';
import type { Port } from '../port.js';
import { Turns } from '../turns.js';

export interface ExchangeOptions {
  /** How many are sent. */
  readonly frames: number;
  /** Bytes of each, without its checksum: 60 to 1514. Default: 60. */
  readonly size?: number;
  /** Makes them a flow that a card may know from others, as a `Generator` does. Default: they are of none. */
  readonly flow?: number;
  /** How many are given to the card together. Default: 32. */
  readonly burst?: number;
  /** Ends it early, as when frames are lost. */
  readonly signal?: AbortSignal;
}

export interface Exchanged {
  readonly sent: number;
  readonly received: number;
  /** Of the received: those that came in another place than they were sent, and those that are not what was sent. */
  readonly misplaced: number;
  readonly damaged: number;
  /** Until the last came. */
  readonly seconds: number;
}

/** What is lost never comes: after a second without a frame, all have come that will. */
const quietMilliseconds = 1000;

/**
 * Sends numbered frames from one port to another, which may be on one pool, and looks at each that comes.
 * @throws RangeError for options that cannot be; CardGoneError
 */
export async function exchange(from: Port, to: Port, { frames, size = 60, flow, burst = 32, signal }: ExchangeOptions): Promise<Exchanged> {
  checkedInteger('frames', frames, 1);
  checkedInteger('burst', burst, 1);
  const generator = new Generator(from, { size, ...(flow !== undefined && { flow }) });
  const verifier = new Verifier(to.pool, { isFlow: flow !== undefined });
  const [sending, receiving] = [new Burst(burst), new Burst(burst)];
  const turns = new Turns();
  const begin = performance.now();
  let [last, unsent] = [begin, 0];
  try {
    while (verifier.received < frames) {
      generator.fill(sending, frames);
      from.transmit.send(sending);
      if (to.receive.receive(receiving) > 0) {
        verifier.take(receiving);
        last = performance.now();
      }
      if (!turns.due) continue;
      await turns.take();
      for (const port of [from, to]) port.assertPresent();
      if (signal?.aborted === true || performance.now() - last > quietMilliseconds) break;
    }
  } finally {
    unsent = sending.count;
    sending.giveBack(from.pool);
  }
  const { received, misplaced, damaged } = verifier;
  return { sent: generator.made - unsent, received, misplaced, damaged, seconds: (last - begin) / 1000 };
}
