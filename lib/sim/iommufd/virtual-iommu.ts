/** Virtual IOMMUs and the devices on them. The order of checks is that of the kernel's viommu.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_DEFAULT,
  iommu_vdevice_alloc,
  iommu_viommu_alloc,
} from '../../abi/iommufd/viommu.js';
import { BoundDevice } from './device.js';
import type { DeviceIommu, VirtualIommuHardware, VirtualIommuHost } from './hardware.js';
import { IommufdObject } from './objects.js';
import { operation, type Context } from './operation.js';
import { NestedPageTable, PageTable } from './page-table.js';
import { UserData } from './user-data.js';

/** A part of an IOMMU that a guest has: a parent for page tables of the guest, with devices by the guest's names. */
export class VirtualIommu extends IommufdObject implements VirtualIommuHost {
  readonly parent: PageTable;
  /** The driver of its IOMMU: devices of another cannot be on it. */
  readonly driver: object;
  /** By what the guest calls them. */
  readonly devices = new Map<bigint, VirtualDevice>();
  /** By type of event. */
  readonly queues = new Map<number, { deliver(event: Uint8Array): void }>();
  readonly #context: Context;
  #hardware: VirtualIommuHardware = {};

  constructor(context: Context, parent: PageTable, driver: object) {
    super();
    this.#context = context;
    this.parent = parent;
    this.driver = driver;
    parent.users += 1;
  }

  /** The object, or -errno. */
  static create(context: Context, iommu: DeviceIommu, kind: number, parentId: number, data: UserData | undefined): VirtualIommu | number {
    const make = iommu.virtualIommus?.(kind);
    if (make === undefined) return -errno.EOPNOTSUPP;
    const parent = context.objects.find(parentId, PageTable);
    if (parent === undefined) return -errno.ENOENT;
    if (!parent.nestParent) return -errno.EINVAL;
    const viommu = new VirtualIommu(context, parent, iommu.driver);
    context.objects.add(viommu);
    const hardware = make(viommu, parent, data);
    if (typeof hardware === 'number') {
      context.objects.destroy(viommu.id);
      return hardware;
    }
    viommu.#hardware = hardware;
    return viommu;
  }

  get hardware(): VirtualIommuHardware {
    return this.#hardware;
  }

  device(virtualId: bigint): DeviceIommu | undefined {
    return this.devices.get(virtualId)?.device.iommu;
  }

  virtualId(device: DeviceIommu): bigint | undefined {
    for (const [virtualId, { device: bound }] of this.devices) if (bound.iommu === device) return virtualId;
    return undefined;
  }

  expose(pages: Uint8Array): number {
    return this.#context.exposed.add(this, pages);
  }

  report(type: number, event: Uint8Array): number {
    const queue = this.queues.get(type);
    queue?.deliver(event);
    return queue === undefined ? -errno.EOPNOTSUPP : 0;
  }

  /** iommufd_viommu_alloc_hwpt_nested: a page table of the guest, or -errno. `flags` are IOMMU_HWPT_ ones without that of a fault queue. */
  nest(flags: number, data: UserData, forPasids: boolean): NestedPageTable | number {
    const domain = this.#hardware.allocateNested?.(flags, data) ?? -errno.EOPNOTSUPP;
    return typeof domain === 'number' ? domain : new NestedPageTable(this.parent, this, domain, forPasids);
  }

  override release(): void {
    this.#context.exposed.remove(this);
    this.parent.users -= 1;
  }
}

export const allocateVirtualIommu = operation(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, (context, asked, caller) => {
  const { type, dev_id, hwpt_id, data_len: length, data_uptr: address } = asked;
  if (asked.flags !== 0 || type === IOMMU_VIOMMU_TYPE_DEFAULT) return -errno.EOPNOTSUPP;
  const device = context.objects.find(dev_id, BoundDevice);
  if (device === undefined) return -errno.ENOENT;
  const data = length === 0 ? undefined : new UserData(caller.argument, { type, length, address });
  const viommu = VirtualIommu.create(context, device.iommu, type, hwpt_id, data);
  if (typeof viommu === 'number') return viommu;
  asked.out_viommu_id = viommu.id;
  const result = caller.respond();
  if (result !== 0) context.objects.destroy(viommu.id);
  return result;
});

/** A device on a virtual IOMMU. It goes with the device. */
export class VirtualDevice extends IommufdObject {
  readonly device: BoundDevice;
  readonly #viommu: VirtualIommu;
  readonly #virtualId: bigint;

  constructor(viommu: VirtualIommu, device: BoundDevice, virtualId: bigint) {
    super();
    this.device = device;
    this.#viommu = viommu;
    this.#virtualId = virtualId;
    viommu.users += 1;
    viommu.devices.set(virtualId, this);
    device.virtual = this;
  }

  override release(): void {
    this.device.virtual = undefined;
    this.#viommu.devices.delete(this.#virtualId);
    this.#viommu.users -= 1;
  }
}

export const allocateVirtualDevice = operation(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, ({ objects }, asked, caller) => {
  const viommu = objects.find(asked.viommu_id, VirtualIommu);
  const device = objects.find(asked.dev_id, BoundDevice);
  if (viommu === undefined || device === undefined) return -errno.ENOENT;
  if (device.iommu.driver !== viommu.driver) return -errno.EINVAL;
  if (device.virtual !== undefined || viommu.devices.has(asked.virt_id)) return -errno.EEXIST;
  const virtual = new VirtualDevice(viommu, device, asked.virt_id);
  asked.out_vdevice_id = objects.add(virtual);
  const result = caller.respond();
  if (result !== 0) objects.destroy(virtual.id);
  return result;
});
