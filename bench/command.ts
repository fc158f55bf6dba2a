/** How long a command takes from its start until it has printed, and until it has ended, beside Node with a word to print, and lspci, which is C. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { root } from '../test/support/root.js';
import { report } from './report.js';

const rounds = 31;
const commands = {
  'this package': [process.execPath, join(root, 'dist/cli/vfio.cjs'), 'list'],
  'empty Node': [process.execPath, '-p', '1'],
  C: ['lspci', '-nnk'],
} as const;

/** Milliseconds; nothing for a command that is not there, or fails. */
async function time([program, ...args]: readonly [string, ...string[]]): Promise<{ printed: number; ended: number } | undefined> {
  const begin = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let printed = NaN;
  child.stdout.on('data', () => (printed = performance.now() - begin));
  try {
    const [status] = (await once(child, 'close')) as [number | null];
    return status === 0 ? { printed, ended: performance.now() - begin } : undefined;
  } catch {
    return undefined;
  }
}

/** In turn, so that a busy moment is everybody's. */
const took = new Map<string, { printed: number; ended: number }[]>(Object.keys(commands).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, command] of Object.entries(commands)) {
    const times = await time(command);
    if (times !== undefined) took.get(name)?.push(times);
  }
}

function median(name: string, until: 'printed' | 'ended'): number | undefined {
  const all = (took.get(name) ?? []).map((times) => times[until]).sort((a, b) => a - b);
  return all[Math.floor(all.length / 2)];
}

const row = (until: 'printed' | 'ended'): Record<string, number | undefined> =>
  Object.fromEntries(Object.keys(commands).map((name) => [name, median(name, until)]));

report({
  title: 'vfio list, from its start',
  unit: 'milliseconds',
  rows: { 'until it has printed': row('printed'), 'until it has ended': row('ended') },
  floor: 'empty Node',
  aims: { 'until it has printed': { most: 150 } },
});
