/** A device opened by its own node, /dev/vfio/devices/NAME. The order of checks is that of the kernel's device_cdev.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_bind_iommufd,
} from '../abi/vfio/cdev.js';
import type { Mapping } from '../kernel/kernel.js';
import type { Argument } from './argument.js';
import { checkToken, takeBind } from './bind-request.js';
import { CdevAttachment } from './cdev-attachment.js';
import { DeviceFile } from './device-file.js';
import type { IommuGroup } from './iommu-group.js';
import { IommufdFile } from './iommufd/file.js';
import type { Bound } from './iommufd/device.js';
import type { FdTable } from './open-file.js';
import type { VfioDevice } from './vfio-device.js';

const outDevid = vfio_device_bind_iommufd.offsetofend('out_devid') - 4;

export class CdevFile extends DeviceFile {
  readonly #device: VfioDevice;
  readonly #group: IommuGroup;
  readonly #fds: FdTable;
  #bound: { readonly iommufd: IommufdFile; readonly device: Bound; readonly attachment: CdevAttachment } | undefined;

  constructor(device: VfioDevice, group: IommuGroup, fds: FdTable) {
    super(device, fds, () => this.#release());
    this.#device = device;
    this.#group = group;
    this.#fds = fds;
    device.hold();
  }

  /** Nothing can be asked of the device before it belongs to a file of /dev/iommu. */
  override ioctl(request: number, argument: Argument): number {
    if (request === VFIO_DEVICE_BIND_IOMMUFD.number) return this.#bind(argument);
    if (this.#bound === undefined) return -errno.EINVAL;
    switch (request) {
      case VFIO_DEVICE_ATTACH_IOMMUFD_PT.number:
        return this.#bound.attachment.attach(argument);
      case VFIO_DEVICE_DETACH_IOMMUFD_PT.number:
        return this.#bound.attachment.detach(argument);
      default:
        return super.ioctl(request, argument);
    }
  }

  override pread(bytes: Uint8Array, offset: number): number {
    return this.#bound === undefined ? -errno.EINVAL : super.pread(bytes, offset);
  }

  override pwrite(bytes: Uint8Array, offset: number): number {
    return this.#bound === undefined ? -errno.EINVAL : super.pwrite(bytes, offset);
  }

  override mmap(length: number, protection: number, flags: number, offset: number): Mapping | number {
    return this.#bound === undefined ? -errno.EINVAL : super.mmap(length, protection, flags, offset);
  }

  #bind(argument: Argument): number {
    const bind = takeBind(argument, this.#device.kernel);
    if (typeof bind === 'number') return bind;
    if (this.#group.opened !== undefined) return -errno.EBUSY;
    if (this.#bound !== undefined) return -errno.EINVAL;
    const admitted = checkToken(bind, this.#device, argument);
    if (admitted !== 0) return admitted;
    const iommufd = this.#fds.lookup(bind.iommufd);
    if (iommufd === undefined) return -errno.EBADF;
    if (!(iommufd instanceof IommufdFile)) return -errno.EBADFD;
    // Only the group gives out more than one fd of a device.
    if (this.#device.isOpen) return -errno.EINVAL;
    const bound = iommufd.bind(this.#group, this.#device);
    if (typeof bound === 'number') return bound;
    this.#device.open();
    bind.out_devid = bound.id;
    if (!argument.copyTo(bind.bytes.subarray(outDevid, outDevid + 4), outDevid)) {
      this.#device.close();
      bound.unbind();
      return -errno.EFAULT;
    }
    iommufd.retain();
    this.#group.cdevsOpen += 1;
    this.#device.binding = { iommufd, id: bound.id };
    this.#bound = { iommufd, device: bound, attachment: new CdevAttachment(bound, this.#device.kernel) };
    return 0;
  }

  #release(): void {
    if (this.#bound !== undefined) {
      this.#device.binding = undefined;
      this.#device.close();
      this.#bound.device.unbind();
      this.#bound.iommufd.drop();
      this.#group.cdevsOpen -= 1;
    }
    this.#device.letGo();
  }
}
