/**
 * Runs each test as it is, and then again with each condition that it met answered otherwise, until one makes it fail: as
 * tries of the same test, which Vitest repeats with all that goes before and after each.
 */
import { setMaxListeners } from 'node:events';
import { writeSync } from 'node:fs';
import { TestRunner, type RunnerTestCase } from 'vitest';
import { Conditions } from './conditions.js';
import { load } from './mutants.js';
import { note, noted, noteTrial } from './outcomes.js';
import { reasonOf } from './survivors.js';

/** The mutated kernel asks it by that name, and stays while test files come and go. */
const global = globalThis as { conditions?: Conditions };
const conditions = (global.conditions ??= new Conditions());

export default class extends TestRunner {
  readonly #mutation = load()!;
  /** What no test can notice is not tried. */
  readonly #mutants = new Set(this.#mutation.mutants.filter((mutant) => reasonOf(mutant) === undefined).map(({ id }) => id));
  /** Milliseconds. A test that takes longer is tried with those mutants alone that it noticed in the run before. */
  readonly #limit = Number(process.env['VFIO_MUTATION_LIMIT']);
  readonly #ended = noted().ended;
  #started = 0;
  #quick = false;
  /** Test files run in several processes. */
  #killed = new Set<string>();
  #met = new Set<string>();
  #ahead: string[] = [];
  /** The mutant that the test failed with in the try before, while it is run without one once more. */
  #failedWith: string | undefined;

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    await super.onBeforeRunTask(test);
    // What a suite was answered altogether, mutants' answers included.
    if (test.name === 'answers call by call as recorded' || this.#ended.has(nameOf(test))) {
      test.mode = 'skip';
      return;
    }
    const { killed, met } = noted();
    this.#killed = new Set(killed.keys());
    this.#met = new Set(met.keys());
    test.retry = Number.MAX_SAFE_INTEGER;
    // Each try listens to its test's end.
    setMaxListeners(0, test.context.signal);
    this.#ahead = [];
    this.#failedWith = undefined;
    conditions.forget();
    this.#started = performance.now();
  }

  /** After each try: whether there is another, and with which mutant. */
  onAfterRetryTask(test: RunnerTestCase): void {
    const result = test.result!;
    const failed = result.state === 'fail';
    const { active } = conditions;
    if (active === undefined && failed) {
      // Ever since a mutant, which is so noticed, or as it is, which fails the run. Another process has to go on.
      noteTrial(this.#failedWith, nameOf(test));
      writeSync(2, `${nameOf(test)} fails without a mutant: ${result.errors?.[0]?.message}\n`);
      process.kill(process.pid, 'SIGKILL');
    }
    if (active === undefined) this.#passed(test);
    else if (failed) this.#failedWith = active;
    conditions.activate(this.#failedWith === undefined ? this.#ahead.shift() : undefined);
    noteTrial(conditions.active, nameOf(test));
    const ended = conditions.active === undefined && this.#failedWith === undefined;
    if (ended && this.#quick) note('ended', '', nameOf(test));
    // What Vitest tries again: a test that failed with an error.
    result.state = ended ? 'pass' : 'fail';
    result.errors = ended ? [] : [{ message: 'There is more to try' }];
  }

  #passed(test: RunnerTestCase): void {
    const name = nameOf(test);
    if (this.#failedWith !== undefined) {
      note('killed', this.#failedWith, name);
      this.#killed.add(this.#failedWith);
      this.#failedWith = undefined;
      return;
    }
    this.#quick = performance.now() - this.#started <= this.#limit;
    const noticeable = conditions.noticeable.filter((mutant) => this.#mutants.has(mutant) && !this.#killed.has(mutant));
    for (const mutant of noticeable) {
      if (!this.#met.has(mutant)) note('met', mutant, name);
      this.#met.add(mutant);
    }
    this.#ahead = noticeable.filter((mutant) => this.#quick || this.#mutation.noticedBefore?.[mutant] === name);
  }
}

function nameOf(test: RunnerTestCase): string {
  return `${test.file.name} ${test.fullName}`;
}
