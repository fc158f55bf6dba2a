import {
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_FAULT_ID_VALID,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  iommu_hwpt_alloc,
} from '../abi/iommufd/hwpt.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checkedInteger, expected } from '../kernel/error.js';
import { Resource } from '../kernel/resource.js';
import type { AttachPoint } from '../memory/address-space.js';
import { destroyObject } from './destroy.js';
import { withDriverData, type DriverData } from './driver-data.js';
import type { FaultQueue } from './fault-queue.js';
import { encodeGuestTable, encodeVtdInvalidation, type GuestTable, type VtdInvalidation } from './guest-tables.js';
import { invalidate } from './invalidate.js';
import type { BoundDevice } from './virtual-device.js';

/** What every page table can be made with. */
export interface NestedPageTableOptions {
  /**
   * Where devices that use it ask for pages that it lacks. Linux 6.11; for one that is not nested, 6.14.
   */
  readonly faultQueue?: FaultQueue;
  /** It can be attached by PASID, or to a device that uses others by PASID. Default: false. Linux 6.14. */
  readonly pasids?: boolean;
}

/** Whose a page table is, and what it is made on. */
export interface PageTableBase {
  readonly owner: Resource;
  readonly descriptor: Descriptor;
  /** The id of what it is made on: an address space, another page table, or a virtual IOMMU. */
  readonly on: number;
  readonly device: BoundDevice;
}

/**
 * A page table of a guest, in the guest's memory: what it says is translated once more, by the page table it is nested on.
 * Devices are attached to it as to any other. Closing it destroys it (IOMMU_DESTROY). Linux 6.7.
 */
export class NestedPageTable extends Resource implements AttachPoint {
  /** Its id in the open file. */
  readonly id: number;
  readonly #descriptor: Descriptor;
  readonly #kind: GuestTable['kind'];

  private constructor(owner: Resource, descriptor: Descriptor, id: number, kind: GuestTable['kind']) {
    super(`nested page table ${id} of ${descriptor.path}`, owner);
    this.id = id;
    this.#descriptor = descriptor;
    this.#kind = kind;
  }

  /** On a page table or a virtual IOMMU, for a device behind the IOMMU. @internal */
  static create(base: PageTableBase, table: GuestTable, options: NestedPageTableOptions = {}): NestedPageTable {
    return new NestedPageTable(base.owner, base.descriptor, allocatePageTable(base, 0, options, encodeGuestTable(table)), table.kind);
  }

  /** The fd of the file it has its id in. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * The guest changed its page table, one of VT-d: what the hardware has in its caches is dropped, entry by entry; none is
   * everything. IOMMU_HWPT_INVALIDATE. Linux 6.8.
   * @throws InvalidationError with how many were handled.
   */
  invalidate(entries: readonly VtdInvalidation[] = [{}]): void {
    if (this.#kind !== 'vtd') throw expected('a page table of VT-d, or invalidateEntries() instead,', 'this', this.label);
    if (entries.length > 0) this.invalidateEntries(IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, entries.map(encodeVtdInvalidation));
  }

  /**
   * The same with structs of a type among IOMMU_HWPT_INVALIDATE_DATA_, all of one length; no entries: whether the type is
   * known. What is nested on a virtual IOMMU is invalidated there.
   * @throws InvalidationError with how many were handled.
   */
  invalidateEntries(type: number, entries: readonly DriverData[]): void {
    this.assertOpen();
    invalidate(this.#descriptor, this.id, checkedInteger('type', type), entries);
  }

  protected override release(): void {
    destroyObject(this.#descriptor, this.id);
  }
}

/** The id. What an older kernel does not know of the request has to be zero, and is when it is not asked for. */
export function allocatePageTable(
  { owner, descriptor, on, device }: PageTableBase,
  flags: number,
  { faultQueue, pasids = false }: NestedPageTableOptions,
  given?: { readonly type: number; readonly data: DriverData },
): number {
  owner.assertOpen();
  faultQueue?.assertOpen();
  const request = iommu_hwpt_alloc.create();
  request.size = iommu_hwpt_alloc.size;
  request.flags = flags | (pasids ? IOMMU_HWPT_ALLOC_PASID : 0) | (faultQueue === undefined ? 0 : IOMMU_HWPT_FAULT_ID_VALID);
  request.dev_id = device.id;
  request.pt_id = on;
  request.fault_id = faultQueue?.id ?? 0;
  request.data_type = given?.type ?? 0;
  request.data_len = given?.data.bytes.byteLength ?? 0;
  withDriverData(descriptor.kernel, given === undefined ? [] : [given.data], (address) => {
    request.data_uptr = address;
    descriptor.ioctl(IOMMU_HWPT_ALLOC, request.bytes);
  });
  return request.out_hwpt_id;
}
