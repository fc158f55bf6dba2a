import { fstatSync, writeSync } from 'node:fs';

/** EPIPE: as a program that SIGPIPE ends. */
const brokenPipe = 128 + 13;

let behind = false;

/**
 * Writes to standard output; ends the process where nobody reads it any more. Node's stream for it takes a while to load, and is
 * wanted only where the reader does not keep up.
 * @throws Error of the write: ENOSPC.
 */
export function print(text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  try {
    while (!behind && written < bytes.length) written += writeSync(1, bytes, written);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPIPE') process.exit(brokenPipe);
    if (code !== 'EAGAIN') throw error;
    behind = true;
    process.stdout.on('error', (late: NodeJS.ErrnoException) => {
      if (late.code !== 'EPIPE') throw late;
      process.exit(brokenPipe);
    });
  }
  if (behind) process.stdout.write(bytes.subarray(written));
}

/** Whether it is a terminal. The devices of memory, as /dev/null is, are known by their major number, without the stream. */
export function isTerminal(): boolean {
  const stats = fstatSync(1);
  return stats.isCharacterDevice() && stats.rdev >>> 8 !== 1 && process.stdout.isTTY === true;
}
