import { KernelError } from '../kernel/error.js';
import type { MatterId } from '../kernel/matters.js';
import { findDevices, nodesOf } from '../pci/topology.js';
import { diagnose } from './diagnose.js';
import type { Finding } from './finding.js';
import type { Looked } from './scene.js';

/**
 * What of this machine may be the reason of an error: what the error's `checks` find, with the facts, as `vfio doctor` does.
 * Empty for an error that is not a kernel's, and where the machine is not the reason. It reads files, which takes longer than
 * the call that failed: not for errors that are expected.
 */
export function explain(kernel: Looked, error: unknown): readonly Finding[] {
  if (!(error instanceof KernelError) || error.checks.length === 0) return [];
  const { path } = error;
  const device = findDevices(kernel).find((each) => path !== undefined && [each.address, ...nodesOf(each)].includes(path));
  return diagnose(kernel, { address: device?.address, checks: error.checks as readonly MatterId[] }).findings;
}
