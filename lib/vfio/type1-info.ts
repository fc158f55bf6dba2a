import type { Capability } from '../abi/chain.js';
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
} from '../abi/vfio/type1.js';
import { askInfo, findCapability } from '../kernel/answer.js';
import type { Descriptor } from '../kernel/descriptor.js';
import type { IovaRange } from '../memory/address-space.js';
import { isNestingCapability } from './nesting-capability.js';

/** What VFIO_IOMMU_GET_INFO says of a type1 IOMMU. */
export interface Type1Info {
  /** Bitmap of page sizes, in bytes: bit 12 is 4 KiB. */
  readonly pageSizes: bigint;
  /** The granularity of mappings, in bytes: the smallest of `pageSizes`. */
  readonly pageSize: bigint;
  /** The IOVAs that may be mapped. Kernels before 5.4 do not say; then it is the whole of 64 bits. */
  readonly ranges: readonly IovaRange[];
  /** How many more mappings the container takes; undefined before Linux 5.10. */
  readonly mappingsAvailable: number | undefined;
  /** Dirty page tracking: page sizes as a bitmap, and the largest bitmap in bytes. Undefined before Linux 5.8. */
  readonly dirtyTracking: { readonly pageSizes: bigint; readonly largestBitmap: bigint } | undefined;
  /** Every capability as it came, those this package does not know included. */
  readonly capabilities: readonly Capability[];
}

export const everything: IovaRange = { start: 0n, last: 0xffff_ffff_ffff_ffffn };

/** VFIO_IOMMU_GET_INFO, with all its capabilities. */
export function askType1Info(container: Descriptor): Type1Info {
  const { info, capabilities } = askInfo(container, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info);
  const ranges = findCapability(capabilities, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, vfio_iommu_type1_info_cap_iova_range);
  // The proposal of 2020 has a capability of the same number, which is another thing.
  const mainline = capabilities.filter((capability) => !isNestingCapability(capability));
  const dirty = findCapability(mainline, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, vfio_iommu_type1_info_cap_migration);
  const available = findCapability(capabilities, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, vfio_iommu_type1_info_dma_avail);
  return {
    pageSizes: info.iova_pgsizes,
    pageSize: info.iova_pgsizes & -info.iova_pgsizes,
    ranges: ranges?.iova_ranges.map(({ start, end }) => ({ start, last: end })) ?? [everything],
    mappingsAvailable: available?.avail,
    dirtyTracking: dirty && { pageSizes: dirty.pgsize_bitmap, largestBitmap: dirty.max_dirty_bitmap_size },
    capabilities,
  };
}
