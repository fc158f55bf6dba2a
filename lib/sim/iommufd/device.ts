/** Devices that a file of /dev/iommu owns, and what they are attached to. The order of checks is that of the kernel's device.c. */
import { errno } from '../../abi/errno.js';
import type { IommuGroup } from '../iommu-group.js';
import { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { Context } from './operation.js';
import { PageTable, type Attachment } from './page-table.js';

export class BoundDevice extends IommufdObject {
  /** Its driver needs it until it is unbound. */
  override users = 1;
  readonly #context: Context;
  readonly #group: IommuGroup;

  private constructor(context: Context, group: IommuGroup) {
    super();
    this.#context = context;
    this.#group = group;
  }

  /** iommufd_device_bind, while the module's own parameter allow_unsafe_interrupts is off: the device, or -errno. */
  static create(context: Context, group: IommuGroup): BoundDevice | number {
    if (!context.platform.iommu.isolatesInterrupts || !group.claim(context)) return -errno.EPERM;
    const device = new BoundDevice(context, group);
    context.objects.add(device);
    return device;
  }

  get #attachment(): Attachment | undefined {
    const attachment = this.#context.attachments.get(this.#group);
    return attachment?.devices.has(this) === true ? attachment : undefined;
  }

  /** iommufd_device_attach and _replace: the id of the page table, or -errno. */
  attach(id: number): { readonly table: number } | number {
    const object = this.#context.objects.find(id, IommufdObject);
    if (object === undefined) return -errno.ENOENT;
    if (object instanceof PageTable) {
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

  /** iommufd_device_auto_get_domain: a page table that is there and fits, or a new one. */
  #attachTo(ioas: Ioas): { readonly table: number } | number {
    const { objects, platform } = this.#context;
    for (const table of objects.all(PageTable)) {
      if (table.ioas !== ioas) continue;
      const result = this.#use(table);
      if (result === 0) return { table: table.id };
      if (result !== -errno.EINVAL) return result;
    }
    const replaces = this.#attachment !== undefined;
    const table = new PageTable(ioas);
    const id = objects.add(table);
    // Replacing, the kernel fills the table before the device changes over; the first time, after it.
    const fill = (): number => ioas.addTable(table, platform.iommu);
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
  #use(table: PageTable): number {
    const attachment = this.#attachment;
    return attachment === undefined ? this.#join(table) : this.#replace(attachment, table);
  }

  #join(table: PageTable): number {
    const { attachments } = this.#context;
    const others = attachments.get(this.#group);
    if (others !== undefined && others.table !== table) return -errno.EINVAL;
    const refused = this.#reserve(table.ioas, this);
    if (refused !== 0) return refused;
    if (others === undefined) attachments.set(this.#group, { table, devices: new Set([this]) });
    else others.devices.add(this);
    this.#group.domain = table;
    table.users += 1;
    this.users += 1;
    return 0;
  }

  /** All devices of the group go over. */
  #replace(attachment: Attachment, table: PageTable): number {
    const { table: old, devices } = attachment;
    if (table === old) return 0;
    if (table.ioas !== old.ioas) {
      for (const device of devices) {
        const refused = this.#reserve(table.ioas, device);
        if (refused === 0) continue;
        for (const each of devices) table.ioas.unreserve(each);
        return refused;
      }
      for (const device of devices) old.ioas.unreserve(device);
    }
    attachment.table = table;
    this.#group.domain = table;
    table.users += devices.size;
    old.users -= devices.size;
    this.#letGo(old);
    return 0;
  }

  /** iopt_table_enforce_dev_resv_regions: what the platform keeps from a device, the device keeps from the address space. */
  #reserve(ioas: Ioas, owner: IommufdObject): number {
    for (const region of this.#context.platform.iommu.reserved) {
      if (region.type === 'direct-relaxable') continue;
      const refused = ioas.reserve(region, owner);
      if (refused === 0) continue;
      ioas.unreserve(owner);
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
    table.ioas.unreserve(this);
    table.users -= 1;
    this.users -= 1;
    this.#letGo(table);
  }

  /** A page table that the kernel made goes with its last device. */
  #letGo(table: PageTable): void {
    if (table.users === 0) this.#context.objects.destroy(table.id);
  }

  /** iommufd_device_unbind. */
  unbind(): void {
    this.detach();
    this.users -= 1;
    this.#context.objects.destroy(this.id);
  }

  override release(): void {
    this.#group.unclaim();
  }
}
