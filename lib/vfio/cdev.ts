import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../abi/vfio/cdev.js';
import type { Request } from '../abi/ioctl.js';
import { O_RDWR } from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, CodedError, expected } from '../kernel/error.js';
import { hint } from '../kernel/hints.js';
import { hold } from '../kernel/hold.js';
import { finishAll, together, type OpenFile } from '../kernel/resource.js';
import type { AttachPoint } from '../memory/address-space.js';
import type { PciDevice } from '../pci/topology.js';
import { adoptDeviceFile, Device } from './device.js';
import { uuidBytes } from './uuid.js';

/** Where a device is. @inline */
type Listed = Pick<PciDevice, 'address' | 'node'>;

export interface CdevOptions {
  /** The UUID that a virtual function asks for while vfio-pci has its physical one. Linux 6.17. */
  readonly vfToken?: string;
}

/** A device's node that is open. */
export interface AdoptedCdev extends CdevOptions {
  readonly address: string;
  readonly fd: number;
  /** Its id in the open /dev/iommu that it is bound to. */
  readonly id?: number;
}

export interface PasidOptions {
  /** Which of the device's address spaces: 1 to 1048575, as far as the device has them. Default: its own. Linux 6.15. */
  readonly pasid?: number;
}

/**
 * A device opened by its own node, without its group, and bound to an open /dev/iommu. It reaches no memory until it is
 * attached. Linux 6.6.
 */
export class Cdev extends Device {
  /** Its id in the open /dev/iommu. */
  readonly id: number;
  readonly #owner: OpenFile;
  readonly #descriptor: Descriptor;

  /** Who opened it may have it open still. */
  readonly #adopted: boolean;

  private constructor(owner: OpenFile, descriptor: Descriptor, id: number, adopted = false) {
    super(descriptor, owner);
    this.id = id;
    this.#owner = owner;
    this.#descriptor = descriptor;
    this.#adopted = adopted;
  }

  /**
   * Opens a device that `findDevice` found by its node, and gives it to the open /dev/iommu, which owns it from now on:
   * closing that closes the device. VFIO_DEVICE_BIND_IOMMUFD.
   * @throws CodedError ERR_VFIO_NO_NODE when it has none; KernelError EBUSY while the device's group is open, EINVAL while the device is open, EPERM where another has
   * its group; with a hint.
   */
  static open(owner: OpenFile, { address, node }: Listed, { vfToken }: CdevOptions = {}): Cdev {
    owner.assertOpen();
    if (node === undefined) {
      throw new CodedError(
        'ERR_VFIO_NO_NODE',
        `Device ${address} has no node in /dev/vfio/devices. Is it bound to vfio-pci, and is the kernel built with VFIO_DEVICE_CDEV (Linux 6.6)?`,
      );
    }
    const token = vfToken === undefined ? undefined : uuidBytes(vfToken, 'vfToken');
    return together((undo) => {
      const fd = check(owner.kernel.open(node, O_RDWR), { syscall: 'open', path: node });
      const descriptor = undo(Descriptor.adopt(owner.kernel, fd, address));
      return new Cdev(owner, descriptor, bind(descriptor, owner.fd, token));
    });
  }

  /**
   * A device whose node is open already, as another process opened it and handed it on: from now on this closes it. `id` is the one
   * that it has in the open /dev/iommu, where it is bound to that; without it, it is bound now.
   * @throws KernelError ENOTTY or EINVAL when the fd is another file's, which it stays, or is bound otherwise.
   */
  static adopt(owner: OpenFile, { address, fd, id, vfToken }: AdoptedCdev): Cdev {
    owner.assertOpen();
    if (id !== undefined) return new Cdev(owner, adoptDeviceFile(owner.kernel, address, fd), id, true);
    const token = vfToken === undefined ? undefined : uuidBytes(vfToken, 'vfToken');
    const descriptor = Descriptor.adopt(owner.kernel, fd, address);
    return new Cdev(owner, descriptor, bind(descriptor, owner.fd, token), true);
  }

