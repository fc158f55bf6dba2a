/** linux/vfio.h: the requests of a container whose IOMMU is of type 1 (x86 and arm64). */
import { vfio_info_cap_header } from '../chain.js';
import { _IO, request } from '../ioctl.js';
import { address, argsz, flags, flexible, iova, reserved, since, struct, u32, u64, u8 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** `iova_pgsizes` is valid. */
export const VFIO_IOMMU_INFO_PGSIZES = 1 << 0;
export const VFIO_IOMMU_INFO_CAPS = 1 << 1;

/** `iova_pgsizes` is a bitmap of page sizes in bytes: the smallest is the granularity of mappings. */
export const vfio_iommu_type1_info = struct('vfio_iommu_type1_info', {
  argsz,
  flags: flags('VFIO_IOMMU_INFO_'),
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: since('6.6', reserved),
});

/** The IOVAs that may be mapped. Linux 5.4. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;

/** `end` is inclusive. */
export const vfio_iova_range = struct('vfio_iova_range', {
  start: iova,
  end: iova,
});

export const vfio_iommu_type1_info_cap_iova_range = struct('vfio_iommu_type1_info_cap_iova_range', {
  header: vfio_info_cap_header,
  nr_iovas: u32,
  reserved,
  iova_ranges: flexible(vfio_iova_range, 'nr_iovas'),
});

/** Dirty page tracking. Linux 5.8. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;

/** `max_dirty_bitmap_size` is in bytes. */
export const vfio_iommu_type1_info_cap_migration = struct('vfio_iommu_type1_info_cap_migration', {
  header: vfio_info_cap_header,
  flags: u32,
  pgsize_bitmap: u64,
  max_dirty_bitmap_size: u64,
});

/** How many more mappings the container takes. Linux 5.10. */
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

export const vfio_iommu_type1_info_dma_avail = struct('vfio_iommu_type1_info_dma_avail', {
  header: vfio_info_cap_header,
  avail: u32,
});

/** Linux 3.6; capabilities 5.4. */
export const VFIO_IOMMU_GET_INFO = request('VFIO_IOMMU_GET_INFO', _IO(VFIO_TYPE, VFIO_BASE + 12), {
  on: 'container',
  argument: vfio_iommu_type1_info,
  minimum: 'iova_pgsizes',
  chain: {
    flag: VFIO_IOMMU_INFO_CAPS,
    kinds: {
      [VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE]: vfio_iommu_type1_info_cap_iova_range,
      [VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION]: vfio_iommu_type1_info_cap_migration,
      [VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL]: vfio_iommu_type1_info_dma_avail,
    },
  },
});

/** The device may read the memory. */
export const VFIO_DMA_MAP_FLAG_READ = 1 << 0;
/** The device may write the memory. */
export const VFIO_DMA_MAP_FLAG_WRITE = 1 << 1;
/** Gives a mapping whose address was invalidated a new one. Linux 5.12. */
export const VFIO_DMA_MAP_FLAG_VADDR = 1 << 2;

export const vfio_iommu_type1_dma_map = struct('vfio_iommu_type1_dma_map', {
  argsz,
  flags: flags('VFIO_DMA_MAP_FLAG_'),
  vaddr: address,
  iova,
  size: u64,
});

/** Linux 3.6. */
export const VFIO_IOMMU_MAP_DMA = request('VFIO_IOMMU_MAP_DMA', _IO(VFIO_TYPE, VFIO_BASE + 13), {
  on: 'container',
  argument: vfio_iommu_type1_dma_map,
  minimum: 'size',
});

/** One bit per page of `pgsize` bytes; `size` is the bitmap's, in bytes. */
export const vfio_bitmap = struct('vfio_bitmap', {
  pgsize: u64,
  size: u64,
  data: address,
});

/** `data` is a `vfio_bitmap` for the pages about to be unmapped. Linux 5.8. */
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0;
/** Unmaps everything; `iova` and `size` must be 0. Linux 5.12. */
export const VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1;
/** Keeps the mapping and forgets its address in this process. Linux 5.12. */
export const VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2;

/** `size` comes back as the bytes that were unmapped. */
export const vfio_iommu_type1_dma_unmap = struct('vfio_iommu_type1_dma_unmap', {
  argsz,
  flags: flags('VFIO_DMA_UNMAP_FLAG_'),
  iova,
  size: u64,
  data: flexible(u8),
});

/** Linux 3.6. */
export const VFIO_IOMMU_UNMAP_DMA = request('VFIO_IOMMU_UNMAP_DMA', _IO(VFIO_TYPE, VFIO_BASE + 14), {
  on: 'container',
  argument: vfio_iommu_type1_dma_unmap,
  minimum: 'size',
});

/** From now on, pages that a device may have written are remembered. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1;
/** `data` is a `vfio_iommu_type1_dirty_bitmap_get`. */
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2;

/** Exactly one flag; none at all is not defined, so never passed. */
export const vfio_iommu_type1_dirty_bitmap = struct('vfio_iommu_type1_dirty_bitmap', {
  argsz,
  flags: flags('VFIO_IOMMU_DIRTY_PAGES_FLAG_'),
  data: flexible(u8),
});

export const vfio_iommu_type1_dirty_bitmap_get = struct('vfio_iommu_type1_dirty_bitmap_get', {
  iova,
  size: u64,
  bitmap: vfio_bitmap,
});

/** EACCES on version 1. Linux 5.8. */
export const VFIO_IOMMU_DIRTY_PAGES = request('VFIO_IOMMU_DIRTY_PAGES', _IO(VFIO_TYPE, VFIO_BASE + 17), {
  on: 'container',
  argument: vfio_iommu_type1_dirty_bitmap,
  minimum: 'flags',
});
