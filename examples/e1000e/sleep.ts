import type { Card } from './card.js';
import type { SleepOptions } from './interrupts.js';

/** Sleeps until any of the cards has frames to be received, as `card.frames()` does for one. */
export async function framesOfAny(cards: readonly Card[], { signal, ...options }: SleepOptions = {}): Promise<boolean> {
  const end = new AbortController();
  const abort = (): void => end.abort();
  signal?.addEventListener('abort', abort);
  if (signal?.aborted === true) abort();
  const sleeping = cards.map((card) => card.frames({ ...options, signal: end.signal }));
  try {
    return await Promise.race(sleeping);
  } finally {
    signal?.removeEventListener('abort', abort);
    abort();
    await Promise.allSettled(sleeping);
  }
}
