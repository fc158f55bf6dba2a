/** Two threads that each write a word and then read the other's: without an order between the two, both may read the old one. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { memoryBarrier } from '../../lib/driver/index.js';

const rounds = 200_000;

/** Both threads' part: in each round, write, `between`, read. What the words are, is in the memory that is shared. */
function play(words: Int32Array, mine: number, between: () => void): Int32Array {
  const [turn, other] = [2, 1 - mine];
  const seen = new Int32Array(rounds);
  for (let round = 1; round <= rounds; round += 1) {
    Atomics.add(words, turn, 1);
    while (Atomics.load(words, turn) < 2 * round);
    words[16 + 16 * mine] = round;
    between();
    seen[round - 1] = words[16 + 16 * other]!;
    Atomics.add(words, turn + 1, 1);
    while (Atomics.load(words, turn + 1) < 2 * round);
  }
  return seen;
}

/** In how many rounds neither saw what the other wrote. */
async function unseen(between: () => void, source: string): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(4096));
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const rounds = ${rounds};
     const word = new Int32Array(new SharedArrayBuffer(4));
     parentPort.postMessage((${play.toString()})(workerData, 1, ${source}));`,
    { eval: true, workerData: words },
  );
  const theirs = once(worker, 'message') as Promise<[Int32Array]>;
  const mine = play(words, 0, between);
  const [seen] = await theirs;
  await worker.terminate();
  return mine.filter((value, round) => value < round + 1 && seen[round]! < round + 1).length;
}

it('a write before it is seen, or what is read after it is new', { timeout: 60_000 }, async () => {
  expect(await unseen(memoryBarrier, memoryBarrier.toString())).toBe(0);
});

it('which it is not by itself, on processors that hold writes back', { timeout: 60_000 }, async () => {
  // On a busy machine the threads may take turns for a while.
  let count = 0;
  for (let attempt = 0; attempt < 10 && count === 0; attempt += 1) count = await unseen(() => {}, '() => {}');
  expect(count).toBeGreaterThan(0);
});
