import { defineConfig } from 'vitest/config';

/** The tests that the simulated kernel answers in. Leaks are not looked for: a test that a mutant fails may well leave some. */
export default defineConfig({
  test: {
    include: ['test/{conformance,differential,iommufd,memory,models,pci,sim,vfio}/**/*.test.ts'],
    testTimeout: 20_000,
  },
});
