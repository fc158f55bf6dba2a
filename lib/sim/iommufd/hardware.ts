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
  /** Bitmap of all its page sizes, where they are not those of the machine's IOMMU. */
  readonly pageSizes?: bigint;
  /** The IOVAs that it reaches. */
  readonly aperture: Interval;
  /** It takes no mappings that devices may only read, so that a guest's tables in them can be marked. */
  readonly writableOnly?: boolean;
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

/** What a virtual IOMMU is to the driver that makes it. */
export interface VirtualIommuHost {
  /** The device that the guest calls so. */
  device(virtualId: bigint): DeviceIommu | undefined;
  /** What the guest calls the device. */
  virtualId(device: DeviceIommu): bigint | undefined;
  /** iommufd_viommu_alloc_mmap: where user space finds these pages in /dev/iommu. */
  expose(pages: Uint8Array): number;
  /** iommufd_viommu_report_event: 0, or -EOPNOTSUPP without a queue for that type of event. */
  report(type: number, event: Uint8Array): number;
}

/** A queue of the hardware in a guest's memory, to the driver that makes it. */
export interface HardwareQueueHost {
  /** Which of the queues. */
  readonly index: number;
  /** How many others need it. */
  users: number;
  /** iommufd_hw_queue_depend: the other cannot be destroyed before this one. */
  dependOn(other: HardwareQueueHost): void;
}

/** What the driver has for a queue. */
export interface HardwareQueueHardware {
  release(): void;
}

/** hw_queue_init_phys. */
export type MakeHardwareQueue = (host: HardwareQueueHost) => HardwareQueueHardware | number;

/** A virtual IOMMU as the hardware has it: the kernel's iommufd_viommu_ops. What is absent, it cannot do. */
export interface VirtualIommuHardware {
  /** alloc_domain_nested. */
  allocateNested?(flags: number, data: UserData): NestedDomain | number;
  /** cache_invalidate, for all devices on it. */
  invalidate?(entries: UserDataArray): Invalidated;
  /** get_hw_queue_size: what makes queues of a type, if anything does. */
  hardwareQueues?(type: number): MakeHardwareQueue | undefined;
}

/** viommu_init. */
export type MakeVirtualIommu = (host: VirtualIommuHost, parent: Stage2, data: UserData | undefined) => VirtualIommuHardware | number;

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
  /** It knows PASIDs, if only 0; a device that knows none uses none, whatever is attached. */
  readonly knowsPasids: boolean;
  /** The device asks for pages that it cannot reach, and waits for them. */
  readonly requestsPages: boolean;
  /** hw_info: what the hardware can do, in the form that was asked for, or -errno. IOMMU_HW_INFO_TYPE_DEFAULT is its own. */
  hardwareInformation(type: number): HardwareInformation | number;
  /** domain_alloc_paging_flags. `flags` are IOMMU_HWPT_ALLOC_ ones. */
  allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number;
  /** domain_alloc_nested. Absent: it has none. */
  allocateNested?(parent: Stage2, flags: number, data: UserData): NestedDomain | number;
  /** get_viommu_size: what makes virtual IOMMUs of a type, if anything does. */
  virtualIommus?(type: number): MakeVirtualIommu | undefined;
  /** It leaves tables of PASIDs to guests: what one without a page table here asks for is asked of the nested one. */
  readonly leavesPasidsToGuests: boolean;
  /** attach_dev, and set_dev_pasid for a PASID that is not 0: whether the device can use it. */
  attach(domain: PagingDomain | NestedDomain, pasid: number): number;
  /** Whether the device can ask for pages, of a page table that has a queue for that. */
  enablePageRequests(): number;
  /** Nothing is attached any more, with that PASID or 0 for none. */
  detach?(pasid: number): void;
}
