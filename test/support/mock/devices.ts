/** Mock devices: made, attached elsewhere, and gone. The order of checks is that of the kernel's selftest.c. */
import { errno } from '../../../lib/abi/errno.js';
import { BoundDevice } from '../../../lib/sim/iommufd/device.js';
import { Ioas, top } from '../../../lib/sim/iommufd/ioas.js';
import { IommufdObject } from '../../../lib/sim/iommufd/objects.js';
import type { Caller, Context } from '../../../lib/sim/iommufd/operation.js';
import { IommuGroup } from '../../../lib/sim/iommu-group.js';
import {
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  MOCK_FLAGS_DEVICE_HUGE_IOVA,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
} from './abi.js';
import { MockIommu } from './iommu.js';
import type { Command, MockOperation } from './operations.js';

/** The selftest's own object, which stands for the driver of a mock device. */
export class SelftestDevice extends IommufdObject {
  readonly device: BoundDevice;
  readonly iommu: MockIommu;

  constructor(device: BoundDevice, iommu: MockIommu) {
    super();
    this.device = device;
    this.iommu = iommu;
  }

  override release(): void {
    this.device.unbind();
  }
}

/** The place of an object that is being made. */
class Reservation extends IommufdObject {
  override release(): void {}
}

function create(context: Context, command: Command, caller: Caller): number {
  const { objects, platform } = context;
  // The selftest's object has its id before the device has one.
  const place = objects.add(new Reservation());
  const flags = command.op === IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS ? command.mock_domain_flags.dev_flags : 0;
  const known = MOCK_FLAGS_DEVICE_NO_DIRTY | (platform.kernel.version === '7.3' ? MOCK_FLAGS_DEVICE_PASID : MOCK_FLAGS_DEVICE_HUGE_IOVA);
  const made = (flags & ~known) === 0 ? attached(context, command.id, new MockIommu(flags, platform.kernel)) : -errno.EINVAL;
  objects.destroy(place);
  if (typeof made === 'number') return made;
  const { selftest, table } = made;
  Object.assign(command.mock_domain, { out_hwpt_id: table, out_stdev_id: objects.add(selftest), out_idev_id: selftest.device.id });
  const result = caller.respond();
  if (result !== 0) objects.destroy(selftest.id);
  return result;
}

function attached(context: Context, id: number, iommu: MockIommu): { selftest: SelftestDevice; table: number } | number {
  const device = BoundDevice.create(context, new IommuGroup(0), iommu);
  if (typeof device === 'number') return device;
  const result = device.attach(id);
  if (typeof result !== 'number') return { selftest: new SelftestDevice(device, iommu), table: result.table };
  device.unbind();
  return result;
}

function replace({ objects }: Context, command: Command, caller: Caller): number {
  const selftest = objects.find(command.id, SelftestDevice);
  if (selftest === undefined) return -errno.ENOENT;
  const result = selftest.device.replace(command.mock_domain_replace.pt_id);
  if (typeof result === 'number') return result;
  command.mock_domain_replace.pt_id = result.table;
  return caller.respond();
}

function addReserved({ objects }: Context, { id, add_reserved: { start, length } }: Command): number {
  if (length === 0n) return -errno.EINVAL;
  if (start + length - 1n > top) return -errno.EOVERFLOW;
  const ioas = objects.find(id, Ioas);
  // Owned by nobody, it stays.
  return ioas === undefined ? -errno.ENOENT : ioas.reserve({ start, last: start + length - 1n }, {});
}

export const devices: readonly MockOperation[] = [
  { op: IOMMU_TEST_OP_ADD_RESERVED, run: addReserved },
  { op: IOMMU_TEST_OP_MOCK_DOMAIN, run: create },
  { op: IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, run: create },
  { op: IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, run: replace },
];
