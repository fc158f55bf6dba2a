/** /dev/vfio/vfio. The order of checks is that of the kernel's container.c. */
import { errno } from '../abi/errno.js';
import { VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../abi/vfio/container.js';
import type { Argument } from './argument.js';
import type { IommuDriver, IommuDriverKind } from './iommu-driver.js';
import type { IommuGroup } from './iommu-group.js';
import { OpenFile } from './open-file.js';

export class ContainerFile extends OpenFile {
  readonly #kinds: readonly IommuDriverKind[];
  readonly #groups = new Set<IommuGroup>();
  #driver: IommuDriver | undefined;

  /** `kinds` are what SET_IOMMU can choose from. */
  constructor(kinds: readonly IommuDriverKind[]) {
    super();
    this.#kinds = kinds;
  }

  /** What translates for the container's groups, once SET_IOMMU chose it. */
  get driver(): IommuDriver | undefined {
    return this.#driver;
  }

  override ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_GET_API_VERSION.number:
        return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION.number:
        return this.#checkExtension(argument.number);
      case VFIO_SET_IOMMU.number:
        return this.#setIommu(argument.number);
      default:
        // Everything else is the IOMMU driver's, and there is none before SET_IOMMU.
        return this.#driver?.ioctl(request, argument) ?? -errno.EINVAL;
    }
  }

  /** Before a driver is chosen, the first positive answer of those that may be. */
  #checkExtension(extension: number): number {
    if (this.#driver !== undefined) return this.#driver.checkExtension(extension);
    return Math.max(0, ...this.#allowed().map((kind) => kind.checkExtension(extension)));
  }

  #setIommu(type: number): number {
    if (this.#groups.size === 0 || this.#driver !== undefined) return -errno.EINVAL;
    let result: number = -errno.ENODEV;
    for (const kind of this.#allowed()) {
      if (kind.checkExtension(type) <= 0) continue;
      const driver = kind.open(type);
      if (typeof driver === 'number') {
        result = driver;
        continue;
      }
      result = attachAll(driver, this.#groups);
      if (result !== 0) continue;
      this.#driver = driver;
      for (const group of this.#groups) group.domain = driver;
      break;
    }
    return result;
  }

  /** Groups without an IOMMU have a driver of their own, and no other takes them. */
  #allowed(): IommuDriverKind[] {
    const [group] = this.#groups;
    return this.#kinds.filter((kind) => group === undefined || kind.forNoIommu === (group.kind === 'noiommu'));
  }

  /** vfio_container_attach_group. */
  attach(group: IommuGroup): number {
    const [other] = this.#groups;
    if (other !== undefined && (other.kind === 'noiommu') !== (group.kind === 'noiommu')) return -errno.EPERM;
    if (!group.claim(group)) return -errno.EPERM;
    const result = this.#driver?.attach(group) ?? 0;
    if (result !== 0) {
      group.unclaim();
      return result;
    }
    group.domain = this.#driver;
    this.#groups.add(group);
    this.retain();
    return 0;
  }

  /** Removing the last group returns the container to its first state. */
  detach(group: IommuGroup): void {
    this.#driver?.detach(group);
    group.domain = undefined;
    group.unclaim();
    this.#groups.delete(group);
    if (this.#groups.size === 0) {
      this.#driver?.release();
      this.#driver = undefined;
    }
    this.drop();
  }
}

/** All groups or none. */
function attachAll(driver: IommuDriver, groups: Iterable<IommuGroup>): number {
  const attached: IommuGroup[] = [];
  for (const group of groups) {
    const result = driver.attach(group);
    if (result !== 0) {
      for (const done of attached) driver.detach(done);
      driver.release();
      return result;
    }
    attached.push(group);
  }
  return 0;
}
