/**
 * Deletes each check of the simulated kernel in turn, and looks whether a test notices. Ends with the checks that no test
 * missed and that survivors.ts does not explain; there must be none.
 *
 *   npm run mutate                                      all of lib/sim
 *   npm run mutate -- lib/sim/type1 lib/sim/clock.ts    a part
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { load, mutate, namesOf, save } from './mutants.js';
import { forget, noted, noteDeaths } from './outcomes.js';
import { explains, reasonOf, survivors } from './survivors.js';

/**
 * Quick tests first, as most mutants do not outlive those: so many milliseconds may a test take that is tried with mutants. With
 * those that it noticed in the run before, each is.
 */
const limits = [0, 20, 200, Infinity];

const parts = process.argv.slice(2);
const sources = readdirSync('lib', { recursive: true, encoding: 'utf8' })
  .map((name) => `lib/${name}`)
  .filter((path) => path.endsWith('.ts'))
  .sort();
const isTried = (path: string): boolean =>
  path.startsWith('lib/sim/') && (parts.length === 0 || parts.some((part) => path === part || path.startsWith(`${part}/`)));
const paths = sources.filter(isTried);

mkdirSync('reports', { recursive: true });
const before = noticedBefore();
const mutation = mutate(
  paths,
  sources.filter((path) => !isTried(path)),
);
const names = namesOf(mutation);
save({ ...mutation, noticedBefore: Object.fromEntries(mutation.mutants.map((mutant) => [mutant.id, before.get(names.get(mutant)!)])) });
forget();
for (const limit of limits) tryAll(limit);

const { killed, met } = noted();
const counts = { killed: killed.size, explained: 0, unexplained: 0 };
for (const mutant of mutation.mutants.filter(({ id }) => !killed.has(id))) {
  const reason = reasonOf(mutant);
  counts[reason === undefined ? 'unexplained' : 'explained'] += 1;
  const { file, line, code, replacement } = mutant;
  console.log(`${file}:${line}: ${code} → ${replacement}: ${reason ?? (met.has(mutant.id) ? 'no test notices' : 'no test meets it')}`);
}
const needless = survivors
  .filter(({ file }) => paths.includes(file))
  .filter((each) => !mutation.mutants.some((mutant) => explains(each, mutant)));
for (const { file, code, replacement } of needless) console.log(`${file}: ${code} → ${replacement}: explained, and not there`);
console.log(
  `${counts.killed} deleted checks made a test fail, ${counts.explained} survived and are explained, ${counts.unexplained} are not`,
);
process.exitCode = counts.unexplained + needless.length === 0 ? 0 : 1;

/** Goes on where a mutant ended the process of its test, which tells as much as a test that fails. */
function tryAll(limit: number): void {
  const { status } = spawnSync('node_modules/.bin/vitest', ['run', '--config', 'test/mutation/vitest.config.ts'], {
    stdio: 'inherit',
    env: { ...process.env, VFIO_MUTATION_LIMIT: String(limit) },
  });
  if (status === 0) return;
  if (noteDeaths() === 0) throw new Error(`Tests fail without a mutant; the run ended with status ${status}`);
  tryAll(limit);
}

/** By a mutant's name, the test that noticed it in the run before. */
function noticedBefore(): Map<string, string | undefined> {
  const earlier = load();
  if (earlier === undefined) return new Map();
  const { killed } = noted();
  return new Map([...namesOf(earlier)].map(([{ id }, name]) => [name, killed.get(id) ?? earlier.noticedBefore?.[id]]));
}
