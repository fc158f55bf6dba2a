import { groupBlockers, hasVfioDriver, isBridge, type GroupMember } from './group.js';
import { openNodes, openNodesOf, processName, type OpenNodes } from './open-nodes.js';
import type { WithFiles } from './sysfs.js';
import type { PciDevice } from './topology.js';

/** A process that has a device open, or its group. */
export interface Holder {
  readonly pid: number;
  /** What the kernel calls it, 'qemu-system-x86', or '?' for one that ended meanwhile. */
  readonly name: string;
  /** By which node: '/dev/vfio/12'; the device's address, where it is by the group and the kernel says so. Linux 6.18. */
  readonly path: string;
}

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
  const vfio = devices.filter((device) => hasVfioDriver(kernel, device));
  // To look into all processes takes a while, and is for nothing where VFIO has no device.
  const open = vfio.length === 0 ? undefined : openNodes(kernel);
  const groups = new Map<number, GroupMember[]>();
  const blockersOf = (group: number): GroupMember[] => {
    const known = groups.get(group) ?? groupBlockers(kernel, group);
    groups.set(group, known);
    return known;
  };
  return new Map(
    devices.map((device) => {
      const { address, group } = device;
      const blockers = group === undefined ? [] : blockersOf(group).filter(({ name }) => name !== address);
      const holders = open === undefined ? [] : holdersIn(kernel, open, device);
      return [address, { state: state(device, vfio.includes(device), blockers, holders), blockers, holders }];
    }),
  );
}

function state(device: PciDevice, isVfio: boolean, blockers: readonly GroupMember[], holders: readonly Holder[]): Readiness['state'] {
  if (isBridge(device)) return 'bridge';
  if (device.group === undefined) return 'no-group';
  if (!isVfio) return 'needs-driver';
  if (blockers.length > 0) return 'group-not-viable';
  return holders.length > 0 ? 'in-use' : 'ready';
}

/** One for each of its nodes that a process has open, however often. */
function holdersIn(kernel: WithFiles, open: OpenNodes, device: PciDevice): Holder[] {
  const byNode = new Map(openNodesOf(open, device).map(({ process, node }) => [`${process} ${node}`, { process, node }]));
  return [...byNode.values()].map(({ process, node }) => ({ pid: Number(process), name: processName(kernel, process), path: node }));
}
