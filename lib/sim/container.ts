/** /dev/vfio/vfio. The order of checks is that of the kernel's container.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../abi/vfio/container.js';
import type { Argument } from './argument.js';
import type { IommuGroup } from './iommu-group.js';
import type { Platform } from './platform.js';
import { OpenFile } from './open-file.js';
import { Type1 } from './type1.js';

export class ContainerFile extends OpenFile {
  readonly #platform: Platform;
  readonly #groups = new Set<IommuGroup>();
  #type1: Type1 | undefined;

  constructor(platform: Platform) {
    super();
    this.#platform = platform;
  }

  /** What translates for the container's groups, once SET_IOMMU chose it. */
  get type1(): Type1 | undefined {
    return this.#type1;
  }

  override ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_GET_API_VERSION.number:
        return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION.number:
        return Type1.checkExtension(argument.number, this.#platform.kernel, this.#platform.iommu, this.#type1 !== undefined);
      case VFIO_SET_IOMMU.number:
        return this.#setIommu(argument.number);
      default:
        // Everything else is the IOMMU driver's, and there is none before SET_IOMMU.
        return this.#type1?.ioctl(request, argument) ?? -errno.EINVAL;
    }
  }

  #setIommu(type: number): number {
    const { kernel, iommu, memory, entryLimit } = this.#platform;
    if (this.#groups.size === 0 || this.#type1 !== undefined) return -errno.EINVAL;
    if (Type1.checkExtension(type, kernel, iommu, false) <= 0) return -errno.ENODEV;
    if (type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU && type !== VFIO_TYPE1_NESTING_IOMMU) return -errno.EINVAL;
    if (!iommu.isolatesInterrupts && !this.#platform.allowUnsafeInterrupts) return -errno.EPERM;
    this.#type1 = new Type1(type, kernel, iommu, memory, entryLimit);
    for (const group of this.#groups) group.domain = this.#type1;
    return 0;
  }

  /** vfio_container_attach_group. */
  attach(group: IommuGroup): number {
    if (!group.claim()) return -errno.EPERM;
    if (this.#type1 !== undefined && !this.#type1.accepting) {
      group.unclaim();
      return -errno.EBUSY;
    }
    group.domain = this.#type1;
    this.#groups.add(group);
    this.retain();
    return 0;
  }

  /** Removing the last group returns the container to its first state. */
  detach(group: IommuGroup): void {
    group.domain = undefined;
    group.unclaim();
    this.#groups.delete(group);
    if (this.#groups.size === 0) {
      this.#type1?.release();
      this.#type1 = undefined;
    }
    this.drop();
  }
}
