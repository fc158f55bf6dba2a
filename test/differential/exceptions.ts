/** Where the kernels may differ: each with a name, and the reason. What is not here is a difference. */
import type { Operation } from './operation.js';
import type { Outcome } from './side.js';

export interface Exception {
  readonly name: string;
  readonly reason: string;
  readonly allows: (operation: Operation, left: Outcome, right: Outcome) => boolean;
}

export const exceptions: readonly Exception[] = [];
