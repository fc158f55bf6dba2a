import { Burst } from '../burst.js';
import type { Port } from '../port.js';
import { Turns } from '../turns.js';

const burstSize = 32;

/** Takes all frames that come, and does nothing with them, until the signal. Returns how many. @throws CardGoneError */
export async function drop(port: Port, signal: AbortSignal): Promise<number> {
  const burst = new Burst(burstSize);
  const turns = new Turns();
  let dropped = 0;
  while (!signal.aborted) {
    const count = port.receive.receive(burst);
    if (count === 0) await port.frames({ signal });
    burst.giveBack(port.pool);
    dropped += count;
    if (!turns.due) continue;
    await turns.take();
    port.assertPresent();
  }
  return dropped;
}
