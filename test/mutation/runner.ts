/**
 * Runs each test as it is, and then again with each condition that it met answered otherwise, until one makes it fail: as
 * tries of the same test, which Vitest repeats with all that goes before and after each.
 */
import { setMaxListeners } from 'node:events';
import { TestRunner, type RunnerTestCase } from 'vitest';
import { Conditions } from './conditions.js';
import { load } from './mutants.js';
import { note, noted } from './outcomes.js';

/** The mutated kernel asks it by that name, and stays while test files come and go. */
const global = globalThis as { conditions?: Conditions };
const conditions = (global.conditions ??= new Conditions());

export default class extends TestRunner {
  readonly #mutants = new Set(load().mutants.map(({ id }) => id));
  /** Test files run in several processes. */
  #killed = new Set<string>();
  #met = new Set<string>();
  #ahead: string[] = [];
  /** The mutant that the test failed with in the try before, while it is run without one once more. */
  #failedWith: string | undefined;

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    await super.onBeforeRunTask(test);
    // What a suite was answered altogether, mutants' answers included.
    if (test.name === 'answers call by call as recorded') test.mode = 'skip';
    const { killed, met } = noted();
    this.#killed = killed;
    this.#met = met;
    test.retry = Number.MAX_SAFE_INTEGER;
    // Each try listens to its test's end.
    setMaxListeners(0, test.context.signal);
    this.#ahead = [];
    this.#failedWith = undefined;
    conditions.forget();
  }

  /** After each try: whether there is another, and with which mutant. */
  onAfterRetryTask(test: RunnerTestCase): void {
    const result = test.result!;
    const failed = result.state === 'fail';
    const { active } = conditions;
    if (active === undefined && failed) {
      // A test that fails as it is says nothing of mutants, and fails the run.
      test.retry = 0;
      if (this.#failedWith !== undefined) result.errors?.unshift({ message: `It fails ever since mutant ${this.#failedWith}` });
      return;
    }
    if (active === undefined) this.#passed(test);
    else if (failed) this.#failedWith = active;
    conditions.activate(this.#failedWith === undefined ? this.#ahead.shift() : undefined);
    const ended = conditions.active === undefined && this.#failedWith === undefined;
    // What Vitest tries again: a test that failed with an error.
    result.state = ended ? 'pass' : 'fail';
    result.errors = ended ? [] : [{ message: 'There is more to try' }];
  }

  #passed(test: RunnerTestCase): void {
    const name = `${test.file.name} ${test.fullName}`;
    if (this.#failedWith !== undefined) {
      note('killed', this.#failedWith, name);
      this.#killed.add(this.#failedWith);
      this.#failedWith = undefined;
      return;
    }
    this.#ahead = conditions.noticeable.filter((mutant) => this.#mutants.has(mutant) && !this.#killed.has(mutant));
    for (const mutant of this.#ahead) {
      if (!this.#met.has(mutant)) note('met', mutant, name);
      this.#met.add(mutant);
    }
  }
}
