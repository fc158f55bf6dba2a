import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // As Node itself has it: what a CommonJS module exports is its default, whole.
    deps: { interopDefault: false },
    include: ['test/**/*.test.ts'],
    // What is published has a configuration of its own: npm run test:package.
    exclude: ['test/package/**'],
    pool: 'forks',
    // By itself it leaves one processor to nobody.
    maxWorkers: '100%',
    // After each test: no file, mapping or handle that was not there before.
    setupFiles: ['test/support/leaks.ts'],
    testTimeout: 20_000,
  },
});
