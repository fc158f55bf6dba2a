/** What the tests say of each mutant, kept in a file, since they run in processes of their own. */
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const folder = 'reports';
const path = `${folder}/mutation-outcomes.txt`;
/** What each process tries now. One that does not live to its end leaves its file. */
const trialOf = (process: string | number): string => `${folder}/mutation-trial-${process}.txt`;

/**
 * `met`: a test met the condition, and it answered otherwise. `killed`: with another answer a test fails, and without it passes
 * again. `ended`, of no mutant: a test has been tried with all that it met.
 */
export type Outcome = 'met' | 'killed' | 'ended';

export function forget(): void {
  for (const trial of trials()) rmSync(trialOf(trial));
  writeFileSync(path, '');
}

export function note(outcome: Outcome, mutant: string, test: string): void {
  appendFileSync(path, `${outcome}\t${mutant}\t${test}\n`);
}

/** Says what is tried; with undefined, that nothing is. */
export function noteTrial(mutant: string | undefined, test: string): void {
  if (mutant === undefined) rmSync(trialOf(process.pid), { force: true });
  else writeFileSync(trialOf(process.pid), `${mutant}\t${test}`);
}

/** Notes the mutants whose process did not live to the end of a test as killed, and returns how many those are. */
export function noteDeaths(): number {
  const dead = trials();
  for (const trial of dead) {
    const [mutant, test] = readFileSync(trialOf(trial), 'utf8').split('\t') as [string, string];
    note('killed', mutant, test);
    rmSync(trialOf(trial));
  }
  return dead.length;
}

function trials(): string[] {
  return readdirSync(folder).flatMap((name) => /^mutation-trial-(\d+)\.txt$/.exec(name)?.[1] ?? []);
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
