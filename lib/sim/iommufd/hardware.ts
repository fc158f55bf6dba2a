/**
 * What /dev/iommu asks of the driver of an IOMMU: the kernel's iommu_ops and iommu_domain_ops. The machine's IOMMU is one
 * that fulfils it.
 */
import type { DmaMapping } from '../dma.js';
import type { Interval } from '../interval-map.js';
import type { ReservedRegion } from '../profile.js';
import type { DirtyPages } from './dirty-pages.js';
import type { UserData, UserDataArray } from './user-data.js';

/** A page table as the hardware has it. */
interface Domain {
  /** The driver that made it, by identity: what one made is not the other's. */
  readonly driver: object;
}

/** It follows an address space. */
export interface PagingDomain extends Domain {
  /** Bytes of its smallest page. */
  readonly pageSize: bigint;
  /** The IOVAs that it reaches. */
  readonly aperture: Interval;
  /** Set when it was made to track what devices write. */
  readonly dirtyPages?: DirtyPages | undefined;
}

/** It belongs to a guest, and its addresses are translated once more. */
export interface NestedDomain extends Domain {
  /** The memory that a device's access to `iova` reaches. */
  at(iova: bigint): DmaMapping | undefined;
  /** cache_invalidate_user: how many entries were handled, and 0, or what was wrong with the next one as -errno. */
  invalidate(entries: UserDataArray): Invalidated;
}

export interface Invalidated {
  readonly handled: number;
  readonly result: number;
}

/** A page table that others are nested on: its addresses are the guest's. */
export interface Stage2 {
  readonly domain: PagingDomain;
  at(address: bigint): DmaMapping | undefined;
}

export interface HardwareInformation {
  /** One of IOMMU_HW_INFO_TYPE_. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** The IOMMU that a device is behind, asked for that device. Numbers that are results are 0 or -errno. */
export interface DeviceIommu {
  readonly driver: object;
  /** Interrupts of the device cannot be forged. */
  readonly isolatesInterrupts: boolean;
  /** What the device cannot have mapped. */
  readonly reserved: readonly ReservedRegion[];
  /** IOMMU_CAP_DIRTY_TRACKING. */
  readonly tracksDirtyPages: boolean;
  /** IOMMU_CAP_PCI_ATS_SUPPORTED. */
  readonly translatesForDevice: boolean;
  /** PASIDs of the device, as a power of two: 0 for none. */
  readonly maxPasidLog2: number;
  /** hw_info: what the hardware can do, in the form that was asked for, or -errno. IOMMU_HW_INFO_TYPE_DEFAULT is its own. */
  hardwareInformation(type: number): HardwareInformation | number;
  /** domain_alloc_paging_flags. `flags` are IOMMU_HWPT_ALLOC_ ones. */
  allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number;
  /** domain_alloc_nested. Absent: it has none. */
  allocateNested?(parent: Stage2, flags: number, data: UserData): NestedDomain | number;
  /** attach_dev: whether the device can use it. */
  attach(domain: PagingDomain | NestedDomain): number;
}
