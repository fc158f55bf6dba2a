#!/usr/bin/env node
import { run } from './program.js';
import { isTerminal, print } from './standard-output.js';
import { version } from './version.js';

/** Their numbers, the same on every Linux: node:os has them too, and takes a while to load. */
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // The first lets a command put things back; whoever sends a second does not want to wait for that.
  process.on(signal, () => {
    if (interruption.signal.aborted) process.exit(128 + signals[signal]);
    process.exitCode = 128 + signals[signal];
    interruption.abort();
  });
}

void run(process.argv.slice(2), version, {
  write: print,
  note: (text) => void process.stderr.write(text),
  interactive: isTerminal() && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb',
  signal: interruption.signal,
}).then((status) => (process.exitCode ??= status));
