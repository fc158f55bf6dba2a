/**
 * Runs each figure in a process of its own, so that none is compiled with another's habits, and writes all of them with the
 * machine they are of to `reports/bench.json`. `npm run bench`, or `npm run bench -- mmio ioctl` for some.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Figure } from './report.js';

const folder = dirname(fileURLToPath(import.meta.url));
const all = ['crossing', 'mmio', 'ioctl', 'structs', 'memory', 'interrupts', 'mappings', 'command', 'lab', 'drivers'];
const asked = process.argv.slice(2);
const unknown = asked.find((name) => !all.includes(name));
if (unknown !== undefined) throw new Error(`There is no figure '${unknown}', but ${all.join(', ')}`);

const reports = join(folder, '../reports');
const lines = join(reports, 'bench.ndjson');
mkdirSync(reports, { recursive: true });
writeFileSync(lines, '');
for (const figure of asked.length > 0 ? asked : all) {
  const env = { ...process.env, VFIO_BENCH_FIGURES: lines };
  const { status } = spawnSync('npx', ['tsx', join(folder, `${figure}.ts`)], { stdio: 'inherit', env });
  if (status !== 0) process.exitCode = 1;
}

const figures = readFileSync(lines, 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line) as Figure);
const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  processors: cpus().length,
  gigabytes: Math.round(totalmem() / 1e9),
  linux: release(),
  node: process.version,
};
writeFileSync(join(reports, 'bench.json'), `${JSON.stringify({ date: new Date().toISOString(), machine, figures }, undefined, 2)}\n`);
