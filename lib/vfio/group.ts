import { O_RDWR } from '../abi/system.js';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
} from '../abi/vfio/group.js';
import { adopt } from '../kernel/adopt.js';
import { Descriptor } from '../kernel/descriptor.js';
import { finishAll, Resource, together, type OpenFile } from '../kernel/resource.js';
import { Device } from './device.js';
import { uuidBytes } from './uuid.js';

export interface GroupStatus {
  /** Every device of the group is with VFIO or with no driver that does DMA. */
  readonly viable: boolean;
  readonly inContainer: boolean;
}

function nodeName(number: number, noIommu: boolean): string {
  return noIommu ? `noiommu-${number}` : String(number);
}

function joinContainer(group: Descriptor, container: OpenFile): void {
  group.ioctl(VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([container.fd]).buffer));
}

/** /dev/vfio/NUMBER: the devices an IOMMU cannot tell apart, or one device without an IOMMU. It owns the devices opened from it. */
export class Group extends Resource {
  readonly number: number;
  /** No IOMMU stands between its device and memory. */
  readonly noIommu: boolean;
  readonly #descriptor: Descriptor;

  private constructor(container: OpenFile, number: number, noIommu: boolean, descriptor: Descriptor) {
    super(`Group ${nodeName(number, noIommu)}`, container);
    this.number = number;
    this.noIommu = noIommu;
    this.#descriptor = descriptor;
  }

  /** Opens the group and puts it in the container; `Container.openGroup` and `openNoIommuGroup` are the ways to it. */
  static open(container: OpenFile, number: number, { noIommu = false }: { readonly noIommu?: boolean } = {}): Group {
    const path = `/dev/vfio/${nodeName(number, noIommu)}`;
    return together((undo) => {
      const descriptor = undo(Descriptor.open(container.kernel, path, O_RDWR));
      joinContainer(descriptor, container);
      return new Group(container, number, noIommu, descriptor);
    });
  }

  /** One that is open already; `Container.adoptGroup` is the way to it. */
  static adopt(container: OpenFile, number: number, fd: number): Group {
    container.assertOpen();
    const asked = vfio_group_status.create();
    asked.argsz = vfio_group_status.size;
    const file = { fd, what: 'the file of a group', path: `/dev/vfio/${number}`, request: VFIO_GROUP_GET_STATUS, argument: asked.bytes };
    const descriptor = adopt(container.kernel, file);
    if ((asked.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) === 0) joinContainer(descriptor, container);
    return new Group(container, number, false, descriptor);
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

  /** The fd, for requests that take groups. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * VFIO_GROUP_GET_DEVICE_FD: opens the device of that name in sysfs: a PCI address, or a mediated
   * device's UUID. The container must have an IOMMU
   * type. `vfToken` is the UUID that a virtual function asks for while vfio-pci has its physical one (Linux 5.7).
   */
  openDevice(address: string, { vfToken }: { readonly vfToken?: string } = {}): Device {
    this.assertOpen();
    if (vfToken !== undefined) uuidBytes(vfToken, 'vfToken');
    const name = new TextEncoder().encode(vfToken === undefined ? `${address}\0` : `${address} vf_token=${vfToken}\0`);
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
