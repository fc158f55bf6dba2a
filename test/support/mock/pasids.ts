/** Mock devices and their PASIDs. The order of checks is that of the kernel's selftest.c. */
import { errno } from '../../../lib/abi/errno.js';
import { IommufdObject } from '../../../lib/sim/iommufd/objects.js';
import type { Caller, Context } from '../../../lib/sim/iommufd/operation.js';
import { HardwarePageTable } from '../../../lib/sim/iommufd/page-table.js';
import {
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
} from './abi.js';
import { SelftestDevice } from './devices.js';
import type { Command, MockOperation } from './operations.js';

function attach({ objects }: Context, command: Command, caller: Caller): number {
  const device = objects.find(command.id, SelftestDevice)?.device;
  if (device === undefined) return -errno.ENOENT;
  const { pasid, pt_id } = command.pasid_attach;
  const result = device.attach(pt_id, pasid);
  if (typeof result === 'number') return result;
  command.pasid_attach.pt_id = result.table;
  const answered = caller.respond();
  if (answered !== 0) device.detach(pasid);
  return answered;
}

function replace({ objects }: Context, command: Command, caller: Caller): number {
  const device = objects.find(command.id, SelftestDevice)?.device;
  if (device === undefined) return -errno.ENOENT;
  const { pasid, pt_id } = command.pasid_replace;
  const result = device.replace(pt_id, pasid);
  if (typeof result === 'number') return result;
  command.pasid_replace.pt_id = result.table;
  return caller.respond();
}

function detach({ objects }: Context, { id, pasid_detach: { pasid } }: Command): number {
  const device = objects.find(id, SelftestDevice)?.device;
  if (device === undefined) return -errno.ENOENT;
  device.detach(pasid);
  return 0;
}

/** Whether the page table is the one that is attached; 0: whether none is. */
function check({ objects }: Context, { id, pasid_check: { pasid, hwpt_id } }: Command): number {
  const device = objects.find(id, SelftestDevice)?.device;
  if (device === undefined) return -errno.ENOENT;
  const attached = device.attachments.get(pasid)?.table;
  if (hwpt_id === 0) return attached === undefined ? 0 : -errno.EINVAL;
  const table = objects.find(hwpt_id, IommufdObject);
  if (table === undefined) return -errno.ENOENT;
  return table instanceof HardwarePageTable && table === attached ? 0 : -errno.EINVAL;
}

export const pasids: readonly MockOperation[] = [
  { op: IOMMU_TEST_OP_PASID_ATTACH, newer: true, run: attach },
  { op: IOMMU_TEST_OP_PASID_REPLACE, newer: true, run: replace },
  { op: IOMMU_TEST_OP_PASID_DETACH, newer: true, run: detach },
  { op: IOMMU_TEST_OP_PASID_CHECK_HWPT, newer: true, run: check },
];
