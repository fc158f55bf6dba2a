import { denylistPath, isDenied } from '../../pci/denylist.js';
import { noIommuMode } from '../../pci/driver.js';
import { hasVfioDriver, isBridge, isVfioDriver } from '../../pci/group.js';
import type { Evidence } from '../../pci/evidence.js';
import type { Use } from '../../pci/in-use/use.js';
import { usesOf } from '../../pci/in-use/uses.js';
import type { WithFiles } from '../../pci/sysfs.js';
import { devicesPath, type PciDevice } from '../../pci/topology.js';
import { Refusal } from '../exit.js';
import { hexValue } from '../hex.js';
import { nameOf, type Change } from './plan.js';

/** Why a device should stay where it is. */
export interface Reason {
  readonly address: string;
  readonly says: string;
  readonly evidence: readonly Evidence[];
  /** `--force` does away with it. */
  readonly forceable: boolean;
}

/** All that is against the changes, but for what is forced. */
export function reasonsAgainst(
  kernel: WithFiles,
  changes: readonly Change[],
  { forced, session }: { readonly forced: readonly string[]; readonly session: string | undefined },
): Reason[] {
  const moving = changes.filter(({ moves, device, to }) => moves && !(to !== 'bus' && to.driver === device.driver));
  const uses = usesOf(
    kernel,
    moving.map(({ device }) => device),
    session,
  );
  const all = moving.flatMap((change) => [
    ...impossible(kernel, change),
    ...(uses.get(change.device.address) ?? []).map((use) => reasonOf(kernel, change.device, use)),
  ]);
  return all.filter(({ address, forceable }) => !(forceable && forced.includes(address)));
}

/** Who takes a device from VFIO waits in the kernel until it is let go: nothing can force that. */
function reasonOf(kernel: WithFiles, device: PciDevice, { kind, says, evidence }: Use): Reason {
  const waits = kind === 'open' && hasVfioDriver(kernel, device);
  return reason(device, waits ? `${says}, and the kernel would wait for it to let go` : says, evidence, !waits);
}

function impossible(kernel: WithFiles, { device, to }: Change): Reason[] {
  const driver = to === 'bus' ? undefined : to.driver;
  const path = `${devicesPath}/${device.address}`;
  const reasons: Reason[] = [];
  if (isBridge(device)) {
    const says = 'it is a bridge, which leads to other devices: no group needs it moved, and VFIO does not take it';
    reasons.push(reason(device, says, [{ file: `${path}/class`, value: hexValue(device.classCode, 24) }], false));
  }
  if (driver === undefined || !isVfioDriver(driver)) return reasons;
  if (device.group === undefined && !noIommuMode(kernel)) {
    const says =
      `it is in no IOMMU group, so ${driver} would not take it: ` +
      'is the IOMMU on in the firmware and the kernel, or in a virtual machine, does it have one';
    reasons.push(reason(device, says, [{ file: `${path}/iommu_group`, value: 'not there' }], false));
  }
  if (driver === 'vfio-pci' && isDenied(kernel, device)) {
    const says = 'it is on the denylist of vfio-pci, as with it an untrusted user can wedge the machine';
    reasons.push(reason(device, says, [{ file: denylistPath, value: 'N' }], true));
  }
  return reasons;
}

function reason(device: PciDevice, says: string, evidence: readonly Evidence[], forceable: boolean): Reason {
  return { address: device.address, says, evidence, forceable };
}

/** All of them in one error. */
export function refusalOf(reasons: readonly Reason[], devices: readonly PciDevice[]): Refusal {
  const lines = devices.flatMap((device) =>
    reasons
      .filter(({ address }) => address === device.address)
      .map(({ says, evidence }) => `\n  ${nameOf(device)}: ${says} [${evidence.map(({ file, value }) => `${file}: ${value}`).join('; ')}]`),
  );
  const forceable = [...new Set(reasons.filter((each) => each.forceable).map(({ address }) => address))];
  const way =
    reasons.every((each) => each.forceable) && forceable.length > 0
      ? `\nWhat these do for the machine ends with their drivers. If it may: ${forceable.map((address) => `--force ${address}`).join(' ')}`
      : '';
  return new Refusal(`Nothing was done, because of this:${lines.join('')}${way}`);
}
