/** What the tests say of each mutant, kept in a file, since they run in processes of their own. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';

const path = 'reports/mutation-outcomes.txt';

/** `met`: a test met the condition, and it answered otherwise. `killed`: with another answer a test fails, and without it passes again. */
export type Outcome = 'met' | 'killed';

export function forget(): void {
  writeFileSync(path, '');
}

export function note(outcome: Outcome, mutant: string, test: string): void {
  appendFileSync(path, `${outcome}\t${mutant}\t${test}\n`);
}

export function noted(): Record<Outcome, Set<string>> {
  const all = { met: new Set<string>(), killed: new Set<string>() };
  for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
    const [outcome, mutant] = line.split('\t') as [Outcome, string];
    all[outcome].add(mutant);
  }
  return all;
}
