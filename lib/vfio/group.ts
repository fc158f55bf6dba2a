import { O_RDWR } from '../abi/system.js';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
} from '../abi/vfio/group.js';
import { Descriptor } from '../kernel/descriptor.js';
import type { Kernel } from '../kernel/kernel.js';
import { finishAll, Resource, together } from '../kernel/resource.js';
import { Device } from './device.js';

export interface GroupStatus {
  /** Every device of the group is with VFIO or with no driver that does DMA. */
  readonly viable: boolean;
  readonly inContainer: boolean;
}

/** What a group is put into: a `Container`. */
interface ContainerFile extends Resource {
  readonly kernel: Kernel;
  readonly fd: number;
}

/** /dev/vfio/NUMBER: the devices an IOMMU cannot tell apart. It owns the devices opened from it. */
export class Group extends Resource {
  readonly number: number;
  readonly #descriptor: Descriptor;

  private constructor(container: ContainerFile, number: number, descriptor: Descriptor) {
    super(`Group ${number}`, container);
    this.number = number;
    this.#descriptor = descriptor;
  }

  /** Opens the group and puts it in the container; `Container.openGroup` is the way to it. */
  static open(container: ContainerFile, number: number): Group {
    const path = `/dev/vfio/${number}`;
    return together((undo) => {
      const descriptor = undo(Descriptor.open(container.kernel, path, O_RDWR));
      descriptor.ioctl(VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([container.fd]).buffer));
      return new Group(container, number, descriptor);
    });
  }

  /** VFIO_GROUP_GET_STATUS. */
  status(): GroupStatus {
    const status = vfio_group_status.create();
    status.argsz = vfio_group_status.size;
    this.#descriptor.ioctl(VFIO_GROUP_GET_STATUS, status.bytes);
    return {
      viable: (status.flags & VFIO_GROUP_FLAGS_VIABLE) !== 0,
      inContainer: (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) !== 0,
    };
  }

  /** VFIO_GROUP_GET_DEVICE_FD: opens the device at that PCI address, or the mediated device of that UUID. The container must have an IOMMU type. */
  openDevice(address: string): Device {
    this.assertOpen();
    const name = new TextEncoder().encode(`${address}\0`);
    const fd = this.#descriptor.ioctl(VFIO_GROUP_GET_DEVICE_FD, name);
    return together((undo) => {
      const descriptor = undo(Descriptor.adopt(this.#descriptor.kernel, fd, address));
      return new Device(descriptor, this);
    });
  }

  /** Closes the devices opened from it, and nothing else. */
  closeDevices(): void {
    finishAll(this.children.map((device) => () => device.close()));
  }

  protected override release(): void {
    // Closing the file takes the group out of its container.
    this.#descriptor.close();
  }
}
