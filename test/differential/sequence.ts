/** A sequence on both kernels, from a clean state, until they differ. */
import { exceptions } from './exceptions.js';
import { Generator } from './generator.js';
import type { Operation } from './operation.js';
import type { Shape } from './places.js';
import type { Outcome, Side } from './side.js';

/** The first operation that the kernels answered differently. */
export interface Difference {
  readonly operation: Operation;
  readonly left: Outcome;
  readonly right: Outcome;
  /** They answered alike, and left other bytes in the memory that requests have addresses of. */
  readonly inMemory: boolean;
}

/** The kernels, clean. */
export interface Pair {
  readonly left: Side;
  readonly right: Side;
  readonly close: (operations: readonly Operation[]) => void;
  /** Waits until interrupts have come that a device raised: those that the second kernel says came. */
  readonly settle: () => void;
}

export interface Ran {
  readonly operations: readonly Operation[];
  /** What the first kernel answered to each. */
  readonly answers: readonly string[];
  readonly difference: Difference | undefined;
}

/** How often each exception was met. */
export type Tally = Map<string, number>;

export function replay(open: () => Pair, operations: readonly Operation[], tally?: Tally): Ran {
  const pair = open();
  const answers: string[] = [];
  try {
    for (const [index, operation] of operations.entries()) {
      const { result, difference } = step(pair, operation, tally);
      answers.push(result);
      if (difference !== undefined) return { operations: operations.slice(0, index + 1), answers, difference };
    }
    return { operations, answers, difference: undefined };
  } finally {
    pair.close(operations);
  }
}

export function generate(open: () => Pair, shape: Shape, seed: number, tally: Tally): Ran {
  const generator = new Generator(seed, shape);
  const pair = open();
  const operations: Operation[] = [];
  const answers: string[] = [];
  try {
    while (operations.length < generator.length) {
      const operation = generator.next();
      operations.push(operation);
      const { result, difference } = step(pair, operation, tally);
      answers.push(result);
      if (difference !== undefined) return { operations, answers, difference };
      generator.learn(operation, result);
    }
    return { operations, answers, difference: undefined };
  } finally {
    pair.close(operations);
  }
}

function step(
  { left, right, settle }: Pair,
  operation: Operation,
  tally: Tally | undefined,
): { result: string; difference: Difference | undefined } {
  const before = mayRaise(operation) ? right.counters() : undefined;
  const [first, second] = [left.run(operation), right.run(operation)];
  // Interrupts that only the first kernel has are found by who reads the eventfd.
  if (before !== undefined && right.counters() !== before) settle();
  const same = first.result === second.result && Buffer.compare(first.bytes, second.bytes) === 0;
  const inMemory = same && operation.call === 'ioctl' && Buffer.compare(left.memory, right.memory) !== 0;
  if (same && !inMemory) return { result: first.result, difference: undefined };
  const known = exceptions.find(({ allows }) => allows(operation, first, second));
  if (known === undefined) return { result: first.result, difference: { operation, left: first, right: second, inMemory } };
  tally?.set(known.name, (tally.get(known.name) ?? 0) + 1);
  return { result: first.result, difference: undefined };
}

/** An interrupt may be on its way: a register was written, or one that waits was let through. */
export function mayRaise(operation: Operation): boolean {
  return (
    operation.call === 'pwrite' ||
    operation.call === 'store' ||
    (operation.call === 'ioctl' && operation.request === 'VFIO_DEVICE_SET_IRQS')
  );
}
