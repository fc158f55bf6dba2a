import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_set_dirty_tracking,
} from '../abi/iommufd/hwpt.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { hold } from '../kernel/hold.js';
import { Resource } from '../kernel/resource.js';
import { DirtyBitmap } from '../memory/dirty-bitmap.js';
import type { DirtyTracking, PageRange } from '../memory/dirty-tracking.js';

/**
 * A page table that remembers which pages devices wrote, from `PageTable.trackDirtyPages()` until this is closed. The IOMMU
 * notes it; what the processor writes is not seen.
 */
export class PageTableDirtyTracking extends Resource implements DirtyTracking {
  readonly #descriptor: Descriptor;
  readonly #table: number;
  readonly #pageSize: bigint;

  private constructor(owner: Resource, descriptor: Descriptor, table: number, pageSize: bigint) {
    super(`dirty page tracking of ${owner.label}`, owner);
    this.#descriptor = descriptor;
    this.#table = table;
    this.#pageSize = pageSize;
  }

  /** @internal */
  static start(owner: Resource & { readonly id: number }, descriptor: Descriptor, pageSize: bigint): PageTableDirtyTracking {
    owner.assertOpen();
    // Says what is wrong with the page size before anything is done.
    new DirtyBitmap({ iova: 0n, size: pageSize, pageSize });
    setTracking(descriptor, owner.id, true);
    return new PageTableDirtyTracking(owner, descriptor, owner.id, pageSize);
  }

  /**
   * Pages of the range that were written since the last look, or since tracking began. Where nothing is mapped, the look
   * ends: ask for what is mapped. IOMMU_HWPT_GET_DIRTY_BITMAP. Linux 6.7.
   * @throws KernelError EINVAL off the address space's alignment.
   */
  read(range: PageRange): DirtyBitmap {
    return this.#read(range, 0);
  }

  /** The same, and what is found is found again by the next look: it takes less time, and the hardware need not forget. */
  peek(range: PageRange): DirtyBitmap {
    return this.#read(range, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
  }

  #read({ iova, size }: PageRange, flags: number): DirtyBitmap {
    this.assertOpen();
    const bitmap = new DirtyBitmap({ iova, size, pageSize: this.#pageSize });
    const request = iommu_hwpt_get_dirty_bitmap.create();
    request.size = iommu_hwpt_get_dirty_bitmap.size;
    request.hwpt_id = this.#table;
    request.flags = flags;
    request.iova = iova;
    request.length = size;
    request.page_size = this.#pageSize;
    request.data = this.#descriptor.kernel.addressOf(bitmap.memory);
    hold(bitmap.memory, () => this.#descriptor.ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, request.bytes));
    return bitmap;
  }

  protected override release(): void {
    setTracking(this.#descriptor, this.#table, false);
  }
}

function setTracking(descriptor: Descriptor, table: number, on: boolean): void {
  const request = iommu_hwpt_set_dirty_tracking.create();
  request.size = iommu_hwpt_set_dirty_tracking.size;
  request.hwpt_id = table;
  request.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0;
  descriptor.ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, request.bytes);
}
