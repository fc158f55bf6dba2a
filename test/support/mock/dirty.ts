/** Dirty bits of a mock page table, set as a device's writes would. */
import { errno } from '../../../lib/abi/errno.js';
import type { Caller, Context } from '../../../lib/sim/iommufd/operation.js';
import { PageTable } from '../../../lib/sim/iommufd/page-table.js';
import { IOMMU_TEST_OP_DIRTY, MOCK_PAGE_SIZE } from './abi.js';
import type { Command, MockOperation } from './operations.js';

const mostPages = 1n << 27n;

function setDirty({ objects, platform }: Context, { id, dirty }: Command, caller: Caller): number {
  const { iova, length, page_size, uptr } = dirty;
  if (page_size === 0n || length === 0n || iova % page_size !== 0n || length % page_size !== 0n || uptr === 0n) return -errno.EINVAL;
  const count = length / page_size;
  if (count > mostPages) return -errno.EOVERFLOW;
  const table = objects.find(id, PageTable);
  if (table === undefined) return -errno.ENOENT;
  const { dirtyPages } = table.domain;
  if (dirtyPages?.tracking !== true) return -errno.EINVAL;
  const bits = caller.argument.readAt(uptr, Number((count + 7n) / 8n));
  if (bits === undefined) return -errno.EFAULT;
  const newer = platform.kernel.version === '7.3';
  let marked = 0n;
  for (let index = 0n; index < count; index += 1n) {
    if (((bits[Number(index / 8n)] ?? 0) & (1 << Number(index % 8n))) === 0) continue;
    // The older mock takes an index in pages of the request for one in its own, and counts only what is mapped.
    const page = iova + index * page_size;
    const at = newer ? page : (page / page_size) * BigInt(MOCK_PAGE_SIZE);
    if (table.at(at) === undefined && !newer) continue;
    dirtyPages.mark(at, 1);
    marked += 1n;
  }
  dirty.out_nr_dirty = marked;
  return caller.respond();
}

export const dirty: readonly MockOperation[] = [{ op: IOMMU_TEST_OP_DIRTY, run: setDirty }];
