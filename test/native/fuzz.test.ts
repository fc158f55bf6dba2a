import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { addonPath } from './support.js';

const seed = Number(process.env['TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const calls = Number(process.env['TEST_CALLS'] ?? 20_000);

it(`no argument whatever crashes the addon (TEST_SEED=${seed} repeats this run)`, { timeout: 120_000 }, () => {
  const cwd = mkdtempSync('/dev/shm/addon-fuzz-');
  const child = path.join(import.meta.dirname, 'fuzz-child.mjs');
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--expose-gc', '--no-deprecation', child, addonPath, String(seed), String(calls)],
    { cwd, encoding: 'utf8', timeout: 110_000 },
  );
  rmSync(cwd, { recursive: true });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  const counts = JSON.parse(stdout) as Record<string, number>;
  expect(counts['calls']).toBe(calls);
  for (const kind of ['results', 'errors', 'refused']) expect(counts[kind]).toBeGreaterThan(calls / 100);
});
