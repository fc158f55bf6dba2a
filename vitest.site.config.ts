import { defineConfig } from 'vitest/config';

/** The docs as a site, in a browser: `npm run test:site`. */
export default defineConfig({
  test: {
    include: ['test/site/*.ts'],
    exclude: ['test/site/support.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
