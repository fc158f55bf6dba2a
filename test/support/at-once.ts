/** Programs that run at the same time, and end with this one. */
import { spawn, type SpawnOptions } from 'node:child_process';
import { freemem, availableParallelism } from 'node:os';

/** A guest's memory, and what QEMU takes beside it. */
const guestBytes = 2.5 * 2 ** 30;

/** How many guests run at once: an emulated processor keeps one of this machine's busy. */
export const guestsAtOnce = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / guestBytes)));

/** Does `each` with all items, `count` at a time, in their order. */
export async function atOnce<T>(count: number, items: Iterable<T>, each: (item: T) => Promise<void>): Promise<void> {
  // One iterator that all take from.
  const rest = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await each(next.value);
  };
  await Promise.all(Array.from({ length: count }, worker));
}

/**
 * Runs a program, handing what it prints to `print`, and gives its exit status, or null when a signal ended it.
 * When `signal` says so, the program is ended; it is over when this is.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: SpawnOptions & { readonly signal: AbortSignal },
  print: (text: string) => void,
): Promise<number | null> {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', print);
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      if (error.name !== 'AbortError') reject(error);
    });
    child.once('close', resolve);
  });
}
