/** Page requests of mock devices, which ask for any page they are told to. */
import { errno } from '../../../lib/abi/errno.js';
import { IOMMU_PGFAULT_FLAGS_LAST_PAGE, IOMMU_PGFAULT_FLAGS_PASID_VALID } from '../../../lib/abi/iommufd/fault.js';
import { BoundDevice } from '../../../lib/sim/iommufd/device.js';
import type { Context } from '../../../lib/sim/iommufd/operation.js';
import { IOMMU_TEST_OP_TRIGGER_IOPF } from './abi.js';
import { MockIommu } from './iommu.js';
import type { Command, MockOperation } from './operations.js';

/** Nobody is told whether somebody took it, nor what became of it. */
function trigger(
  { objects }: Context,
  { trigger_iopf: { dev_id, pasid, grpid: group, perm: permission, addr: address } }: Command,
): number {
  const device = objects.find(dev_id, BoundDevice);
  if (device === undefined) return -errno.ENOENT;
  if (!(device.iommu instanceof MockIommu)) return -errno.EINVAL;
  const flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid === 0 ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID);
  device.attachments.request([{ flags, pasid, group, permission, address }], () => {});
  return 0;
}

export const pageRequests: readonly MockOperation[] = [{ op: IOMMU_TEST_OP_TRIGGER_IOPF, run: trigger }];
