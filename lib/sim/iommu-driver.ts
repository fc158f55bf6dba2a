import type { Argument } from './argument.js';
import type { DmaMapping, PasidTranslation } from './dma.js';
import type { IommuGroup } from './iommu-group.js';

/** The part of a kernel that maps memory for the devices of a container's groups. */
export interface IommuDriver {
  /** CHECK_EXTENSION, asked of a container that uses the driver. */
  checkExtension(extension: number): number;
  /** A group joins: 0 or -errno. */
  attach(group: IommuGroup): number;
  detach(group: IommuGroup): void;
  /** A request that is not the container's own. */
  ioctl(request: number, argument: Argument): number;
  /** The mapping a device's access to `iova` falls in. */
  at(iova: bigint): DmaMapping | undefined;
  /** What translates accesses that carry a PASID, where something does. */
  readonly pasids?: PasidTranslation | undefined;
  /** The container's last group left. */
  release(): void;
}

/** What a driver registers itself with: SET_IOMMU chooses among these. */
export interface IommuDriverKind {
  /** It takes groups without an IOMMU, and only those. */
  readonly forNoIommu: boolean;
  /** CHECK_EXTENSION, before a container uses it. */
  checkExtension(extension: number): number;
  /** SET_IOMMU: a driver, or -errno. */
  open(type: number): IommuDriver | number;
}
