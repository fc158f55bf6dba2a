import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // After each test: no file, mapping or handle that was not there before.
    setupFiles: ['test/support/leaks.ts'],
    testTimeout: 20_000,
  },
});
