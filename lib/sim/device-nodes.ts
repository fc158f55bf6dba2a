import { directory, line, rootAccess, type Access, type FileNode } from './file-node.js';
import type { IommuGroup } from './iommu-group.js';
import type { VfioDevice } from './vfio-device.js';

interface NodeOwner {
  readonly vfio: VfioDevice;
  readonly group: IommuGroup;
  /** It is not only listed in /sys. */
  readonly hasNode: boolean;
  readonly access: Access;
}

/** A node in /dev/vfio/devices. */
interface DeviceNode {
  readonly name: string;
  /** Its two numbers. */
  readonly device: string;
  readonly access: Access;
}

/** The nodes that devices have of their own, in /dev/vfio/devices. */
export class DeviceNodes {
  readonly #owners = new Map<string, NodeOwner>();

  /** The name: the lowest number that is free, and whether it has no IOMMU. */
  add(vfio: VfioDevice, group: IommuGroup, hasNode: boolean): string {
    const free = (name: string): boolean => !this.#owners.has(name) && !this.#owners.has(`noiommu-${name}`);
    let number = 0;
    while (!free(`vfio${number}`)) number += 1;
    const name = `${group.kind === 'noiommu' && hasNode ? 'noiommu-' : ''}vfio${number}`;
    this.#owners.set(name, { vfio, group, hasNode, access: rootAccess(0o600) });
    return name;
  }

  remove(name: string): void {
    this.#owners.delete(name);
  }

  find(name: string): NodeOwner | undefined {
    const owner = this.#owners.get(name);
    return owner?.hasNode === true ? owner : undefined;
  }

  get all(): DeviceNode[] {
    return [...this.#owners].flatMap(([name, { hasNode, access }]) => (hasNode ? [{ name, device: numbersOf(name), access }] : []));
  }
}

function numbersOf(name: string): string {
  return `511:${name.replace(/\D/g, '')}`;
}

/** What the device's folder has of it. */
export function nodeEntries(name: string, hasNode: boolean): Record<string, FileNode> {
  const dev = line(() => numbersOf(name));
  return { 'vfio-dev': directory(() => ({ [name]: directory(() => (hasNode ? { dev } : {})) })) };
}
