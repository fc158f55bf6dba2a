/** Devices on virtual IOMMUs, as the mock's tests look at them and set them off. */
import { errno } from '../../../lib/abi/errno.js';
import { BoundDevice } from '../../../lib/sim/iommufd/device.js';
import type { Context } from '../../../lib/sim/iommufd/operation.js';
import { IOMMU_TEST_OP_DEV_CHECK_CACHE, IOMMU_TEST_OP_TRIGGER_VEVENT, MOCK_DEV_CACHE_ID_MAX } from './abi.js';
import { MockIommu } from './iommu.js';
import type { Command, MockOperation } from './operations.js';
import type { MockVirtualDevice } from './virtual.js';

/** The device's, or undefined. The kernel does not look whether it is a mock. */
function virtualDevice({ objects }: Context, id: number): MockVirtualDevice | undefined {
  const device = objects.find(id, BoundDevice);
  return device?.iommu instanceof MockIommu ? device.iommu.virtual : undefined;
}

function checkCache(context: Context, { id, check_dev_cache }: Command): number {
  const found = virtualDevice(context, id);
  if (found === undefined) return -errno.ENOENT;
  return check_dev_cache.id <= MOCK_DEV_CACHE_ID_MAX && found.cache[check_dev_cache.id] === check_dev_cache.cache ? 0 : -errno.EINVAL;
}

function trigger(context: Context, { trigger_vevent: { dev_id } }: Command): number {
  return virtualDevice(context, dev_id)?.trigger() ?? -errno.ENOENT;
}

export const events: readonly MockOperation[] = [
  { op: IOMMU_TEST_OP_DEV_CHECK_CACHE, newer: true, run: checkCache },
  { op: IOMMU_TEST_OP_TRIGGER_VEVENT, newer: true, run: trigger },
];
