/** What is the same for all files: closing, reading and writing. */
import type { Recipe } from './recipe.js';
import { on } from './recipe.js';

export const fileRecipes: readonly Recipe[] = [
  on(
    4,
    () => true,
    (file) => ({ call: 'close', file: file.ref }),
  ),
  on(
    12,
    ({ kind }) => kind === 'eventfd',
    (file) => ({ call: 'read', file: file.ref, length: 8 }),
  ),
  on(
    2,
    ({ kind }) => kind === 'eventfd',
    (file, random) =>
      random.chance(0.8)
        ? { call: 'write', file: file.ref, words: [['u64', random.pick([1, 2, 0, '0xffffffffffffffff', '0xfffffffffffffffe'])]] }
        : { call: 'read', file: file.ref, length: random.pick([0, 4, 16]) },
  ),
  on(
    1,
    ({ kind }) => kind !== 'device' && kind !== 'memfd',
    (file, random) =>
      random.chance(0.5) ? { call: 'read', file: file.ref, length: 8 } : { call: 'write', file: file.ref, words: [['u64', 1]] },
  ),
  { weight: 1, make: (random) => [{ call: 'eventfd', initial: random.pick([0, 1, 5]) }] },
];
