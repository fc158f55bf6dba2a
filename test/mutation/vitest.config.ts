import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import config from '../../vitest.config.js';
import { load } from './mutants.js';

const sources = new Map(Object.entries(load()!.sources).map(([path, source]) => [resolve(path), source]));

/** Small files first: their tests are about little, and the mutants that they notice need not be tried in those of all kernels. */
class SmallFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).reverse();
  }
}

/**
 * The tests that the simulated kernel answers in, without those that compare one with another, which are both mutated, and
 * those of hundreds of thousands of calls. Leaks are not looked for: a test that a mutant fails may well leave some.
 */
export default defineConfig({
  ...config,
  plugins: [{ name: 'mutants', enforce: 'pre', load: (path) => sources.get(path) }],
  test: {
    ...config.test,
    include: ['test/{conformance,iommufd,kernel,memory,models,pci,sim,vfio}/**/*.test.ts'],
    exclude: ['test/sim/scale.test.ts'],
    setupFiles: [],
    runner: './test/mutation/runner.ts',
    // What a failed test left behind may fail later: the tests alone decide, as long as their process lives.
    onUnhandledError: ({ message }) => message.includes('Worker'),
    isolate: false,
    maxWorkers: 2,
    sequence: { sequencer: SmallFirst },
    // So long a test waits for what a mutant keeps from coming.
    testTimeout: 5000,
  },
});
