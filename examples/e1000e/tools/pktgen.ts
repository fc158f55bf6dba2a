import { Burst } from '../burst.js';
import { checkedAbove } from '../checked.js';
import { Generator } from './generate.js';
import type { Port } from '../port.js';
import { rest } from '../rest.js';
import { Turns } from '../turns.js';

export interface PktgenOptions {
  /** Bytes of each frame, without its checksum: 60 to 1514. Default: 60. */
  readonly size?: number;
  /** Makes them a flow that a card may know from others, as a `Generator` does. Default: they are of none. */
  readonly flow?: number;
  /** Frames a second. Default: as fast as it goes. */
  readonly rate?: number;
  /** Ends after so many frames, or that long. Default: neither. */
  readonly frames?: number;
  readonly seconds?: number;
  readonly signal: AbortSignal;
}

export interface Generated {
  readonly sent: number;
  readonly seconds: number;
}

const burstSize = 32;
const sentMilliseconds = 1000;
/** Of each frame on the cable, beside its own bytes: preamble, checksum and gap. */
const between = 24;

/** Sends numbered frames to all, until there were enough, or the signal. @throws RangeError, CardGoneError */
export async function pktgen(
  port: Port,
  { size = 60, flow, rate = Infinity, frames = Infinity, seconds = Infinity, signal }: PktgenOptions,
): Promise<Generated> {
  for (const [name, value] of Object.entries({ rate, frames, seconds })) checkedAbove(name, value);
  const generator = new Generator(port, { size, ...(flow !== undefined && { flow }) });
  const burst = new Burst(burstSize);
  const turns = new Turns();
  let unsent = 0;
  const begin = performance.now();
  const passed = (): number => (performance.now() - begin) / 1000;
  try {
    while (generator.made - burst.count < frames && passed() < seconds && !signal.aborted) {
      const due = rate === Infinity ? frames : Math.min(frames, Math.floor(passed() * rate));
      generator.fill(burst, due);
      port.transmit.send(burst);
      if (turns.due) {
        await turns.take();
        port.assertPresent();
      } else if (burst.count === 0 && generator.made >= due) await rest(1);
    }
    await port.sent({ timeoutMilliseconds: sentMilliseconds });
  } finally {
    unsent = burst.count;
    burst.giveBack(port.pool);
  }
  return { sent: generator.made - unsent, seconds: passed() };
}

/** 'sent 1000 frames of 60 bytes in 1.00 s: 1000 frames/s, 0.7 Mbit/s on the cable' */
export function describeGenerated({ sent, seconds }: Generated, size: number): string {
  const megabits = (sent * (size + between) * 8) / seconds / 1e6;
  return `sent ${sent} frames of ${size} bytes in ${seconds.toFixed(2)} s: ${Math.round(sent / seconds)} frames/s, ${megabits.toFixed(1)} Mbit/s on the cable`;
}
