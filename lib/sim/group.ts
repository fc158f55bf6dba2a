/** /dev/vfio/GROUP and /dev/vfio/noiommu-GROUP. The order of checks is that of the kernel's group.c. */
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
import { IommufdFile } from './iommufd/file.js';
import { OpenFile, type FdTable } from './open-file.js';
import type { Platform } from './platform.js';
import type { VfioDevice } from './vfio-device.js';

const pageSize = 4096;

export class GroupFile extends OpenFile {
  readonly #group: IommuGroup;
  readonly #fds: FdTable;
  /** What it was put into: a container of VFIO's own, or /dev/iommu in its place. */
  #container: ContainerFile | undefined;
  #iommufd: IommufdFile | undefined;
  /** While it was in a container of VFIO's own. */
  #devicesOpen = 0;
  #revoked = false;
  readonly #platform: Pick<Platform, 'rawIo' | 'kernel'>;

  constructor(group: IommuGroup, fds: FdTable, platform: Pick<Platform, 'rawIo' | 'kernel'>) {
    super();
    this.#group = group;
    this.#fds = fds;
    this.#platform = platform;
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
    if (this.#hasContainer) status.flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
    else status.flags = this.#group.claimed || this.#group.ownedByHost ? 0 : VFIO_GROUP_FLAGS_VIABLE;
    return argument.copyTo(status.bytes) ? 0 : -errno.EFAULT;
  }

  #setContainer(argument: Argument): number {
    const bytes = argument.copyFrom(4);
    if (bytes === undefined) return -errno.EFAULT;
    const file = this.#fds.lookup(new Int32Array(bytes.buffer)[0] ?? -1);
    if (file === undefined) return -errno.EBADF;
    if (this.#hasContainer) return -errno.EINVAL;
    if (this.#revoked) return -errno.ENODEV;
    if (file instanceof IommufdFile) return this.#join(file);
    // Since there is another kind of file that it could be.
    if (!(file instanceof ContainerFile)) return this.#platform.kernel.hasIommufd ? -errno.EBADFD : -errno.EINVAL;
    if (this.#forbidden) return -errno.EPERM;
    const result = file.attach(this.#group);
    if (result === 0) this.#container = file;
    return result;
  }

  get #hasContainer(): boolean {
    return this.#container !== undefined || this.#iommufd !== undefined;
  }

  #join(iommufd: IommufdFile): number {
    const result = iommufd.join(this.#group.kind);
    if (result !== 0) return result;
    iommufd.retain();
    this.#iommufd = iommufd;
    return 0;
  }

  /** /dev/iommu lets a group go while its devices are open. */
  #unsetContainer(): number {
    if (!this.#hasContainer) return -errno.EINVAL;
    if (this.#devicesOpen > 0) return -errno.EBUSY;
    this.#leaveContainer();
    this.#leaveIommufd();
    return 0;
  }

  #getDeviceFd(argument: Argument): number {
    const name = argument.text(pageSize, -errno.EFAULT, -errno.EINVAL);
    if (typeof name === 'number') return name;
    const device = this.#revoked ? -errno.ENODEV : this.#find(name);
    if (typeof device === 'number') return device;
    return this.#iommufd === undefined ? this.#openOfContainer(device) : this.#openOfIommufd(device, this.#iommufd);
  }

  /** An open device holds the group's file: the group is released when both are closed. */
  #openOfContainer(device: VfioDevice): number {
    if (this.#container?.driver === undefined) return -errno.EINVAL;
    if (this.#forbidden) return -errno.EPERM;
    device.open();
    this.#devicesOpen += 1;
    this.retain();
    return this.#fds.install(
      new DeviceFile(device, this.#fds, () => {
        device.close();
        this.#devicesOpen -= 1;
        this.drop();
      }),
    );
  }

  /** The first open of a device gives it to the file of /dev/iommu, and the group is free to be closed. */
  #openOfIommufd(device: VfioDevice, iommufd: IommufdFile): number {
    const unbind = device.isOpen ? () => {} : this.#bind(device, iommufd);
    if (typeof unbind === 'number') return unbind;
    device.open(unbind);
    return this.#fds.install(new DeviceFile(device, this.#fds, () => device.close()));
  }

  /** What undoes it, or -errno. */
  #bind(device: VfioDevice, iommufd: IommufdFile): (() => void) | number {
    if (this.#group.kind === 'noiommu') return this.#forbidden || iommufd.translatesForGroups ? -errno.EPERM : () => {};
    const bound = iommufd.bindAndAttach(this.#group, device);
    if (typeof bound === 'number') return bound;
    iommufd.retain();
    return () => {
      bound.unbind();
      iommufd.drop();
    };
  }

  /** The first that the text names; a device may refuse it. */
  #find(name: string): VfioDevice | number {
    for (const { vfio } of this.#group.slots) {
      const match = vfio?.match(name) ?? 0;
      if (match < 0) return match;
      if (match > 0 && vfio !== undefined) return vfio;
    }
    return -errno.ENODEV;
  }

  override get isGroup(): boolean {
    return true;
  }

  /** What has no IOMMU is for those alone who could reach all memory anyway. */
  get #forbidden(): boolean {
    return this.#group.kind === 'noiommu' && !this.#platform.rawIo;
  }

  revoke(): void {
    this.#leaveContainer();
    this.#group.opened = undefined;
    this.#revoked = true;
  }

  #leaveContainer(): void {
    this.#container?.detach(this.#group);
    this.#container = undefined;
  }

  #leaveIommufd(): void {
    this.#iommufd?.drop();
    this.#iommufd = undefined;
  }

  protected override release(): void {
    if (!this.#revoked) this.revoke();
    this.#leaveIommufd();
  }
}
