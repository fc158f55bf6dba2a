import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What real kernels answered. */
export const goldenFolder = join(root, 'test/golden');
