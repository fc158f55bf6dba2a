/** How long a command takes from its start until it has printed, and until it has ended, beside Node with a word to print, and lspci, which is C. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../test/support/root.js';
import { compile } from './floor.js';
import { report } from './report.js';

const rounds = 31;
const commands = {
  'this package': [process.execPath, join(root, 'dist/cli/vfio.cjs'), 'list'],
  'empty Node': [process.execPath, '-p', '1'],
  C: ['lspci', '-nnk'],
} as const;

using start = compile(readFileSync(join(root, 'bench/start.c'), 'utf8'));

/** Milliseconds; nothing for a command that is not there, or fails. */
function time(command: readonly string[]): { printed: number; ended: number } | undefined {
  const { status, stdout } = spawnSync(start.path, command, { encoding: 'utf8' });
  const [printed = NaN, ended = NaN] = stdout.split(' ').map((nanoseconds) => Number(nanoseconds) / 1e6);
  return status === 0 ? { printed, ended } : undefined;
}

/** In turn, so that a busy moment is everybody's. */
const took = new Map<string, { printed: number; ended: number }[]>(Object.keys(commands).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, command] of Object.entries(commands)) {
    const times = time(command);
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
