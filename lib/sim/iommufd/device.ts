/** Devices that a file of /dev/iommu owns, and what they are attached to. The order of checks is that of the kernel's device.c. */
import { errno } from '../../abi/errno.js';
import type { IommuGroup } from '../iommu-group.js';
import { GroupAttachments, noPasid, type AttachedDevice, type AttachHandle } from './attachments.js';
import type { DeviceIommu } from './hardware.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { Context } from './operation.js';
import { HardwarePageTable, PageTable } from './page-table.js';

/** The id of the page table, or -errno. */
export type Attached = { readonly table: number } | number;
/** How a page table becomes the device's: 0 or -errno. */
type Change = (table: HardwarePageTable) => number;

/** What a VFIO device is to /dev/iommu: a device behind an IOMMU, or the access of a driver that does its DMA itself. */
export interface Bound {
  readonly id: number;
  /** It can be attached with a PASID. */
  readonly takesPasids: boolean;
  attach(id: number, pasid?: number): Attached;
  replace(id: number, pasid?: number): Attached;
  detach(pasid?: number): void;
  unbind(): void;
}

export class BoundDevice extends IommufdObject implements AttachedDevice, Bound {
  readonly takesPasids = true;
  /** Its driver needs it until it is unbound. */
  override users = 1;
  /** What stands between it and memory. */
  readonly iommu: DeviceIommu;
  /** What it is on a virtual IOMMU. */
  virtual: IommufdObject | undefined;
  /** What its group is attached to. */
  readonly attachments: GroupAttachments;
  readonly #context: Context;
  readonly #group: IommuGroup;

  constructor(context: Context, group: IommuGroup, iommu: DeviceIommu) {
    super();
    this.#context = context;
    this.#group = group;
    this.iommu = iommu;
    const attachments = context.attachments.get(group) ?? new GroupAttachments(iommu.leavesPasidsToGuests);
    context.attachments.set(group, attachments);
    this.attachments = attachments;
  }

  /** iommufd_device_bind, while the module's own parameter allow_unsafe_interrupts is off: the device, or -errno. */
  static create(context: Context, group: IommuGroup, iommu: DeviceIommu): BoundDevice | number {
    if (!iommu.isolatesInterrupts || !group.claim(context)) return -errno.EPERM;
    const device = new BoundDevice(context, group, iommu);
    context.objects.add(device);
    return device;
  }

  isOf(group: object): boolean {
    return this.#group === group;
  }

