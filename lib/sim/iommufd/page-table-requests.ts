/** The requests about page tables of the hardware. The order of checks is that of the kernel's hw_pagetable.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_INVALIDATE,
  iommu_hwpt_alloc,
  iommu_hwpt_invalidate,
} from '../../abi/iommufd/hwpt.js';
import { BoundDevice } from './device.js';
import { FaultQueue } from './fault-queue.js';
import type { Invalidated } from './hardware.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import { operation, type Context } from './operation.js';
import { NestedPageTable, PageTable, type HardwarePageTable } from './page-table.js';
import { UserData, UserDataArray } from './user-data.js';
import { VirtualIommu } from './virtual-iommu.js';

const mostEntries = 1 << 19;
const longestEntry = 4096;

export const allocate = operation(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, (context, asked, caller) => {
  const { flags, dev_id, pt_id, data_type: type, data_len: length, data_uptr: address, fault_id } = asked;
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  if ((type === IOMMU_HWPT_DATA_NONE) !== (length === 0)) return -errno.EINVAL;
  const { objects } = context;
  const device = objects.find(dev_id, BoundDevice);
  if (device === undefined) return -errno.ENOENT;
  const table = make(context, device, { on: pt_id, flags, data: new UserData(caller.argument, { type, length, address }) });
  if (typeof table === 'number') return table;
  let result = 0;
  if ((flags & IOMMU_HWPT_FAULT_ID_VALID) !== 0) {
    const queue = objects.find(fault_id, FaultQueue);
    if (queue === undefined) result = -errno.ENOENT;
    else table.reportTo(queue);
  }
  asked.out_hwpt_id = table.id;
  if (result === 0) result = caller.respond();
  if (result !== 0) objects.destroy(table.id);
  return result;
});

interface Wanted {
  /** The id of what it is made on. */
  readonly on: number;
  readonly flags: number;
  readonly data: UserData;
}

/** The page table, which has an id, or -errno. */
function make(context: Context, device: BoundDevice, wanted: Wanted): HardwarePageTable | number {
  const base = context.objects.find(wanted.on, IommufdObject);
  if (base instanceof Ioas) return makePaging(context, device, base, wanted);
  if (base instanceof PageTable) return makeNested(context, device, base, wanted);
  return base instanceof VirtualIommu ? makeVirtual(context, device, base, wanted) : -errno.EINVAL;
}

/** iommufd_hwpt_paging_alloc. */
function makePaging({ objects, platform }: Context, device: BoundDevice, ioas: Ioas, { flags, data }: Wanted): PageTable | number {
  const newer = platform.kernel.iommufd.pageTablesForPasids ? IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID : 0;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(~(IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | newer))) return -errno.EOPNOTSUPP;
  if (has(IOMMU_HWPT_FAULT_ID_VALID) && has(IOMMU_HWPT_ALLOC_NEST_PARENT)) return -errno.EOPNOTSUPP;
  const domain = device.iommu.allocatePaging(flags & ~IOMMU_HWPT_FAULT_ID_VALID, data.length === 0 ? undefined : data);
  if (typeof domain === 'number') return domain;
  const table = new PageTable(ioas, domain, {
    nestParent: has(IOMMU_HWPT_ALLOC_NEST_PARENT),
    forPasids: has(IOMMU_HWPT_ALLOC_PASID),
  });
  objects.add(table);
  const result = ioas.addTable(table);
  if (result === 0) return table;
  objects.destroy(table.id);
  return result;
}

/** iommufd_hwpt_nested_alloc. */
function makeNested(
  { objects, platform }: Context,
  { iommu }: BoundDevice,
  parent: PageTable,
  { flags, data }: Wanted,
): NestedPageTable | number {
  const known = IOMMU_HWPT_FAULT_ID_VALID | (platform.kernel.iommufd.pageTablesForPasids ? IOMMU_HWPT_ALLOC_PASID : 0);
  if ((flags & ~known) !== 0 || data.length === 0 || iommu.allocateNested === undefined) return -errno.EOPNOTSUPP;
  if (parent.automatic || !parent.nestParent || parent.domain.driver !== iommu.driver) return -errno.EINVAL;
  const domain = iommu.allocateNested(parent, flags & ~IOMMU_HWPT_FAULT_ID_VALID, data);
  if (typeof domain === 'number') return domain;
  const table = new NestedPageTable(parent, parent, domain, (flags & IOMMU_HWPT_ALLOC_PASID) !== 0);
  objects.add(table);
  return table;
}

/** iommufd_viommu_alloc_hwpt_nested. Flags that there are not are refused with the same errno by the driver. */
function makeVirtual(
  { objects }: Context,
  { iommu }: BoundDevice,
  viommu: VirtualIommu,
  { flags, data }: Wanted,
): NestedPageTable | number {
  if (viommu.driver !== iommu.driver) return -errno.EINVAL;
  if (data.length === 0) return -errno.EOPNOTSUPP;
  const table = viommu.nest(flags & ~IOMMU_HWPT_FAULT_ID_VALID, data, (flags & IOMMU_HWPT_ALLOC_PASID) !== 0);
  if (typeof table !== 'number') objects.add(table);
  return table;
}

/** How many entries were handled is told also where one was refused. */
export const invalidate = operation(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, (context, asked, caller) => {
  const { handled, result } = invalidated(context, asked, (data) => new UserDataArray(caller.argument, data));
  asked.entry_num = handled;
  return caller.respond() === 0 ? result : -errno.EFAULT;
});

type Invalidation = ReturnType<typeof iommu_hwpt_invalidate.create>;

function invalidated(
  { objects, platform }: Context,
  { hwpt_id, data_uptr: address, data_type: type, entry_len: length, entry_num: count, __reserved: reserved }: Invalidation,
  entries: (data: ConstructorParameters<typeof UserDataArray>[1]) => UserDataArray,
): Invalidated {
  if (reserved !== 0) return { handled: 0, result: -errno.EOPNOTSUPP };
  if (count !== 0 && (address === 0n || length === 0 || length > longestEntry || count > mostEntries))
    return { handled: 0, result: -errno.EINVAL };
  const table = objects.find(hwpt_id, IommufdObject);
  if (table instanceof NestedPageTable) return table.domain.invalidate(entries({ type, length, count, address }));
  if (table instanceof VirtualIommu)
    return table.hardware.invalidate?.(entries({ type, length, count, address })) ?? { handled: 0, result: -errno.EOPNOTSUPP };
  // Older kernels look for nothing but a nested page table.
  return { handled: 0, result: table === undefined || !platform.kernel.iommufd.virtualIommus ? -errno.ENOENT : -errno.EINVAL };
}
