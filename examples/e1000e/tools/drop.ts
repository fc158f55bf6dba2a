import { Burst } from '../burst.js';
import type { Card } from '../card.js';
import { Turns } from '../turns.js';

const burstSize = 32;

/** Takes all frames that come, and does nothing with them, until the signal. Returns how many. @throws CardGoneError */
export async function drop(card: Card, signal: AbortSignal): Promise<number> {
  const burst = new Burst(burstSize);
  const turns = new Turns();
  let dropped = 0;
  while (!signal.aborted) {
    const count = card.receive.receive(burst);
    if (count === 0) await card.frames({ signal });
    for (let index = 0; index < count; index += 1) card.pool.give(burst.blocks[index]!);
    burst.count = 0;
    dropped += count;
    if (!turns.due) continue;
    await turns.take();
    card.assertPresent();
  }
  return dropped;
}
