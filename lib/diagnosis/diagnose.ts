import type { MatterId } from '../kernel/matters.js';
import { parseAddress } from '../pci/address.js';
import { findDevice } from '../pci/topology.js';
import type { Look } from './check.js';
import { deviceChecks } from './devices.js';
import { asFinding, CannotLook, type Finding } from './finding.js';
import { holderChecks } from './holders.js';
import { iommuChecks } from './iommu.js';
import { logChecks } from './kernel-log.js';
import { memoryChecks } from './memory.js';
import { moduleChecks } from './modules.js';
import { nodeChecks } from './nodes.js';
import { Scene, type Looked } from './scene.js';

/** The checks by area, in the order in which one depends on the one before: firmware first. */
export const areas = {
  IOMMU: iommuChecks,
  kernel: moduleChecks,
  devices: deviceChecks,
  nodes: nodeChecks,
  processes: holderChecks,
  memory: memoryChecks,
  'kernel log': logChecks,
} as const;

const checks = Object.assign({}, ...Object.values(areas)) as Readonly<Record<MatterId, Look>>;

/** The names of all checks. */
export const checkIds = Object.keys(checks) as readonly MatterId[];

export interface Diagnosis {
  /** The checks that looked. */
  readonly checked: readonly MatterId[];
  /** Those that could not, and why: 'needs root to read …'. */
  readonly skipped: readonly { readonly check: MatterId; readonly why: string }[];
  readonly findings: readonly Finding[];
}

export interface DiagnoseOptions {
  /** A device, to be looked at as one that is to work; by default all that VFIO has or is to have. */
  readonly address?: string | undefined;
  /** The checks to run, which then tell what is quite usual, too. Default: all. */
  readonly checks?: readonly MatterId[] | undefined;
}

/**
 * Looks at the machine, and changes nothing.
 * @throws KernelError ENOENT when there is no device of that address.
 */
export function diagnose(kernel: Looked, { address, checks: wanted }: DiagnoseOptions = {}): Diagnosis {
  const asked = address === undefined ? undefined : findDevice(kernel, parseAddress(address)).address;
  const scene = new Scene(kernel, { asked, curious: wanted !== undefined });
  const checked: MatterId[] = [];
  const skipped: { check: MatterId; why: string }[] = [];
  const findings: Finding[] = [];
  for (const check of checkIds.filter((id) => wanted?.includes(id) ?? true)) {
    try {
      findings.push(...[...checks[check](scene)].map((found) => asFinding(check, found)));
      checked.push(check);
    } catch (error) {
      if (!(error instanceof CannotLook)) throw error;
      skipped.push({ check, why: error.message });
    }
  }
  return { checked, skipped, findings };
}
