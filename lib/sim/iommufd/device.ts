/** Devices that a file of /dev/iommu owns, and what they are attached to. The order of checks is that of the kernel's device.c. */
import { errno } from '../../abi/errno.js';
import type { IommuGroup } from '../iommu-group.js';
import type { DeviceIommu } from './hardware.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { Context } from './operation.js';
import { HardwarePageTable, PageTable, type Attachment } from './page-table.js';

export class BoundDevice extends IommufdObject {
  /** Its driver needs it until it is unbound. */
  override users = 1;
  /** What stands between it and memory. */
  readonly iommu: DeviceIommu;
  /** What it is on a virtual IOMMU. */
  virtual: IommufdObject | undefined;
  readonly #context: Context;
  readonly #group: IommuGroup;

  constructor(context: Context, group: IommuGroup, iommu: DeviceIommu) {
    super();
    this.#context = context;
    this.#group = group;
    this.iommu = iommu;
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

  get #attachment(): Attachment | undefined {
    const attachment = this.#context.attachments.get(this.#group);
    return attachment?.devices.has(this) === true ? attachment : undefined;
  }

  /** iommufd_device_attach, and _replace where it is attached: the id of the page table, or -errno. */
  attach(id: number): { readonly table: number } | number {
    const object = this.#context.objects.find(id, IommufdObject);
    if (object === undefined) return -errno.ENOENT;
    if (object instanceof HardwarePageTable) {
      const result = this.#use(object);
      return result === 0 ? { table: id } : result;
    }
    return object instanceof Ioas ? this.#attachTo(object) : -errno.EINVAL;
  }

  /** For a PASID there has to be a page table made for PASIDs, and the kernel makes none of them by itself. */
  attachPasid(id: number): number {
    const object = this.#context.objects.find(id, IommufdObject);
    return object === undefined ? -errno.ENOENT : -errno.EINVAL;
  }

  /** iommufd_device_auto_get_domain: one of the kernel's own page tables that is there and fits, or a new one. */
  #attachTo(ioas: Ioas): { readonly table: number } | number {
    const { objects } = this.#context;
    for (const table of objects.all(PageTable)) {
      if (table.ioas !== ioas || !table.automatic) continue;
      const result = this.#use(table);
      if (result === 0) return { table: table.id };
      if (result !== -errno.EINVAL) return result;
    }
    const replaces = this.#attachment !== undefined;
    const domain = this.iommu.allocatePaging(0, undefined);
    if (typeof domain === 'number') return domain;
    const table = new PageTable(ioas, domain, { automatic: true });
    const id = objects.add(table);
    // Replacing, the kernel fills the table before the device changes over; the first time, after it.
    const fill = (): number => ioas.addTable(table);
    const change = (): number => this.#use(table);
    const [first, second] = replaces ? [fill, change] : [change, fill];
    let result = first();
    if (result === 0) {
      result = second();
      if (result !== 0 && !replaces) this.detach();
    }
    if (result === 0) return { table: id };
    objects.destroy(id);
    return result;
  }

  /** iommufd_device_do_attach and _do_replace: 0 or -errno. */
  #use(table: HardwarePageTable): number {
    const attachment = this.#attachment;
    return attachment === undefined ? this.#join(table) : this.#replace(attachment, table);
  }

  #join(table: HardwarePageTable): number {
    const { attachments } = this.#context;
    const others = attachments.get(this.#group);
    if (others !== undefined && others.table !== table) return -errno.EINVAL;
    const refused = this.reserve(table.paging.ioas) || (others === undefined ? this.iommu.attach(table.domain) : 0);
    if (refused !== 0) {
      table.paging.ioas.unreserve(this);
      return refused;
    }
    if (others === undefined) attachments.set(this.#group, { table, devices: new Set([this]) });
    else others.devices.add(this);
    this.#group.domain = table;
    table.users += 1;
    this.users += 1;
    return 0;
  }

  /** All devices of the group go over. */
  #replace(attachment: Attachment, table: HardwarePageTable): number {
    const { table: old, devices } = attachment;
    if (table === old) return 0;
    const [to, from] = [table.paging.ioas, old.paging.ioas];
    const refused = (to === from ? 0 : firstFailure(devices, (device) => device.reserve(to))) || this.iommu.attach(table.domain);
    if (refused !== 0) {
      if (to !== from) for (const device of devices) to.unreserve(device);
      return refused;
    }
    if (to !== from) for (const device of devices) from.unreserve(device);
    attachment.table = table;
    this.#group.domain = table;
    table.users += devices.size;
    old.users -= devices.size;
    this.#letGo(old);
    return 0;
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

  detach(): void {
    const attachment = this.#attachment;
    if (attachment === undefined) return;
    const { table, devices } = attachment;
    devices.delete(this);
    if (devices.size === 0) {
      this.#context.attachments.delete(this.#group);
      this.#group.domain = undefined;
    }
    table.paging.ioas.unreserve(this);
    table.users -= 1;
    this.users -= 1;
    this.#letGo(table);
  }

  /** A page table that the kernel made goes with its last device. */
  #letGo(table: HardwarePageTable): void {
    if (table.automatic && table.users === 0) this.#context.objects.destroy(table.id);
  }

  /** iommufd_device_unbind. */
  unbind(): void {
    const { objects } = this.#context;
    this.detach();
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
