import { matter, type MatterId } from '../kernel/matters.js';
import type { Evidence } from '../pci/evidence.js';

/** failure: VFIO, or the device, cannot be used so. warning: it may not, or not safely. note: good to know. */
export type Severity = 'failure' | 'warning' | 'note';

/** Something that was found wrong. */
export interface Finding {
  /** The check that found it, and the name of what is known of the matter. */
  readonly check: MatterId;
  readonly severity: Severity;
  /** The address of the device it is about; undefined: the machine. */
  readonly device: string | undefined;
  /** What is wrong, in one sentence. */
  readonly finding: string;
  readonly why: string;
  readonly evidence: readonly Evidence[];
  /** Commands that mend it, to be pasted into a shell, or lines beginning with # where no command does. */
  readonly fix: readonly string[];
}

/** What a check tells; what is known of its matter is added. */
export interface Found {
  readonly severity: Severity;
  readonly device?: string;
  readonly evidence: readonly Evidence[];
  readonly fix: readonly string[];
}

export function asFinding(check: MatterId, { severity, device, evidence, fix }: Found): Finding {
  const { finding, why } = matter(check);
  return { check, severity, device, finding, why, evidence, fix };
}

/** A check could not look, and says what it would take. */
export class CannotLook extends Error {
  override readonly name = 'CannotLook';
}
