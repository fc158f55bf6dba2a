import { isAddress } from './address.js';
import { groupMembers, type GroupMember } from './group.js';
import { leaks, readIsolation, type Isolation } from './isolation.js';
import { placeOf } from './place.js';
import type { WithFiles } from './sysfs.js';

/** Another device of a device's group, and why the kernel put both into one. */
export interface GroupMate extends GroupMember {
  /**
   * 'bridge': behind a conventional bridge, where the IOMMU takes all for one. 'functions': of one device, which does not keep
   * them apart. 'port': a port on the way lets requests pass to the other. 'unseen': one of these, as far as this user can
   * see, who is not shown the capabilities. 'unknown': none of these; firmware or the kernel's own list of devices.
   */
  readonly reason: 'bridge' | 'functions' | 'port' | 'unseen' | 'unknown';
  /** The bridge, the function or the port that is the reason. */
  readonly by?: string;
}

interface Step extends Isolation {
  readonly address: string;
}

/** The other devices of the group, in the order of their names. */
export function groupMates(kernel: WithFiles, address: string, group: number): GroupMate[] {
  const steps = new Map<string, Step>();
  const step = (name: string): Step => {
    const known = steps.get(name) ?? { address: name, ...readIsolation(kernel, name) };
    steps.set(name, known);
    return known;
  };
  // The way down from the root bus, the device itself at the end.
  const way = (name: string): Step[] => placeOf(kernel, name).filter(isAddress).map(step);
  const own = way(address);
  return groupMembers(kernel, group)
    .filter(({ name }) => name !== address)
    .map((member) => ({ ...member, ...(isAddress(member.name) ? reasonOf(own, way(member.name)) : { reason: 'unknown' as const }) }));
}

const deviceOf = (address: string): string => address.slice(0, address.lastIndexOf('.'));

function reasonOf(one: readonly Step[], other: readonly Step[]): Pick<GroupMate, 'reason' | 'by'> {
  const both = one.filter(({ address }) => other.some((step) => step.address === address));
  // Beyond it, the IOMMU sees no more than the bridge's own number.
  const bridge = both.find(({ kind }, index) => isConventional(kind) && index < Math.max(one.length, other.length) - 1);
  if (bridge !== undefined) return { reason: 'bridge', by: bridge.address };
  const ports = [...one.slice(0, -1), ...other.slice(0, -1), ...both];
  const port = [...ports].reverse().find((step) => leaks(step) === true);
  if (port !== undefined && both.includes(port)) return { reason: 'port', by: port.address };
  const [mine, its] = [one[both.length], other[both.length]];
  if (mine !== undefined && its !== undefined && deviceOf(mine.address) === deviceOf(its.address)) {
    const open = [mine, its].find((step) => leaks(step) === true);
    if (open !== undefined) return { reason: 'functions', by: open.address };
  }
  if (port !== undefined) return { reason: 'port', by: port.address };
  return { reason: [...one, ...other].some((step) => leaks(step) === undefined) ? 'unseen' : 'unknown' };
}

/** A bus of PCI is below it. A port of PCI Express has no such bus, whatever it is above. */
function isConventional(kind: Isolation['kind']): boolean {
  return kind === 'conventional' || kind === 'pci-bridge';
}
