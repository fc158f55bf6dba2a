import type { Card } from '../card.js';
import { checkedAbove, checkedInteger } from '../checked.js';
import type { Exchanged, ExchangeOptions } from './exchange.js';
import { lentBlocks } from '../lent-port.js';
import type { Generated, PktgenOptions } from './pktgen.js';
import { QueueThread, type Results, type Task } from './queue-thread.js';

/** Each queue is to have at least one frame to send. */
const mostQueues = 2;

/** What comes of all of these threads, which the signal stops. They are over then, whatever happened. */
export async function inThreads<Kind extends Task['kind']>(
  threads: readonly QueueThread<Kind>[],
  signal?: AbortSignal,
): Promise<Results[Kind][]> {
  const stop = (): void => threads.forEach((thread) => thread.stop());
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  try {
    return await Promise.all(threads.map(({ result }) => result));
  } finally {
    signal?.removeEventListener('abort', stop);
    await Promise.all(threads.map((thread) => thread.end()));
  }
}

/**
 * `exchange` from all queues of a card to those of another, a thread and a flow for each pair: what one sends from its queue comes
 * to the other's of the same number.
 * @throws RangeError, CardGoneError
 */
export async function exchangeInThreads(from: Card, to: Card, { frames, signal, ...options }: ExchangeOptions): Promise<Exchanged[]> {
  checkedInteger('frames', frames, 1);
  const taking = to.lend(lentBlocks);
  const threads = from
    .lend(lentBlocks)
    .map((lent, flow) => new QueueThread([lent, taking[flow]], { kind: 'exchange', ...options, frames, flow }));
  return inThreads(threads, signal);
}

/** `pktgen` from all queues of a card that are lent, a thread and a flow for each. @throws RangeError, CardGoneError */
export async function pktgenInThreads(card: Card, { frames, rate, signal, ...options }: PktgenOptions): Promise<Generated> {
  if (frames !== undefined) checkedInteger('frames', frames, mostQueues);
  if (rate !== undefined) checkedAbove('rate', rate);
  const lent = card.lend(lentBlocks);
  const count = lent.length;
  const threads = lent.map((each, flow) => {
    const part = {
      ...(frames !== undefined && { frames: Math.floor((frames + flow) / count) }),
      ...(rate !== undefined && { rate: rate / count }),
    };
    return new QueueThread([each], { kind: 'pktgen', ...options, ...part, flow });
  });
  const all = await inThreads(threads, signal);
  return { sent: all.reduce((sum, { sent }) => sum + sent, 0), seconds: Math.max(...all.map(({ seconds }) => seconds)) };
}

/** `drop` from all queues of a card that are lent, a thread for each. @throws CardGoneError */
export async function dropInThreads(card: Card, signal: AbortSignal): Promise<number> {
  const threads = card.lend(lentBlocks).map((lent) => new QueueThread([lent], { kind: 'drop' }));
  return (await inThreads(threads, signal)).reduce((sum, dropped) => sum + dropped, 0);
}
