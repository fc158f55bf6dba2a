import { Endpoint } from './spapr/eeh.js';
import { DeviceNodes } from './device-nodes.js';
import { IommuGroup } from './iommu-group.js';
import { hasIommufd, type Platform } from './platform.js';

/** The groups of a machine: the IOMMU's, and those that vfio makes for devices without one. And the nodes of their devices. */
export class GroupTable implements Iterable<IommuGroup> {
  readonly nodes = new DeviceNodes();
  readonly #platform: Platform;
  readonly #groups = new Map<number, IommuGroup>();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  [Symbol.iterator](): IterableIterator<IommuGroup> {
    return this.#groups.values();
  }

  /** The IOMMU's group of that number, by default of a new one. */
  ofIommu(number: number = this.#freeNumber()): IommuGroup {
    const known = this.#groups.get(number);
    if (known !== undefined) return known;
    const group = new IommuGroup(number);
    // On POWER, the IOMMU's groups are also what the hardware cuts off after an error.
    if (this.#platform.iommu.kind === 'spapr') group.endpoint = new Endpoint(() => group.slots.forEach((slot) => slot.hotReset?.()));
    this.#groups.set(number, group);
    return group;
  }

  /** vfio_noiommu_group_alloc: a group for one device that has none, or undefined while that is not allowed. */
  makeUnsafe(): IommuGroup | undefined {
    if (!this.#platform.unsafeNoIommu) return undefined;
    const group = new IommuGroup(this.#freeNumber(), 'noiommu');
    this.#groups.set(group.number, group);
    return group;
  }

  /** A group for a mediated device. */
  makeEmulated(): IommuGroup {
    const group = new IommuGroup(this.#freeNumber(), 'emulated');
    this.#groups.set(group.number, group);
    return group;
  }

  /** Whether the devices of a group have nodes of their own, to be given to /dev/iommu. */
  givesNodes(group: IommuGroup): boolean {
    const { iommufd } = this.#platform.kernel;
    return (group.kind !== 'noiommu' || iommufd.tellsPhysicalAddresses) && hasIommufd(this.#platform);
  }

  remove(group: IommuGroup): void {
    this.#groups.delete(group.number);
  }

  #freeNumber(): number {
    let number = 0;
    while (this.#groups.has(number)) number += 1;
    return number;
  }
}
