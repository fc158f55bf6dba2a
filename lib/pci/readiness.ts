import { groupMembers, isBridgeClass, isVfioDriver, type GroupMember } from './group-members.js';
import { findHolders, type Holder } from './holders.js';
import type { WithFiles } from './sysfs.js';
import { devicesPath, type PciDevice } from './topology.js';

/** Whether VFIO can have a device now, and if not, why. */
export interface Readiness {
  /**
   * 'bridge': it never can. 'no-group': no IOMMU is over it. 'needs-driver': another driver has it, or none. 'group-not-viable':
   * `blockers` keep its group from VFIO. 'in-use': `holders` have it, or its group, open.
   */
  readonly state: 'ready' | 'in-use' | 'group-not-viable' | 'needs-driver' | 'no-group' | 'bridge';
  /** The other devices of its group whose drivers keep the group from VFIO. */
  readonly blockers: readonly GroupMember[];
  /** As far as this user may see them. */
  readonly holders: readonly Holder[];
}

/** The readiness of each of those devices, by its address. */
export function judgeReadiness(kernel: WithFiles, devices: readonly PciDevice[]): Map<string, Readiness> {
  const vfio = devices.filter(({ address, driver }) => isVfioDriver(kernel, `${devicesPath}/${address}`, driver));
  // To look into all processes takes a while, and is for nothing where VFIO has no device.
  const holders = findHolders(kernel, [...new Set(vfio.flatMap(nodes))]);
  const groups = new Map<number, GroupMember[]>();
  const members = (group: number): GroupMember[] => {
    const known = groups.get(group) ?? groupMembers(kernel, group);
    groups.set(group, known);
    return known;
  };
  return new Map(
    devices.map((device) => {
      const { address, group } = device;
      const blockers = group === undefined ? [] : members(group).filter(({ name, harmless }) => !harmless && name !== address);
      const own = holders.filter(({ path }) => nodes(device).includes(path));
      return [address, { state: state(device, vfio.includes(device), blockers, own), blockers, holders: own }];
    }),
  );
}

function state(
  { classCode, group }: PciDevice,
  isVfio: boolean,
  blockers: readonly GroupMember[],
  holders: readonly Holder[],
): Readiness['state'] {
  if (isBridgeClass(classCode)) return 'bridge';
  if (group === undefined) return 'no-group';
  if (!isVfio) return 'needs-driver';
  if (blockers.length > 0) return 'group-not-viable';
  return holders.length > 0 ? 'in-use' : 'ready';
}

/** The files through which VFIO gives a device to programs. */
export function nodes({ group, node, noIommu }: PciDevice): string[] {
  return [...(group === undefined ? [] : [`/dev/vfio/${noIommu ? 'noiommu-' : ''}${group}`]), ...(node === undefined ? [] : [node])];
}
