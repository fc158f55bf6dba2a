import { IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_NEST_PARENT } from '../abi/iommufd/hwpt.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { Resource } from '../kernel/resource.js';
import type { AttachPoint } from '../memory/address-space.js';
import { destroyObject } from './destroy.js';
import type { GuestTable } from './guest-tables.js';
import { NestedPageTable, allocatePageTable, type NestedPageTableOptions, type PageTableBase } from './nested-page-table.js';
import { PageTableDirtyTracking } from './page-table-dirty-tracking.js';
import type { BoundDevice } from './virtual-device.js';
import { VirtualIommu, type VirtualIommuOptions } from './virtual-iommu.js';

export interface PageTableOptions extends NestedPageTableOptions {
  /** Page tables of a guest can be nested on it. It takes mappings that devices may write only, on VT-d. Default: false. */
  readonly nestParent?: boolean;
  /** It can track which pages devices write. Default: false. Linux 6.7. */
  readonly dirtyTracking?: boolean;
}

/**
 * A page table of the IOMMU that follows an address space (a HWPT): for devices to be attached to, in place of the one that
 * the kernel would make. `Ioas.createPageTable` is the way to it. Closing it closes those that are nested on it, and destroys
 * it (IOMMU_DESTROY); no device may be attached to it then. Linux 6.6.
 */
export class PageTable extends Resource implements AttachPoint {
  /** Its id in the open file. */
  readonly id: number;
  readonly #descriptor: Descriptor;

  private constructor(owner: Resource, descriptor: Descriptor, id: number) {
    super(`page table ${id} of ${descriptor.path}`, owner);
    this.id = id;
    this.#descriptor = descriptor;
  }

  /** On an address space, for the IOMMU that a device is behind. @internal */
  static create(base: PageTableBase, { nestParent = false, dirtyTracking = false, ...common }: PageTableOptions = {}): PageTable {
    const flags = (nestParent ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) | (dirtyTracking ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0);
    return new PageTable(base.owner, base.descriptor, allocatePageTable(base, flags, common));
  }

  /** The fd of the file it has its id in. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * A page table of a guest whose addresses this one translates. It must have been made with `nestParent`, for a device
   * behind the same IOMMU. IOMMU_HWPT_ALLOC. Linux 6.7.
   * @throws KernelError EOPNOTSUPP where the IOMMU has no such page tables; EINVAL for one that was not made for it.
   */
  createNested(device: BoundDevice, table: GuestTable, options: NestedPageTableOptions = {}): NestedPageTable {
    return NestedPageTable.create({ owner: this, descriptor: this.#descriptor, on: this.id, device }, table, options);
  }

  /**
   * Notes from now on which pages devices write, until what it returns is closed; all pages begin clean. The page table must
   * have been made with `dirtyTracking`. `pageSize`, in bytes, is what is told apart: a power of two, 4096 or more; what the
   * IOMMU has in larger pages is written as a whole. IOMMU_HWPT_SET_DIRTY_TRACKING. Linux 6.7.
   * @throws KernelError EOPNOTSUPP for one that was not made for it.
   */
  trackDirtyPages({ pageSize = 4096n }: { pageSize?: bigint } = {}): PageTableDirtyTracking {
    return PageTableDirtyTracking.start(this, this.#descriptor, pageSize);
  }

  /**
   * A part of the IOMMU that a device is behind, for a guest whose memory is mapped here: the page table must have been made
   * with `nestParent`. IOMMU_VIOMMU_ALLOC. Linux 6.13.
   * @throws KernelError EOPNOTSUPP where the IOMMU has none of this type.
   */
  createVirtualIommu(device: BoundDevice, options: VirtualIommuOptions): VirtualIommu {
    return VirtualIommu.create(this, this.#descriptor, this.id, device, options);
  }

  protected override release(): void {
    destroyObject(this.#descriptor, this.id);
  }
}
