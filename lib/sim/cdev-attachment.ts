/** What a device opened by its node is attached to. The order of checks is that of the kernel's device_cdev.c and vfio/iommufd.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_detach_iommufd_pt,
} from '../abi/vfio/cdev.js';
import type { Argument } from './argument.js';
import type { Attached, Bound } from './iommufd/device.js';
import type { KernelProfile } from './profile.js';

const ptId = vfio_device_attach_iommufd_pt.offsetofend('pt_id') - 4;
/** The first number that the kernel has no place for. */
const tooLarge = 2 ** 31;

export class CdevAttachment {
  readonly #device: Bound;
  readonly #takesPasids: boolean;
  /** What was attached without a PASID, and with one: 0 can be either. */
  #attached = false;
  readonly #pasids = new Set<number>();

  constructor(device: Bound, { attachesPasids }: KernelProfile) {
    this.#device = device;
    this.#takesPasids = attachesPasids;
  }

  /** VFIO_DEVICE_ATTACH_IOMMUFD_PT: 0 or -errno. */
  attach(argument: Argument): number {
    const asked = argument.struct(vfio_device_attach_iommufd_pt, VFIO_DEVICE_ATTACH_IOMMUFD_PT.minimum);
    if (asked === undefined) return -errno.EFAULT;
    if (asked.argsz < VFIO_DEVICE_ATTACH_IOMMUFD_PT.minimum) return -errno.EINVAL;
    if ((asked.flags & ~(this.#takesPasids ? VFIO_DEVICE_ATTACH_PASID : 0)) !== 0) return -errno.EINVAL;
    if (asked.flags !== 0 && !this.#device.takesPasids) return -errno.EOPNOTSUPP;
    const pasid = asked.flags === 0 ? undefined : pasidOf(argument, asked.argsz, vfio_device_attach_iommufd_pt.size);
    if (pasid !== undefined && pasid < 0) return pasid;
    const result = pasid === undefined ? this.#use(asked.pt_id) : this.#usePasid(asked.pt_id, pasid);
    if (typeof result === 'number') return result;
    asked.pt_id = result.table;
    if (argument.copyTo(asked.bytes.subarray(ptId, ptId + 4), ptId)) return 0;
    this.#detach();
    return -errno.EFAULT;
  }

  #use(id: number): Attached {
    const result = this.#attached ? this.#device.replace(id) : this.#device.attach(id);
    if (typeof result !== 'number') this.#attached = true;
    return result;
  }

  #usePasid(id: number, pasid: number): Attached {
    if (this.#pasids.has(pasid)) return this.#device.replace(id, pasid);
    if (pasid >= tooLarge) return -errno.ENOSPC;
    const result = this.#device.attach(id, pasid);
    if (typeof result !== 'number') this.#pasids.add(pasid);
    return result;
  }

  /** VFIO_DEVICE_DETACH_IOMMUFD_PT: 0 or -errno. Nothing happens to what is not attached. */
  detach(argument: Argument): number {
    const asked = argument.struct(vfio_device_detach_iommufd_pt, VFIO_DEVICE_DETACH_IOMMUFD_PT.minimum);
    if (asked === undefined) return -errno.EFAULT;
    if (asked.argsz < VFIO_DEVICE_DETACH_IOMMUFD_PT.minimum) return -errno.EINVAL;
    if ((asked.flags & ~(this.#takesPasids ? VFIO_DEVICE_DETACH_PASID : 0)) !== 0) return -errno.EINVAL;
    if (asked.flags !== 0 && !this.#device.takesPasids) return -errno.EOPNOTSUPP;
    if (asked.flags === 0) this.#detach();
    else {
      const pasid = pasidOf(argument, asked.argsz, vfio_device_detach_iommufd_pt.size);
      if (pasid < 0) return pasid;
      if (this.#pasids.delete(pasid)) this.#device.detach(pasid);
    }
    return 0;
  }

  #detach(): void {
    if (this.#attached) this.#device.detach();
    this.#attached = false;
  }
}

/** The PASID, with which the struct ends, or -errno. */
function pasidOf(argument: Argument, argsz: number, size: number): number {
  if (argsz < size) return -errno.EINVAL;
  const bytes = argument.copyFrom(4, size - 4);
  return bytes === undefined ? -errno.EFAULT : new DataView(bytes.buffer).getUint32(0, true);
}
