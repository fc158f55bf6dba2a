/** What the tests say of each mutant, kept in a file, since they run in processes of their own. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';

const path = 'reports/mutation-outcomes.txt';

/**
 * `met`: a test met the condition, and it answered otherwise. `killed`: with another answer a test fails, and without it passes
 * again. `ended`, of no mutant: a test has been tried with all that it met.
 */
export type Outcome = 'met' | 'killed' | 'ended';

export function forget(): void {
  writeFileSync(path, '');
}

export function note(outcome: Outcome, mutant: string, test: string): void {
  appendFileSync(path, `${outcome}\t${mutant}\t${test}\n`);
}

export interface Outcomes {
  /** By mutant, the first test that says so. */
  readonly met: ReadonlyMap<string, string>;
  readonly killed: ReadonlyMap<string, string>;
  /** Tests. */
  readonly ended: ReadonlySet<string>;
}

export function noted(): Outcomes {
  const all = { met: new Map<string, string>(), killed: new Map<string, string>(), ended: new Set<string>() };
  if (!existsSync(path)) return all;
  for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
    const [outcome, mutant, test] = line.split('\t') as [Outcome, string, string];
    if (outcome === 'ended') all.ended.add(test);
    else if (!all[outcome].has(mutant)) all[outcome].set(mutant, test);
  }
  return all;
}
