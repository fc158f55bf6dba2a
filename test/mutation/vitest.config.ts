import { defineConfig } from 'vitest/config';
import config from '../../vitest.config.js';

/** The tests that the simulated kernel answers in. Leaks are not looked for: a test that a mutant fails may well leave some. */
export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: ['test/{conformance,differential,iommufd,memory,models,pci,sim,vfio}/**/*.test.ts'],
    setupFiles: [],
  },
});
