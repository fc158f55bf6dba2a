/** A device opened by its own node, /dev/vfio/devices/NAME. The order of checks is that of the kernel's device_cdev.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../abi/vfio/cdev.js';
import type { Mapping } from '../kernel/kernel.js';
import type { Argument } from './argument.js';
import { checkToken, takeBind } from './bind-request.js';
import { DeviceFile } from './device-file.js';
import type { IommuGroup } from './iommu-group.js';
import { IommufdFile } from './iommufd/file.js';
import type { BoundDevice } from './iommufd/device.js';
import type { FdTable } from './open-file.js';
import type { KernelProfile } from './profile.js';
import type { VfioDevice } from './vfio-device.js';

const outDevid = vfio_device_bind_iommufd.offsetofend('out_devid') - 4;
const ptId = vfio_device_attach_iommufd_pt.offsetofend('pt_id') - 4;

export class CdevFile extends DeviceFile {
  readonly #device: VfioDevice;
  readonly #group: IommuGroup;
  readonly #fds: FdTable;
  #bound: { readonly iommufd: IommufdFile; readonly device: BoundDevice } | undefined;

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
        return attach(this.#bound.device, argument, this.#device.kernel);
      case VFIO_DEVICE_DETACH_IOMMUFD_PT.number:
        return detach(this.#bound.device, argument, this.#device.kernel);
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
    const bound = iommufd.bind(this.#group);
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
    this.#bound = { iommufd, device: bound };
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

function attach(device: BoundDevice, argument: Argument, { attachesPasids }: KernelProfile): number {
  const asked = argument.struct(vfio_device_attach_iommufd_pt, VFIO_DEVICE_ATTACH_IOMMUFD_PT.minimum);
  if (asked === undefined) return -errno.EFAULT;
  if (asked.argsz < VFIO_DEVICE_ATTACH_IOMMUFD_PT.minimum) return -errno.EINVAL;
  if ((asked.flags & ~(attachesPasids ? VFIO_DEVICE_ATTACH_PASID : 0)) !== 0) return -errno.EINVAL;
  const pasid = asked.flags === 0 ? undefined : pasidOf(argument, asked.argsz, vfio_device_attach_iommufd_pt.size);
  if (pasid !== undefined && pasid < 0) return pasid;
  const result = pasid === undefined ? device.attach(asked.pt_id) : device.attachPasid(asked.pt_id);
  if (typeof result === 'number') return result;
  asked.pt_id = result.table;
  if (argument.copyTo(asked.bytes.subarray(ptId, ptId + 4), ptId)) return 0;
  device.detach();
  return -errno.EFAULT;
}

function detach(device: BoundDevice, argument: Argument, { attachesPasids }: KernelProfile): number {
  const asked = argument.struct(vfio_device_detach_iommufd_pt, VFIO_DEVICE_DETACH_IOMMUFD_PT.minimum);
  if (asked === undefined) return -errno.EFAULT;
  if (asked.argsz < VFIO_DEVICE_DETACH_IOMMUFD_PT.minimum) return -errno.EINVAL;
  if ((asked.flags & ~(attachesPasids ? VFIO_DEVICE_DETACH_PASID : 0)) !== 0) return -errno.EINVAL;
  // What no PASID is attached to, none is detached from.
  if (asked.flags !== 0) return Math.min(0, pasidOf(argument, asked.argsz, vfio_device_detach_iommufd_pt.size));
  device.detach();
  return 0;
}

/** The PASID, with which the struct ends, or -errno. */
function pasidOf(argument: Argument, argsz: number, size: number): number {
  if (argsz < size) return -errno.EINVAL;
  const bytes = argument.copyFrom(4, size - 4);
  return bytes === undefined ? -errno.EFAULT : new DataView(bytes.buffer).getUint32(0, true);
}
