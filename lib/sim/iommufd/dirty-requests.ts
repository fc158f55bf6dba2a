/** The requests about dirty bits of page tables. The order of checks is that of the kernel's io_pagetable.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_hwpt_get_dirty_bitmap,
  iommu_hwpt_set_dirty_tracking,
} from '../../abi/iommufd/hwpt.js';
import type { Argument } from '../argument.js';
import type { Interval } from '../interval-map.js';
import { top } from './ioas.js';
import { operation } from './operation.js';
import { PageTable } from './page-table.js';

export const setTracking = operation(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, ({ objects }, asked) => {
  if ((asked.flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE) !== 0) return -errno.EOPNOTSUPP;
  const table = objects.find(asked.hwpt_id, PageTable);
  if (table === undefined) return -errno.ENOENT;
  const { dirtyPages } = table.domain;
  if (dirtyPages === undefined) return -errno.EOPNOTSUPP;
  const enable = asked.flags !== 0;
  if (enable) dirtyPages.clear({ start: 0n, last: top });
  dirtyPages.tracking = enable;
  return 0;
});

export const getBitmap = operation(
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  iommu_hwpt_get_dirty_bitmap,
  ({ objects, platform }, asked, { argument }) => {
    const { flags, iova, length, page_size } = asked;
    if ((flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) !== 0 || asked.__reserved !== 0) return -errno.EOPNOTSUPP;
    const table = objects.find(asked.hwpt_id, PageTable);
    if (table === undefined) return -errno.ENOENT;
    const last = iova + length - 1n;
    if (length === 0n) return -errno.EINVAL;
    if (last > top) return -errno.EOVERFLOW;
    const misplaced = (granule: bigint): boolean => ((iova | (last + 1n)) & (granule - 1n)) !== 0n;
    // Nothing lies at multiples of no bytes.
    if (misplaced(table.ioas.alignment) || misplaced(page_size)) return -errno.EINVAL;
    const { dirtyPages } = table.domain;
    if (dirtyPages === undefined) return -errno.EOPNOTSUPP;
    // What stands in the way of reading the bits is not told: there are none then.
    if (!dirtyPages.tracking && !platform.kernel.iommufd.keepsDirtyBits) return 0;
    const mapped = { start: iova, last: table.ioas.mappedUntil(iova, last) };
    for (const page of dirtyPages.within(mapped)) record(page, { argument, address: asked.data, iova, granule: page_size & -page_size });
    if (flags === 0) dirtyPages.clear(mapped);
    return 0;
  },
);

interface Bitmap {
  readonly argument: Argument;
  readonly address: bigint;
  /** What its first bit stands for. */
  readonly iova: bigint;
  /** Bytes a bit stands for. */
  readonly granule: bigint;
}

/** iova_bitmap_set: bits that are set stay set, and where there is no memory there are none. */
function record({ start, last }: Interval, { argument, address, iova, granule }: Bitmap): void {
  for (let bit = (start - iova) / granule; bit <= (last - iova) / granule; bit += 1n) {
    const at = address + bit / 8n;
    const byte = argument.readAt(at, 1);
    if (byte !== undefined) argument.writeAt(at, Uint8Array.of((byte[0] ?? 0) | (1 << Number(bit % 8n))));
  }
}