  /**
   * Connects the device to an address space or a page table, or moves it to another at once: from now on it reaches what is
   * mapped there, and nothing else. With a PASID, it is the accesses that carry it. Returns the id of the page table the
   * kernel uses for it. VFIO_DEVICE_ATTACH_IOMMUFD_PT.
   * @throws KernelError EADDRINUSE where something is mapped at IOVAs that the device cannot have; EFAULT where mapped
   * memory is not there; with a PASID EINVAL where a page table was not made for PASIDs, or the PASID is too large.
   */
  attach(point: AttachPoint, { pasid }: PasidOptions = {}): number {
    this.assertOpen();
    if (point.fd !== this.#owner.fd) throw expected(`an address space of ${this.#owner.label}`, 'point', `fd ${point.fd}`);
    const attach = vfio_device_attach_iommufd_pt.create();
    attach.pt_id = point.id;
    if (pasid === undefined) {
      // The field behind it is the PASID's, which older kernels do not know.
      attach.argsz = VFIO_DEVICE_ATTACH_IOMMUFD_PT.minimum;
      this.#descriptor.ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach.bytes);
      return attach.pt_id;
    }
    attach.argsz = vfio_device_attach_iommufd_pt.size;
    attach.flags = VFIO_DEVICE_ATTACH_PASID;
    attach.pasid = checkedPasid(pasid);
    this.#withPasid(VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach.bytes);
    return attach.pt_id;
  }

  /**
   * The device reaches no memory any more; with a PASID, not with accesses that carry it. Nothing, when it was not attached.
   * VFIO_DEVICE_DETACH_IOMMUFD_PT.
   */
  detach({ pasid }: PasidOptions = {}): void {
    this.assertOpen();
    if (pasid === undefined) return this.#detach();
    this.#withPasid(VFIO_DEVICE_DETACH_IOMMUFD_PT, detachPasid(checkedPasid(pasid)));
  }

  #detach(): void {
    const detach = vfio_device_detach_iommufd_pt.create();
    detach.argsz = VFIO_DEVICE_DETACH_IOMMUFD_PT.minimum;
    this.#descriptor.ioctl(VFIO_DEVICE_DETACH_IOMMUFD_PT, detach.bytes);
  }

  /** Where the device stays open in the kernel, it would stay attached, and what it is attached to could not be destroyed. */
  protected override quiesce(): void {
    finishAll([() => super.quiesce(), ...(this.#adopted ? [() => this.#detach()] : [])]);
  }

  /** Whether the kernel takes PASIDs: one that has nothing attached can be detached. Linux 6.15. */
  #takesPasids(): boolean {
    const { kernel, fd } = this.#descriptor;
    return kernel.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, detachPasid(0xffff_ffff)) === 0;
  }

  #withPasid(request: Request, bytes: Uint8Array): void {
    const { kernel, fd, path } = this.#descriptor;
    const result = kernel.ioctl(fd, request.number, bytes);
    const advice = result === -errno.EINVAL ? hint('a PASID', this.#takesPasids() ? 'EINVAL' : 'ENOTTY').text : undefined;
    check(result, { syscall: 'ioctl', request, path, hint: advice });
  }
}

function checkedPasid(pasid: number): number {
  if (!Number.isInteger(pasid) || pasid < 1 || pasid > 0xf_ffff) throw expected('an integer from 1 to 1048575', 'pasid', pasid);
  return pasid;
}

function detachPasid(pasid: number): Uint8Array {
  const detach = vfio_device_detach_iommufd_pt.create();
  Object.assign(detach, { argsz: vfio_device_detach_iommufd_pt.size, flags: VFIO_DEVICE_DETACH_PASID, pasid });
  return detach.bytes;
}

/** The id. Without a token it is the request of the first kernels, which know no more. */
function bind(descriptor: Descriptor, iommufd: number, token: Uint8Array | undefined): number {
  const request = vfio_device_bind_iommufd.create();
  request.argsz = token === undefined ? VFIO_DEVICE_BIND_IOMMUFD.minimum : vfio_device_bind_iommufd.size;
  request.iommufd = iommufd;
  if (token === undefined) {
    descriptor.ioctl(VFIO_DEVICE_BIND_IOMMUFD, request.bytes);
    return request.out_devid;
  }
  const memory = new ArrayBuffer(token.byteLength);
  new Uint8Array(memory).set(token);
  request.flags = VFIO_DEVICE_BIND_FLAG_TOKEN;
  request.token_uuid_ptr = descriptor.kernel.addressOf(memory);
  hold(memory, () => descriptor.ioctl(VFIO_DEVICE_BIND_IOMMUFD, request.bytes));
  return request.out_devid;
}
