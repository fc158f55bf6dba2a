import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/package/*.test.ts'],
    pool: 'forks',
    globalSetup: 'test/package/setup.ts',
    // What is measured in minutes elsewhere is compilers and emulators.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    teardownTimeout: 240_000,
  },
});
