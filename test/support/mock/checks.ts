/** What the mock's tests look at: translations, pinned pages, the cache of a nested page table. */
import { errno } from '../../../lib/abi/errno.js';
import { Ioas, top } from '../../../lib/sim/iommufd/ioas.js';
import type { Context } from '../../../lib/sim/iommufd/operation.js';
import { NestedPageTable, PageTable } from '../../../lib/sim/iommufd/page-table.js';
import {
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  MOCK_NESTED_DOMAIN_IOTLB_ID_MAX,
} from './abi.js';
import { MockNestedDomain } from './nested.js';
import type { Command, MockOperation } from './operations.js';

const pageSize = 4096n;

/** Whether the memory at `uptr` is what is mapped at `iova`. */
function checkMap({ objects, platform }: Context, { id, check_map: { iova, length, uptr } }: Command): number {
  const table = objects.find(id, PageTable);
  if (table === undefined) return -errno.ENOENT;
  const granule = table.domain.pageSize;
  if (((iova | length | uptr) & (granule - 1n)) !== 0n || uptr + length > top) return -errno.EINVAL;
  for (let at = 0n; at < length; at += granule) {
    if (platform.memory.read(uptr + at, 1) === undefined) return -errno.EFAULT;
    const found = table.ioas.slices(iova + at, 1n);
    const [slice] = typeof found === 'number' ? [] : found;
    if (slice === undefined || slice.pages.address + slice.offset !== uptr + at) return -errno.EINVAL;
  }
  return 0;
}

/** Whether each page of the memory is pinned that many times: once for each that maps it for itself. */
function checkRefs({ objects, platform }: Context, { check_refs: { uptr, length, refs } }: Command): number {
  if (((length | uptr) & (pageSize - 1n)) !== 0n || uptr + length > top) return -errno.EINVAL;
  const pages = new Set([...objects.all(Ioas)].flatMap((ioas) => [...ioas.pages()]));
  for (let at = uptr; at < uptr + length; at += pageSize) {
    if (platform.memory.read(at, 1) === undefined) return -errno.EFAULT;
    if ([...pages].filter((each) => each.pins(at)).length !== refs) return -errno.EIO;
  }
  return 0;
}

function checkIotlb({ objects }: Context, { id, check_iotlb }: Command): number {
  const table = objects.find(id, NestedPageTable);
  if (table === undefined) return -errno.ENOENT;
  if (!(table.domain instanceof MockNestedDomain) || check_iotlb.id > MOCK_NESTED_DOMAIN_IOTLB_ID_MAX) return -errno.EINVAL;
  return table.domain.iotlb[check_iotlb.id] === check_iotlb.iotlb ? 0 : -errno.EINVAL;
}

export const checks: readonly MockOperation[] = [
  { op: IOMMU_TEST_OP_MD_CHECK_MAP, run: checkMap },
  { op: IOMMU_TEST_OP_MD_CHECK_REFS, run: checkRefs },
  { op: IOMMU_TEST_OP_MD_CHECK_IOTLB, run: checkIotlb },
];
