import { expect, it } from 'vitest';
import { run } from '../fuzz/run.mjs';
import { addonPath } from './support.js';

const calls = 8000;
/** Another each time, and one that is always the same. */
const fresh = Math.floor(Math.random() * 2 ** 31);

it.each([fresh, 1])('no argument whatever crashes the addon, from seed %i (npm run fuzz -- --seed … --minutes 0)', {
  timeout: 300_000,
}, (seed) => {
  const { counts, finding } = run({ addonPath, seed, calls });
  expect(finding).toBeUndefined();
  for (const [name, { results }] of Object.entries(counts?.functions ?? {})) expect(results, name).toBeGreaterThan(0);
  expect(Object.keys(counts?.functions ?? {})).toHaveLength(36);
  expect(counts?.callbacks).toBeGreaterThan(0);
  expect(counts?.threads).toBeGreaterThan(0);
});
