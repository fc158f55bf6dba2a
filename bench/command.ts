/** How long a command takes from its start to its end, beside Node with nothing to do, and lspci, which is C. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../test/support/root.js';
import { report } from './report.js';

const rounds = 31;
const commands = {
  'this package': [process.execPath, join(root, 'dist/cli/vfio.cjs'), 'list'],
  'empty Node': [process.execPath, '-e', '0'],
  C: ['lspci', '-nnk'],
} as const;

/** In turn, so that a busy moment is everybody's; of each the median, in milliseconds. */
function medians(): Record<string, number | undefined> {
  const took = new Map<string, number[]>(Object.keys(commands).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, [program, ...args]] of Object.entries(commands)) {
      const begin = performance.now();
      const { error, status } = spawnSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      if (error === undefined && status === 0) took.get(name)?.push(performance.now() - begin);
    }
  }
  return Object.fromEntries([...took].map(([name, all]) => [name, all.sort((a, b) => a - b)[Math.floor(all.length / 2)]]));
}

report({
  title: 'A list of the PCI devices, printed',
  unit: 'milliseconds',
  rows: { 'vfio list': medians() },
  floor: 'empty Node',
  aims: { 'vfio list': { most: 150 } },
});