  /** A new one for each attachment. */
  get #handle(): AttachHandle {
    const { knowsPasids, requestsPages } = this.iommu;
    return { device: this.id, knowsPasids, requestsPages };
  }

  /** iommufd_device_attach, of something that is not attached: the id of the page table, or -errno. */
  attach(id: number, pasid = noPasid): Attached {
    return this.#change(
      id,
      (table) => this.#join(table, pasid),
      (table, ioas) => {
        // The kernel fills the table after the device has come.
        const result = this.#join(table, pasid) || ioas.addTable(table);
        if (result !== 0 && this.attachments.get(pasid)?.table === table) this.detach(pasid);
        return result;
      },
    );
  }

  /** iommufd_device_replace, of something that is attached: the same. */
  replace(id: number, pasid = noPasid): Attached {
    // The kernel fills the table before the device changes over.
    return this.#change(
      id,
      (table) => this.#replace(table, pasid),
      (table, ioas) => ioas.addTable(table) || this.#replace(table, pasid),
    );
  }

  /** iommufd_device_change_pt. */
  #change(id: number, use: Change, useNew: (table: PageTable, ioas: Ioas) => number): Attached {
    const object = this.#context.objects.find(id, IommufdObject);
    if (object === undefined) return -errno.ENOENT;
    if (object instanceof HardwarePageTable) {
      const result = use(object);
      return result === 0 ? { table: id } : result;
    }
    return object instanceof Ioas ? this.#automatic(object, use, useNew) : -errno.EINVAL;
  }

  /** iommufd_device_auto_get_domain: one of the kernel's own page tables that is there and fits, or a new one. */
  #automatic(ioas: Ioas, use: Change, useNew: (table: PageTable, ioas: Ioas) => number): Attached {
    const { objects } = this.#context;
    for (const table of objects.all(PageTable)) {
      if (table.ioas !== ioas || !table.automatic) continue;
      const result = use(table);
      if (result === 0) return { table: table.id };
      if (result !== -errno.EINVAL) return result;
    }
    const domain = this.iommu.allocatePaging(0, undefined);
    if (typeof domain === 'number') return domain;
    const table = new PageTable(ioas, domain, { automatic: true });
    const id = objects.add(table);
    const result = useNew(table, ioas);
    if (result === 0) return { table: id };
    objects.destroy(id);
    return result;
  }

  /** iommufd_hw_pagetable_attach. */
  #join(table: HardwarePageTable, pasid: number): number {
    const others = this.attachments.get(pasid);
    if (others?.devices.has(this) === true) return -errno.EBUSY;
    if (others !== undefined && others.table !== table) return -errno.EINVAL;
    const refused = this.#reserveFor(table, pasid, [this]) || (others === undefined ? this.#use(table, pasid) : 0);
    if (refused !== 0) {
      if (pasid === noPasid) table.paging.ioas.unreserve(this);
      return refused;
    }
    if (others !== undefined) others.devices.add(this);
    else this.attachments.set(pasid, { table, devices: new Set([this]), by: this.#handle });
    this.#group.domain = this.attachments;
    table.users += 1;
    this.users += 1;
    return 0;
  }

  /** iommufd_device_do_replace: all devices of the group go over. */
  #replace(table: HardwarePageTable, pasid: number): number {
    const attachment = this.attachments.get(pasid);
    if (attachment === undefined) return -errno.EINVAL;
    const { table: old, devices, by } = attachment;
    if (table === old) return 0;
    const [to, from] = [table.paging.ioas, old.paging.ioas];
    const refused = this.#reserveFor(table, pasid, to === from ? [] : devices) || this.#use(table, pasid);
    if (refused !== 0) {
      // Also where it is the address space that they stay in.
      if (pasid === noPasid) for (const device of devices) to.unreserve(device);
      return refused;
    }
    if (pasid === noPasid && to !== from) for (const device of devices) from.unreserve(device);
    attachment.table = table;
    attachment.by = this.#handle;
    old.faultQueue?.drain(by);
    table.users += devices.size;
    old.users -= devices.size;
    this.#letGo(old);
    return 0;
  }

  /** What is kept from devices is kept from them without a PASID. */
  #reserveFor(table: HardwarePageTable, pasid: number, devices: Iterable<AttachedDevice>): number {
    return pasid === noPasid ? firstFailure(devices, (device) => device.reserve(table.paging.ioas)) : 0;
  }

  /** iommufd_hwpt_attach_device, and _replace_device: whether the device can use it. */
  #use(table: HardwarePageTable, pasid: number): number {
    const { iommu } = this;
    const compatible = this.attachments.compatible(table, pasid);
    if (compatible !== 0) return compatible;
    if (pasid !== noPasid) {
      if (!iommu.knowsPasids) return 0;
      if (pasid >= 2 ** iommu.maxPasidLog2) return -errno.EINVAL;
    }
    const refused = iommu.attach(table.domain, pasid);
    return refused !== 0 || table.faultQueue === undefined ? refused : iommu.enablePageRequests();
  }

  /** iopt_table_enforce_dev_resv_regions: what the platform keeps from a device, the device keeps from the address space. */
  reserve(ioas: Ioas): number {
    for (const region of this.iommu.reserved) {
      if (region.type === 'direct-relaxable') continue;
      const refused = ioas.reserve(region, this);
      if (refused === 0) continue;
      ioas.unreserve(this);
      return refused;
    }
    return 0;
  }

  detach(pasid = noPasid): void {
    const attachment = this.attachments.get(pasid);
    if (attachment?.devices.delete(this) !== true) return;
    const { table, devices, by } = attachment;
    if (devices.size === 0) {
      this.attachments.delete(pasid);
      this.iommu.detach?.(pasid);
      table.faultQueue?.drain(by);
    }
    if (pasid === noPasid) table.paging.ioas.unreserve(this);
    table.users -= 1;
    this.users -= 1;
    this.#letGo(table);
  }

  /** A page table that the kernel made goes with its last device. */
  #letGo(table: HardwarePageTable): void {
    if (table.automatic && table.users === 0) this.#context.objects.destroy(table.id);
  }

  /** iommufd_device_unbind, of a device that its driver detaches first. */
  unbind(): void {
    const { objects } = this.#context;
    for (const pasid of this.attachments.attachedPasids) this.detach(pasid);
    this.users -= 1;
    if (this.virtual !== undefined) objects.entomb(this.virtual.id);
    objects.destroy(this.id);
  }

  override release(): void {
    this.#group.unclaim();
  }
}

/** The first result that is not 0. */
function firstFailure<T>(items: Iterable<T>, step: (item: T) => number): number {
  for (const item of items) {
    const result = step(item);
    if (result !== 0) return result;
  }
  return 0;
}
