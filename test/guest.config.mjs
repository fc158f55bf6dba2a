/** vitest's settings in a guest of the lab: the ordinary ones, for suites that are JavaScript in one file on a slow processor. */
export default {
  test: {
    deps: { interopDefault: false },
    include: ['test/.bundles/*.mjs'],
    setupFiles: ['test/.bundles/leaks.mjs'],
    server: { deps: { external: [/\.test\.mjs$/] } },
    pool: 'forks',
    testTimeout: 60_000,
  },
};
