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
    // Before all of them, once: a missing addon is said as such.
    globalSetup: ['test/support/addon.ts'],
    // After each test: no file, mapping or handle that was not there before.
    setupFiles: ['test/support/leaks.ts'],
    testTimeout: 20_000,
    coverage: {
      include: ['lib/**/*.ts'],
      reporter: ['text-summary', 'lcov'],
      // What is measured is a point or less above these: they go up with it.
      thresholds: { statements: 95, branches: 91, functions: 94, lines: 96 },
    },
  },
});
