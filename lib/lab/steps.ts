import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** Says what the lab is doing, apart from what the command in the guest says. */
export function say(text: string): void {
  process.stderr.write(`lab: ${text}\n`);
}

const patience = 30_000;

/** Says now and then that something goes on: on a terminal in one line, each second. Returns what ends that. */
function remind(sentence: () => string): () => void {
  if (!process.stderr.isTTY) {
    const timer = setInterval(() => say(sentence()), patience);
    return () => clearInterval(timer);
  }
  const clearLine = '\r\u001b[K';
  const timer = setInterval(() => process.stderr.write(`${clearLine}lab: ${sentence()}`), 1000);
  return () => {
    clearInterval(timer);
    process.stderr.write(clearLine);
  };
}

/**
 * Runs a program with its output in a log file, saying now and then that it still does.
 * @throws Error with the end of the log when it fails.
 */
export async function step(
  what: string,
  program: string,
  args: readonly string[],
  options: { cwd: string; log: string; env?: NodeJS.ProcessEnv },
): Promise<void> {
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  say(`${what} …`);
  const log = openSync(options.log, 'a');
  const endReminders = remind(() => `${what} … ${elapsed()} so far`);
  try {
    const child = spawn(program, args, { cwd: options.cwd, stdio: ['ignore', log, log], env: options.env ?? process.env });
    const stop = (): void => void child.kill();
    // Before the folder it works in is removed.
    process.prependOnceListener('exit', stop);
    const status = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
    });
    process.off('exit', stop);
    if (status !== 0) {
      throw new Error(
        `${what} failed (${program}: ${status}). The end of ${options.log}:\n${lastLines(readFileSync(options.log, 'utf8'), 20)}`,
      );
    }
  } finally {
    endReminders();
    closeSync(log);
  }
  say(`${what}: done in ${elapsed()}`);
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
