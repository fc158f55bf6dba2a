import { clearScreenDown, moveCursor } from 'node:readline';
import type { Card } from '../card.js';
import { checkedAbove } from '../checked.js';
import { rest } from '../rest.js';
import { errorCounts, type Counts } from '../statistics.js';

export interface StatsOptions {
  readonly intervalMilliseconds: number;
  /** How often. Default: until the signal. */
  readonly count?: number;
  readonly signal: AbortSignal;
  /** On a terminal, each redraws the one before. */
  readonly output: Pick<NodeJS.WriteStream, 'write' | 'isTTY'>;
}

/** Shows what cards do a second, again and again. @throws CardGoneError */
export async function stats(
  cards: readonly Card[],
  { intervalMilliseconds, count = Infinity, signal, output }: StatsOptions,
): Promise<void> {
  checkedAbove('intervalMilliseconds', intervalMilliseconds);
  checkedAbove('count', count);
  let before = cards.map((card) => card.statistics());
  let begin = performance.now();
  for (let shown = 0; shown < count; shown += 1) {
    await rest(intervalMilliseconds, signal);
    if (signal.aborted) return;
    for (const card of cards) card.assertPresent();
    const now = cards.map((card) => card.statistics());
    const seconds = (performance.now() - begin) / 1000;
    begin = performance.now();
    const lines = cards.map((card, index) => describeRates(card, before[index]!, now[index]!, seconds));
    before = now;
    if (output.isTTY && shown > 0) {
      moveCursor(output as NodeJS.WriteStream, 0, -lines.length);
      clearScreenDown(output as NodeJS.WriteStream);
    }
    output.write(`${lines.join('\n')}\n`);
  }
}

/** '52:54:00:12:34:56 1000 Mbit/s | in 10 frames/s 0.1 Mbit/s | out 0 frames/s 0.0 Mbit/s | no errors', errors since it was opened. */
function describeRates({ station, link }: Card, before: Counts, now: Counts, seconds: number): string {
  const rate = (name: keyof Counts): number => (now[name] - before[name]) / seconds;
  const way = (frames: keyof Counts, bytes: keyof Counts): string =>
    `${Math.round(rate(frames))} frames/s ${((rate(bytes) * 8) / 1e6).toFixed(1)} Mbit/s`;
  const errors = errorCounts.filter((name) => now[name] > 0).map((name) => `${name} ${now[name]}`);
  const parts = [
    `${station} ${link.up ? `${link.megabits} Mbit/s` : 'no link'}`,
    `in ${way('received', 'receivedBytes')}`,
    `out ${way('sent', 'sentBytes')}`,
    errors.join(', ') || 'no errors',
  ];
  return parts.join(' | ');
}
