/**
 * Deletes each check of the simulated kernel in turn, and looks whether a test notices. Ends with the checks that no test
 * missed and that survivors.ts does not explain; there must be none.
 *
 *   npm run mutate                                     all of lib/sim: hours
 *   npm run mutate -- --mutate 'lib/sim/type1/*.ts'    a part
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { survivors } from './survivors.js';

interface Place {
  readonly line: number;
  readonly column: number;
}

interface Mutant {
  readonly status: string;
  readonly replacement: string;
  readonly location: { readonly start: Place; readonly end: Place };
}

interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
}

const { status } = spawnSync('node_modules/.bin/stryker', ['run', 'test/mutation/stryker.config.json', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
if (status !== 0) throw new Error(`The mutation run ended with status ${status}`);

const { files } = JSON.parse(readFileSync('reports/mutation.json', 'utf8')) as Report;

/** The text that was replaced. */
function textAt(source: string, { start, end }: Mutant['location']): string {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  const last = (lines.at(-1) ?? '').slice(0, end.column - 1);
  return (
    lines.length === 1 ? last.slice(start.column - 1) : [(lines[0] ?? '').slice(start.column - 1), ...lines.slice(1, -1), last].join(' ')
  )
    .replaceAll(/\s+/g, ' ')
    .trim();
}

const counts = { killed: 0, explained: 0, unexplained: 0 };
for (const [file, { source, mutants }] of Object.entries(files)) {
  for (const { status: outcome, replacement, location } of mutants) {
    if (outcome === 'Killed' || outcome === 'Timeout') counts.killed += 1;
    if (outcome !== 'Survived' && outcome !== 'NoCoverage') continue;
    const code = textAt(source, location);
    const found = survivors.find((survivor) => survivor.file === file && survivor.code === code && survivor.replacement === replacement);
    counts[found === undefined ? 'unexplained' : 'explained'] += 1;
    if (found === undefined) console.log(`${file}:${location.start.line}: ${code} → ${replacement}: ${outcome}`);
    else console.log(`${file}:${location.start.line}: ${code} → ${replacement}: ${found.reason}`);
  }
}
console.log(
  `${counts.killed} deleted checks made a test fail, ${counts.explained} survived and are explained, ${counts.unexplained} are not`,
);
process.exitCode = counts.unexplained === 0 ? 0 : 1;
