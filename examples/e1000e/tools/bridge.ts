import type { Card } from '../card.js';
import { Forwarder } from '../forward.js';
import { framesOfAny } from '../sleep.js';
import { Turns } from '../turns.js';

/**
 * Forwards from each of two cards to the other until the signal: polls while frames come, and sleeps when none do. Returns how
 * many went each way.
 * @throws CardGoneError
 */
export async function bridge(one: Card, other: Card, signal: AbortSignal): Promise<readonly [number, number]> {
  const [there, back] = [new Forwarder(one, other), new Forwarder(other, one)];
  const cards = [one, other];
  const turns = new Turns();
  while (!signal.aborted) {
    const moved = there.turn() + back.turn();
    if (moved + there.waiting + back.waiting === 0) await framesOfAny(cards, { signal });
    if (!turns.due) continue;
    await turns.take();
    for (const card of cards) card.assertPresent();
  }
  return [there.forwarded, back.forwarded];
}
