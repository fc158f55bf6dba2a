import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';
import config from '../../vitest.config.js';
import { load } from './mutants.js';
import Sequencer from './sequencer.js';

const sources = new Map(Object.entries(load().sources).map(([path, source]) => [resolve(path), source]));

/** The tests that the simulated kernel answers in. Leaks are not looked for: a test that a mutant fails may well leave some. */
export default defineConfig({
  ...config,
  plugins: [{ name: 'mutants', enforce: 'pre', load: (path) => sources.get(path) }],
  test: {
    ...config.test,
    include: ['test/{conformance,differential,iommufd,memory,models,pci,sim,vfio}/**/*.test.ts'],
    setupFiles: [],
    runner: './test/mutation/runner.ts',
    sequence: { sequencer: Sequencer },
    // What a failed test left behind may fail later; the tests alone decide.
    dangerouslyIgnoreUnhandledErrors: true,
    isolate: false,
    maxWorkers: 1,
    // So long a test waits for what a mutant keeps from coming.
    testTimeout: 10_000,
    experimental: { fsModuleCache: true },
  },
});
