/** Deleted checks that no test can notice, each with the reason, by the folder that it is in. */
import type { Survivor } from './survivors/survivor.js';
import { type1 } from './survivors/type1.js';

export const survivors: readonly Survivor[] = [...type1];
