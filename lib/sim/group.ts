/** /dev/vfio/GROUP. The order of checks is that of the kernel's group.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from '../abi/vfio/group.js';
import type { Argument } from './argument.js';
import { ContainerFile } from './container.js';
import { DeviceFile } from './device-file.js';
import type { IommuGroup } from './iommu-group.js';
import { OpenFile, type FdTable } from './open-file.js';

const pageSize = 4096;

export class GroupFile extends OpenFile {
  readonly #group: IommuGroup;
  readonly #fds: FdTable;
  #container: ContainerFile | undefined;
  #devicesOpen = 0;
  #revoked = false;

  constructor(group: IommuGroup, fds: FdTable) {
    super();
    this.#group = group;
    this.#fds = fds;
    group.opened = this;
  }

  override ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_GROUP_GET_STATUS.number:
        return this.#getStatus(argument);
      case VFIO_GROUP_SET_CONTAINER.number:
        return this.#setContainer(argument);
      case VFIO_GROUP_UNSET_CONTAINER.number:
        return this.#unsetContainer();
      case VFIO_GROUP_GET_DEVICE_FD.number:
        return this.#getDeviceFd(argument);
      default:
        return -errno.ENOTTY;
    }
  }

  #getStatus(argument: Argument): number {
    const status = argument.struct(vfio_group_status, VFIO_GROUP_GET_STATUS.minimum);
    if (status === undefined) return -errno.EFAULT;
    if (status.argsz < VFIO_GROUP_GET_STATUS.minimum) return -errno.EINVAL;
    if (this.#revoked) return -errno.ENODEV;
    if (this.#container !== undefined) status.flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
    else status.flags = this.#group.claimed || this.#group.ownedByHost ? 0 : VFIO_GROUP_FLAGS_VIABLE;
    return argument.copyTo(status.bytes) ? 0 : -errno.EFAULT;
  }

  #setContainer(argument: Argument): number {
    const bytes = argument.copyFrom(4);
    if (bytes === undefined) return -errno.EFAULT;
    const file = this.#fds.lookup(new Int32Array(bytes.buffer)[0] ?? -1);
    if (file === undefined) return -errno.EBADF;
    if (this.#container !== undefined) return -errno.EINVAL;
    if (this.#revoked) return -errno.ENODEV;
    if (!(file instanceof ContainerFile)) return -errno.EBADFD;
    const result = file.attach(this.#group);
    if (result === 0) this.#container = file;
    return result;
  }

  #unsetContainer(): number {
    if (this.#container === undefined) return -errno.EINVAL;
    if (this.#devicesOpen > 0) return -errno.EBUSY;
    this.#leaveContainer();
    return 0;
  }

  #getDeviceFd(argument: Argument): number {
    const name = argument.text(pageSize, -errno.EFAULT, -errno.EINVAL);
    if (typeof name === 'number') return name;
    const device = this.#group.slots.find((slot) => slot.vfio !== undefined && slot.address === name)?.vfio;
    if (device === undefined) return -errno.ENODEV;
    if (this.#container?.driver === undefined) return -errno.EINVAL;
    device.open();
    this.#devicesOpen += 1;
    // An open device holds the group's file: the group is released when both are closed.
    this.retain();
    return this.#fds.install(
      new DeviceFile(device, this.#fds, () => {
        device.close();
        this.#devicesOpen -= 1;
        this.drop();
      }),
    );
  }

  /** The group's last device went, and with it the group. */
  revoke(): void {
    this.#leaveContainer();
    this.#revoked = true;
  }

  #leaveContainer(): void {
    this.#container?.detach(this.#group);
    this.#container = undefined;
  }

  protected override release(): void {
    this.#leaveContainer();
    this.#group.opened = undefined;
  }
}
