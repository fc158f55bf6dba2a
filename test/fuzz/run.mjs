// One run of the fuzzer: a process that makes so many calls, from one seed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readLastCalls } from './last-calls.mjs';

const longest = 10 * 60_000;

/** `counts` of a run without a finding; otherwise what the finding is. `device` is how real devices are opened, if they are. */
export function run({ addonPath, seed, calls, device }) {
  const folder = mkdtempSync(join(tmpdir(), 'addon-fuzz-'));
  const log = join(folder, 'last-calls');
  writeFileSync(log, '');
  try {
    const child = join(import.meta.dirname, 'child.mjs');
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['--expose-gc', '--no-deprecation', '--no-warnings', child, JSON.stringify({ addonPath, seed, calls, log, device })],
      { cwd: folder, encoding: 'utf8', timeout: longest, killSignal: 'SIGKILL', maxBuffer: 1 << 26 },
    );
    if (status === 0 && stderr === '') return { counts: JSON.parse(stdout) };
    const last = readLastCalls(log).slice(-40);
    return { finding: [`seed ${seed}: status ${status}, signal ${signal}`, stderr, 'The last calls:', ...last].join('\n') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Adds up the counts of functions. */
export function add(total, { functions, callbacks, threads }) {
  for (const [name, counts] of Object.entries(functions)) {
    const sum = (total.functions[name] ??= { calls: 0, results: 0, errors: 0, refused: 0 });
    for (const kind of Object.keys(counts)) sum[kind] += counts[kind];
  }
  total.callbacks += callbacks;
  total.threads += threads;
}
