import { directory, line, type FileNode } from './files.js';
import type { IommuGroup } from './iommu-group.js';
import type { VfioDevice } from './vfio-device.js';

interface NodeOwner {
  readonly vfio: VfioDevice;
  readonly group: IommuGroup;
}

/** The nodes that devices have of their own, in /dev/vfio/devices. */
export class DeviceNodes {
  readonly #owners = new Map<string, NodeOwner>();

  /** The name: the lowest number that is free. */
  add(vfio: VfioDevice, group: IommuGroup): string {
    let number = 0;
    while (this.#owners.has(`vfio${number}`)) number += 1;
    const name = `vfio${number}`;
    this.#owners.set(name, { vfio, group });
    return name;
  }

  remove(name: string): void {
    this.#owners.delete(name);
  }

  find(name: string): NodeOwner | undefined {
    return this.#owners.get(name);
  }

  get names(): string[] {
    return [...this.#owners.keys()];
  }
}

/** What the device's folder has of it. */
export function nodeEntries(name: string): Record<string, FileNode> {
  return { 'vfio-dev': directory(() => ({ [name]: directory(() => ({ dev: line(() => `511:${name.replace(/\D/g, '')}`) })) })) };
}
