/**
 * Runs each test as it is, and then again with each condition that it met answered otherwise, until one makes it fail: as
 * tries of the same test, which Vitest repeats with all that goes before and after each.
 */
import { setMaxListeners } from 'node:events';
import { TestRunner, type RunnerTestCase } from 'vitest';
import { note, noted } from './outcomes.js';

type Hits = Record<string, number>;

/** What the switches in the simulated kernel look at: Stryker's names. */
interface Switches {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  mutantCoverage?: { readonly perTest: Record<string, Hits> };
}

const switches = ((globalThis as { __stryker__?: Switches }).__stryker__ ??= {});

/** More rounds than that without the test's end is a loop without one. */
const roundsPerHit = 100;

export default class extends TestRunner {
  readonly #killed = new Set(noted().killed);
  readonly #covered = new Set(noted().covered);
  /** What this test met, how often. */
  #hits: Hits = {};
  #ahead: string[] = [];
  /** Whether the try without a mutant is the second one, after a failure with this one. */
  #failedWith: string | undefined;

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    await super.onBeforeRunTask(test);
    test.retry = Number.MAX_SAFE_INTEGER;
    // Each try listens to its test's end.
    setMaxListeners(0, test.context.signal);
    this.#hits = {};
    this.#ahead = [];
    this.#failedWith = undefined;
    switches.currentTestId = 'this';
    delete switches.mutantCoverage?.perTest['this'];
  }

  onAfterRetryTask(test: RunnerTestCase): void {
    const result = test.result!;
    const failed = result.state === 'fail';
    const { activeMutant } = switches;
    const name = `${test.file.name} ${test.fullName}`;
    if (activeMutant === undefined) {
      // A test that fails without a mutant says nothing, and fails the run.
      if (failed) {
        test.retry = 0;
        if (this.#failedWith !== undefined) result.errors?.unshift({ message: `It fails ever since mutant ${this.#failedWith}` });
        return;
      }
      if (this.#failedWith !== undefined) {
        note('killed', this.#failedWith, name);
        this.#killed.add(this.#failedWith);
        this.#failedWith = undefined;
      } else {
        this.#hits = switches.mutantCoverage?.perTest['this'] ?? {};
        switches.currentTestId = undefined;
        this.#ahead = Object.keys(this.#hits).filter((mutant) => !this.#killed.has(mutant));
        for (const mutant of this.#ahead) {
          if (!this.#covered.has(mutant)) note('covered', mutant, name);
          this.#covered.add(mutant);
        }
      }
    } else if (failed) this.#failedWith = activeMutant;
    const next = this.#failedWith === undefined ? this.#ahead.shift() : undefined;
    switches.activeMutant = next;
    switches.hitCount = next === undefined ? undefined : 0;
    switches.hitLimit = next === undefined ? undefined : (this.#hits[next] ?? 0) * roundsPerHit;
    const ended = next === undefined && this.#failedWith === undefined;
    // What Vitest tries again: a test that failed with an error.
    result.state = ended ? 'pass' : 'fail';
    result.errors = ended ? [] : [{ message: 'There is more to try' }];
  }
}
