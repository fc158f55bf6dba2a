import { SingleBar } from 'cli-progress';
import type { Progress } from './transfer.js';

/** Shows on a terminal how many of so many blocks have been moved, while `move` moves them. It writes to stderr, where that is one. */
export async function withProgress<T>(what: string, blocks: number, move: (progress: Progress) => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return move(() => {});
  const bar = new SingleBar({
    format: `${what} {bar} {percentage} %  {value} of {total} blocks  {eta_formatted} left`,
    stream: process.stderr,
  });
  bar.start(blocks, 0);
  try {
    return await move((moved) => bar.increment(moved));
  } finally {
    bar.stop();
  }
}
