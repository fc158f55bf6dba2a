import { IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc } from '../abi/iommufd/viommu.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checked64, KernelError } from '../kernel/error.js';
import { Resource } from '../kernel/resource.js';
import { destroyObject } from './destroy.js';

/** A device that is bound to the open /dev/iommu, by its id there: a `Cdev`. */
export interface BoundDevice {
  readonly id: number;
}

/** A device on a virtual IOMMU. It goes with the device, or when it is closed (IOMMU_DESTROY). */
export class VirtualDevice extends Resource {
  /** Its id in the open file. */
  readonly id: number;
  /** What the guest calls the device. */
  readonly virtualId: bigint;
  readonly #descriptor: Descriptor;

  private constructor(owner: Resource, descriptor: Descriptor, id: number, virtualId: bigint) {
    super(`device ${virtualId} of ${owner.label}`, owner);
    this.id = id;
    this.virtualId = virtualId;
    this.#descriptor = descriptor;
  }

  /** `VirtualIommu.addDevice` is the way to it. @internal */
  static create(owner: Resource & { readonly id: number }, descriptor: Descriptor, device: BoundDevice, virtualId: bigint): VirtualDevice {
    owner.assertOpen();
    const request = iommu_vdevice_alloc.create();
    request.size = iommu_vdevice_alloc.size;
    request.viommu_id = owner.id;
    request.dev_id = device.id;
    request.virt_id = checked64('virtualId', virtualId);
    descriptor.ioctl(IOMMU_VDEVICE_ALLOC, request.bytes);
    return new VirtualDevice(owner, descriptor, request.out_vdevice_id, virtualId);
  }

  /** When the device went first, it is gone; its id is nobody else's. */
  protected override release(): void {
    try {
      destroyObject(this.#descriptor, this.id);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'ENOENT') throw error;
    }
  }
}
