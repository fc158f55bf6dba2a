import { closeSync, openSync, writeSync } from 'node:fs';
import { pcapFrame, pcapHeader } from 'vfio/sim';
import { Burst } from '../burst.js';
import type { Card } from '../card.js';
import { checkedAbove } from '../checked.js';
import { describeFrame } from './decode.js';
import { Turns } from '../turns.js';

export interface DumpOptions {
  /** Ends after so many frames. Default: never. */
  readonly count?: number;
  /** A pcap file to be made, which tcpdump and Wireshark open; whole after each frame. */
  readonly write?: string;
  readonly signal: AbortSignal;
  /** Where each frame's line goes. */
  readonly print: (line: string) => void;
}

const burstSize = 32;

/** Prints each frame that comes, and keeps it in a file, until the signal. Returns how many there were. @throws CardGoneError */
export async function dump(card: Card, { count = Infinity, write, signal, print }: DumpOptions): Promise<number> {
  checkedAbove('count', count);
  const file = write === undefined ? undefined : openSync(write, 'w');
  const burst = new Burst(burstSize);
  const turns = new Turns();
  let seen = 0;
  try {
    if (file !== undefined) writeSync(file, pcapHeader());
    while (seen < count && !signal.aborted) {
      if (card.receive.receive(burst) === 0) await card.frames({ signal });
      for (let index = 0; index < burst.count; index += 1) {
        if (seen === count) break;
        const bytes = card.pool.at(burst.numbers[index]!).bytes.subarray(0, burst.lengths[index]!);
        const milliseconds = performance.timeOrigin + performance.now();
        print(`${new Date(milliseconds).toISOString().slice(11, 23)} ${describeFrame(bytes)}`);
        if (file !== undefined) writeSync(file, pcapFrame({ bytes, time: BigInt(Math.round(milliseconds * 1000)) * 1000n }));
        seen += 1;
      }
      burst.giveBack(card.pool);
      if (turns.due) await turns.take();
    }
    return seen;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
