import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Context } from './context.js';
import * as exit from './exit.js';
import { Misuse } from './exit.js';
import { settingsVariable, type Settings } from './instrument/settings.js';

const preload = new URL('./instrument/preload.js', import.meta.url);

/**
 * Runs a program, each of its Node processes instrumented with the settings; gives its status, as a shell does for one that was
 * killed or is not there. It has this terminal; signals to this process are passed on to it.
 */
export async function launch(context: Context, line: readonly string[], settings: Settings): Promise<number> {
  const [command = '', ...args] = line[0] === '--' ? line.slice(1) : line;
  if (command === '') throw new Misuse('There is no program to run behind --');
  // URLs have no spaces, which separate these options.
  const options = [process.env['NODE_OPTIONS'], `--import=${preload.href}`].filter(Boolean).join(' ');
  const environment = { ...process.env, NODE_OPTIONS: options, [settingsVariable]: JSON.stringify(settings) };
  const child = spawn(command, args, { stdio: 'inherit', env: environment });
  const pass = (signal: NodeJS.Signals): void => {
    // Ctrl-C reaches everybody in the terminal's foreground without help.
    if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT' && error.code !== 'EACCES') return reject(error);
        context.terminal.note(`vfio: ${command}: ${error.code === 'ENOENT' ? 'there is no such command' : 'it cannot be run'}\n`);
        resolve(error.code === 'ENOENT' ? exit.notFound : exit.notRunnable);
      });
      child.on('exit', (status, signal) => resolve(status ?? 128 + constants.signals[signal!]));
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
    // A signal that the program took care of is not this command's end.
    process.exitCode = undefined;
  }
}
