import {
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
} from '../abi/vfio/type1.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { Resource } from '../kernel/resource.js';
import { DirtyBitmap } from '../memory/dirty-bitmap.js';
import type { DirtyTracking, PageRange } from '../memory/dirty-tracking.js';

/**
 * A container that remembers which pages its devices may have written, from `Container.trackDirtyPages()` until it is
 * closed. For devices that do not tell by themselves, type1 says that every page they could have written is.
 */
export class ContainerDirtyTracking extends Resource implements DirtyTracking {
  readonly #descriptor: Descriptor;
  readonly #pageSize: bigint;
  readonly #ended: () => boolean;

  private constructor(owner: Resource, descriptor: Descriptor, pageSize: bigint, ended: () => boolean) {
    super(`Dirty page tracking of ${descriptor.path}`, owner);
    this.#descriptor = descriptor;
    this.#pageSize = pageSize;
    this.#ended = ended;
  }

  /**
   * VFIO_IOMMU_DIRTY_PAGES with START. `pageSize` is the smallest the IOMMU has: type1 takes no other. `ended` says whether
   * the kernel has forgotten it already, as it does with the container's last group.
   *
   * @internal
   */
  static start(owner: Resource, descriptor: Descriptor, pageSize: bigint, ended: () => boolean): ContainerDirtyTracking {
    dirtyPages(descriptor, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
    return new ContainerDirtyTracking(owner, descriptor, pageSize, ended);
  }

  /**
   * Pages of the range that were written since the last look, or since tracking began. VFIO_IOMMU_DIRTY_PAGES with
   * GET_BITMAP. Linux 5.8.
   * @throws KernelError EINVAL where the range cuts through a mapping.
   */
  read(range: PageRange): DirtyBitmap {
    this.assertOpen();
    const bitmap = new DirtyBitmap({ ...range, pageSize: this.#pageSize });
    const get = vfio_iommu_type1_dirty_bitmap_get.create();
    get.iova = range.iova;
    get.size = range.size;
    this.#describe(bitmap, get.bitmap);
    dirtyPages(this.#descriptor, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, get.bytes);
    return bitmap;
  }

  /**
   * Unmaps the range and says which of its pages were written, with nothing lost in between. VFIO_IOMMU_UNMAP_DMA with
   * GET_DIRTY_BITMAP. Linux 5.8.
   */
  unmap(range: PageRange): { readonly unmapped: bigint; readonly dirty: DirtyBitmap } {
    this.assertOpen();
    const dirty = new DirtyBitmap({ ...range, pageSize: this.#pageSize });
    const unmap = vfio_iommu_type1_dma_unmap.create(vfio_bitmap.size);
    unmap.argsz = unmap.bytes.byteLength;
    unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
    unmap.iova = range.iova;
    unmap.size = range.size;
    const description = vfio_bitmap.create();
    this.#describe(dirty, description);
    unmap.data.set(description.bytes);
    this.#descriptor.ioctl(VFIO_IOMMU_UNMAP_DMA, unmap.bytes);
    return { unmapped: unmap.size, dirty };
  }

  #describe(bitmap: DirtyBitmap, description: { pgsize: bigint; size: bigint; data: bigint }): void {
    description.pgsize = bitmap.pageSize;
    description.size = BigInt(bitmap.memory.byteLength);
    description.data = this.#descriptor.kernel.addressOf(bitmap.memory);
  }

  protected override release(): void {
    if (!this.#ended()) dirtyPages(this.#descriptor, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
  }
}

function dirtyPages(descriptor: Descriptor, flag: number, data: Uint8Array = new Uint8Array()): void {
  const dirty = vfio_iommu_type1_dirty_bitmap.create(data.byteLength);
  dirty.argsz = dirty.bytes.byteLength;
  dirty.flags = flag;
  dirty.data.set(data);
  descriptor.ioctl(VFIO_IOMMU_DIRTY_PAGES, dirty.bytes);
}
