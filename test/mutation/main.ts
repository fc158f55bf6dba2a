/**
 * Deletes each check of the simulated kernel in turn, and looks whether a test notices. Ends with the checks that no test
 * missed and that survivors.ts does not explain; there must be none.
 *
 *   npm run mutate                                      all of lib/sim
 *   npm run mutate -- lib/sim/type1 lib/sim/clock.ts    a part
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { mutate, save } from './mutants.js';
import { forget, noted } from './outcomes.js';
import { survivors } from './survivors.js';

const parts = process.argv.slice(2);
const paths = readdirSync('lib/sim', { recursive: true, encoding: 'utf8' })
  .map((name) => `lib/sim/${name}`)
  .filter((path) => path.endsWith('.ts') && (parts.length === 0 || parts.some((part) => path === part || path.startsWith(`${part}/`))))
  .sort();

mkdirSync('reports', { recursive: true });
const mutation = mutate(paths);
save(mutation);
forget();
const { status } = spawnSync('node_modules/.bin/vitest', ['run', '--config', 'test/mutation/vitest.config.ts'], { stdio: 'inherit' });
if (status !== 0) throw new Error(`Tests fail without a mutant; the run ended with status ${status}`);

const { killed, met } = noted();
const counts = { killed: killed.size, explained: 0, unexplained: 0 };
for (const { id, file, line, code, replacement } of mutation.mutants.filter((mutant) => !killed.has(mutant.id))) {
  const found = survivors.find((survivor) => survivor.file === file && survivor.code === code && survivor.replacement === replacement);
  counts[found === undefined ? 'unexplained' : 'explained'] += 1;
  const outcome = found?.reason ?? (met.has(id) ? 'no test notices' : 'no test meets it');
  console.log(`${file}:${line}: ${code} → ${replacement}: ${outcome}`);
}
console.log(
  `${counts.killed} deleted checks made a test fail, ${counts.explained} survived and are explained, ${counts.unexplained} are not`,
);
process.exitCode = counts.unexplained === 0 ? 0 : 1;
