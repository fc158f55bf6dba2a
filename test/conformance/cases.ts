/**
 * Sequences that differential runs found: the simulated kernel once answered them otherwise than the real one. Each file of
 * `cases` has one, with the answers of the real kernel, as `npm run differential` prints it; and what it shows, as `title`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Memory } from '../differential/memory.js';
import type { Operation } from '../differential/operation.js';
import type { CaseFile } from '../differential/report.js';
import type { Place } from '../differential/places.js';
import { mayRaise } from '../differential/sequence.js';
import { Side } from '../differential/side.js';
import { root } from '../support/root.js';
import type { Subject, Variant } from '../support/subject.js';

/** A case that was kept. */
interface KeptCase extends Pick<CaseFile, 'operations' | 'answers'> {
  readonly title: string;
  /** Kernels and IOMMUs whose answers these are, where not all of them answer so: '6.12', 'amd'. */
  readonly only?: readonly string[];
  /** What came back in the argument or the data of the last call that has any, in hexadecimal, without the zeros at its end. */
  readonly bytes?: string;
}

const folder = join(root, 'test/conformance/cases');
const kept = readdirSync(folder)
  .sort()
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as KeptCase);

export function cases(variant: Variant): void {
  const { version, iommu } = variant.make();
  for (const { title, only = [], operations, answers, bytes } of kept) {
    const [versions, iommus] = [only.filter((fact) => /\d/.test(fact)), only.filter((fact) => !/\d/.test(fact))];
    if ((versions.length > 0 && !versions.includes(version)) || (iommus.length > 0 && !iommus.includes(iommu))) continue;
    it(title, () => {
      const subject = variant.make();
      const memory = new Memory(subject.kernel);
      const side = new Side(subject.kernel, memory, places(subject, operations), () => 0n);
      try {
        const outcomes = operations.map((operation) => {
          const outcome = side.run(operation);
          if (variant.real && mayRaise(operation)) Atomics.wait(idle, 0, 0, interruptMilliseconds);
          return outcome;
        });
        expect(outcomes.map(({ result }) => result)).toEqual(answers);
        if (bytes !== undefined)
          expect(
            Buffer.from(outcomes.findLast((outcome) => outcome.bytes.byteLength > 0)?.bytes ?? [])
              .toString('hex')
              .replace(/(00)*$/, ''),
          ).toBe(bytes);
      } finally {
        side.close();
        memory.free();
      }
    });
  }
}

/** How long an interrupt may take. */
const interruptMilliseconds = 50;
const idle = new Int32Array(new SharedArrayBuffer(4));

/** Those that the operations name: not every machine has all. */
function places(subject: Subject, operations: readonly Operation[]): Place[] {
  const named = (name: string): boolean => operations.some((operation) => Object.values(operation).some((value) => says(value, name)));
  const known = { edu: () => subject.edu, nvme: () => subject.nvme, card: () => subject.express, shared: () => subject.shared };
  const hardware = { edu: 'edu', nvme: 'nvme', card: 'e1000e', shared: 'edu' } as const;
  return (Object.keys(known) as (keyof typeof known)[])
    .filter(named)
    .map((name) => ({ name, hardware: hardware[name], ...known[name](), noIommu: subject.iommu === 'none' }));
}

function says(value: unknown, name: string): boolean {
  return value === `@${name}` || value === `group ${name}` || value === `node ${name}`;
}
