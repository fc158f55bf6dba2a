/** Who has nodes of devices open. Without privileges, a user sees the own processes alone. */
import { list, readTextIfAny, type WithFiles } from './sysfs.js';
import { nodesOf, type PciDevice } from './topology.js';

/** A node that a process has open. */
export interface OpenNode {
  /** As procfs names it: '42'. */
  readonly process: string;
  /** '/dev/vfio/12'; of a device that was opened by way of its group, the device's address. Linux 6.18. */
  readonly node: string;
  /** The link in procfs that says so: '/proc/42/fd/3'. */
  readonly descriptor: string;
}

export interface OpenNodes {
  readonly nodes: readonly OpenNode[];
  /** The files of some processes may not be looked at. */
  readonly partial: boolean;
}

/** What VFIO calls the descriptor of a device that was opened by way of its group. */
const deviceByGroup = 'anon_inode:[vfio-device]';

/** The processes that there are, in order. */
export function processes(kernel: WithFiles): string[] {
  return list(kernel, '/proc')
    .filter((name) => /^\d+$/.test(name))
    .sort((one, other) => Number(one) - Number(other));
}

/** The first 15 letters of its program's name, or '?' for one that ended meanwhile. */
export function processName(kernel: WithFiles, process: string): string {
  return readTextIfAny(kernel, `/proc/${process}/comm`) ?? '?';
}

/** All nodes below /dev that those processes have open. */
export function openNodes(kernel: WithFiles, of: readonly string[] = processes(kernel)): OpenNodes {
  const nodes: OpenNode[] = [];
  let partial = false;
  for (const process of of) {
    const numbers = kernel.files.readdir(`/proc/${process}/fd`);
    if (typeof numbers === 'number') {
      // Those that ended meanwhile have nothing open.
      partial ||= kernel.files.access(`/proc/${process}`) >= 0;
      continue;
    }
    for (const number of numbers) {
      const descriptor = `/proc/${process}/fd/${number}`;
      const target = kernel.files.readlink(descriptor);
      const node = target === deviceByGroup ? addressIn(kernel, `/proc/${process}/fdinfo/${number}`) : target;
      if (typeof node === 'string' && (target === deviceByGroup || node.startsWith('/dev/'))) nodes.push({ process, node, descriptor });
    }
  }
  return { nodes, partial };
}

/** Those by which a process has the device, or its group. */
export function openNodesOf({ nodes }: OpenNodes, device: PciDevice): readonly OpenNode[] {
  const own = [device.address, ...nodesOf(device)];
  return nodes.filter(({ node }) => own.includes(node));
}

/** The kernel says which device it is. */
function addressIn(kernel: WithFiles, file: string): string | undefined {
  return /^vfio-device-syspath:.*\/([^/\s]+)\s*$/m.exec(readTextIfAny(kernel, file) ?? '')?.[1];
}
