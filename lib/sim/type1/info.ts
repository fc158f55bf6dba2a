/** What GET_INFO of type1 says: its capabilities, and the ranges an IOMMU leaves to be mapped. */
import {
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../../abi/vfio/type1.js';
import type { Interval } from '../interval-map.js';
import type { IommuProfile } from '../profile.js';
import { largestDirtyBitmap } from './dirty.js';

export function migrationCapability(pageSize: bigint): Uint8Array {
  const capability = vfio_iommu_type1_info_cap_migration.create();
  capability.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION;
  capability.header.version = 1;
  capability.pgsize_bitmap = pageSize;
  capability.max_dirty_bitmap_size = largestDirtyBitmap;
  return capability.bytes;
}

export function dmaAvailableCapability(available: number): Uint8Array {
  const capability = vfio_iommu_type1_info_dma_avail.create();
  capability.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
  capability.header.version = 1;
  capability.avail = available;
  return capability.bytes;
}

export function iovaRangesCapability(ranges: readonly Interval[]): Uint8Array {
  const capability = vfio_iommu_type1_info_cap_iova_range.create(ranges.length * vfio_iova_range.size);
  capability.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
  capability.header.version = 1;
  capability.nr_iovas = ranges.length;
  capability.iova_ranges.forEach((range, index) => {
    range.start = ranges[index]?.start ?? 0n;
    range.end = ranges[index]?.last ?? 0n;
  });
  return capability.bytes;
}

/** The aperture without what the platform keeps for itself, except what devices can be moved off (direct-relaxable). */
export function usableRanges(iommu: IommuProfile): Interval[] {
  let ranges: Interval[] = [{ start: 0n, last: iommu.apertureLast }];
  for (const hole of iommu.reserved) {
    if (hole.type === 'direct-relaxable') continue;
    ranges = ranges.flatMap((range) => {
      if (hole.start > range.last || hole.last < range.start) return [range];
      const parts: Interval[] = [];
      if (range.start < hole.start) parts.push({ start: range.start, last: hole.start - 1n });
      if (range.last > hole.last) parts.push({ start: hole.last + 1n, last: range.last });
      return parts;
    });
  }
  return ranges;
}
