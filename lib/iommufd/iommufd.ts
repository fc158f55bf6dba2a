import type { Request } from '../abi/ioctl.js';
import { errno } from '../abi/errno.js';
import {
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_OPTION,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommu_ioas_change_process,
  iommu_option,
  iommu_vfio_ioas,
} from '../abi/iommufd/object.js';
import { O_RDWR } from '../abi/system.js';
import { adopt } from '../kernel/adopt.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { finishAll, Resource } from '../kernel/resource.js';
import { FaultQueue } from './fault-queue.js';
import { hardwareInformation, type HardwareInformation } from './hardware-information.js';
import { Ioas } from './ioas.js';
import type { BoundDevice } from './virtual-device.js';

/** Whose locked memory counts against the limit: the user's, over all processes, or the process's, as with type1. */
export type LockedMemoryAccount = 'user' | 'process';

/**
 * /dev/iommu: address spaces and what else has an id there. It owns what is made in it. Closing it destroys that.
 * Linux 6.2.
 */
export class Iommufd extends Resource {
  readonly kernel: Kernel;
  readonly #descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    super(`iommufd ${descriptor.path}`);
    this.kernel = descriptor.kernel;
    this.#descriptor = descriptor;
  }

  /** Opens it; each open file has objects of its own. Linux 6.2. @throws KernelError */
  static open(kernel: Kernel, path = '/dev/iommu'): Iommufd {
    return new Iommufd(Descriptor.open(kernel, path, O_RDWR));
  }

  /**
   * One that is open already, as another process opened it and handed it on: from now on this closes it. What was made in it stays
   * there, and is not known here. Linux 6.2.
   * @throws KernelError ENOTTY or EINVAL when the fd is another file's, which it stays.
   */
  static adopt(kernel: Kernel, fd: number): Iommufd {
    const argument = optionRequest(IOMMU_OPTION_OP_GET, IOMMU_OPTION_RLIMIT_MODE, 0, 0n).bytes;
    return new Iommufd(adopt(kernel, { fd, what: 'an open /dev/iommu', path: '/dev/iommu', request: IOMMU_OPTION, argument }));
  }

  /** The fd, for requests this class has no method for. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** A request this class has no method for. @throws KernelError */
  ioctl(request: Request, argument?: number | Uint8Array): number {
    return this.#descriptor.ioctl(request, argument);
  }

  /** The address spaces made here. */
  get addressSpaces(): readonly Ioas[] {
    return this.children.filter((child) => child instanceof Ioas);
  }

  /** A new, empty address space. IOMMU_IOAS_ALLOC. Linux 6.2. */
  createIoas(): Ioas {
    this.assertOpen();
    return Ioas.create(this, this.#descriptor);
  }

  /**
   * What the IOMMU can do that a device of this file, a `Cdev`, is behind, and how its driver describes it. Where a driver
   * has several descriptions, `type` (one of IOMMU_HW_INFO_TYPE_, Linux 6.17) chooses. IOMMU_GET_HW_INFO. Linux 6.6.
   * @throws KernelError EOPNOTSUPP for a type that the driver does not have.
   */
  hardwareInformation(device: BoundDevice, type?: number): HardwareInformation {
    this.assertOpen();
    return hardwareInformation(this.#descriptor, device.id, type);
  }

  /** A new queue for the page requests of devices. IOMMU_FAULT_QUEUE_ALLOC. Linux 6.11. */
  createFaultQueue(): FaultQueue {
    this.assertOpen();
    return FaultQueue.create(this, this.#descriptor);
  }

  /**
   * The address space that VFIO's own requests are about when they are made on this file, as a `Container` over it makes
   * them: the one that was set, or that the kernel made when the first group was put into the file; undefined while there
   * is none. It is owned from now on: closing this destroys it. IOMMU_VFIO_IOAS. Linux 6.2.
   */
  compatibilityIoas(): Ioas | undefined {
    this.assertOpen();
    const request = vfioIoas(IOMMU_VFIO_IOAS_GET);
    const result = this.kernel.ioctl(this.fd, IOMMU_VFIO_IOAS.number, request.bytes);
    if (result === -errno.ENODEV) return undefined;
    check(result, { syscall: 'ioctl', request: IOMMU_VFIO_IOAS, path: this.#descriptor.path });
    return this.addressSpaces.find(({ id }) => id === request.ioas_id) ?? Ioas.adopt(this, this.#descriptor, request.ioas_id);
  }

  /**
   * Sets the address space of VFIO's own requests, or with undefined that there is none. Devices that are open stay where
   * they are. IOMMU_VFIO_IOAS. Linux 6.2.
   */
  setCompatibilityIoas(ioas: Ioas | undefined): void {
    ioas?.assertOpen();
    if (ioas !== undefined && ioas.fd !== this.fd) throw expected(`an address space of this ${this.label}`, 'ioas', ioas.label);
    this.#descriptor.ioctl(IOMMU_VFIO_IOAS, vfioIoas(ioas === undefined ? IOMMU_VFIO_IOAS_CLEAR : IOMMU_VFIO_IOAS_SET, ioas?.id).bytes);
  }

  /**
   * This process takes over the account of the locked memory of everything that is mapped in the open file: what is left to
   * do when it got the fd from the process before it. IOMMU_IOAS_CHANGE_PROCESS. Linux 6.13.
   * @throws KernelError EINVAL when something is mapped that is not memory of a file; ENOMEM over RLIMIT_MEMLOCK.
   */
  changeProcess(): void {
    const request = iommu_ioas_change_process.create();
    request.size = iommu_ioas_change_process.size;
    this.#descriptor.ioctl(IOMMU_IOAS_CHANGE_PROCESS, request.bytes);
  }

  /**
   * A value of IOMMU_OPTION: `option` is an IOMMU_OPTION_ constant, `object` the id it is about, 0 for the whole file.
   * Linux 6.2.
   * @throws KernelError EOPNOTSUPP for an option the kernel does not know.
   */
  option(option: number, object = 0): bigint {
    return this.#option(IOMMU_OPTION_OP_GET, option, object, 0n);
  }

  /** Sets it. */
  setOption(option: number, value: bigint, object = 0): void {
    this.#option(IOMMU_OPTION_OP_SET, option, object, value);
  }

  /** Whose locked memory what is mapped counts as. IOMMU_OPTION_RLIMIT_MODE. Linux 6.2. */
  lockedMemoryAccount(): LockedMemoryAccount {
    return this.option(IOMMU_OPTION_RLIMIT_MODE) === 0n ? 'user' : 'process';
  }

  /**
   * Chooses whose locked memory it counts as, before there is any address space. Takes CAP_SYS_RESOURCE.
   * @throws KernelError EBUSY once something was created; EPERM.
   */
  setLockedMemoryAccount(account: LockedMemoryAccount): void {
    if (account !== 'user' && account !== 'process') throw expected("'user' or 'process'", 'account', account);
    this.setOption(IOMMU_OPTION_RLIMIT_MODE, account === 'user' ? 0n : 1n);
  }

  #option(operation: number, option: number, object: number, value: bigint): bigint {
    const request = optionRequest(operation, option, object, value);
    this.#descriptor.ioctl(IOMMU_OPTION, request.bytes);
    return request.val64;
  }

  /** Devices go first: what they are attached to cannot be destroyed. Page tables follow with their address spaces, and then queues. */
  protected override quiesce(): void {
    const { children } = this;
    const first = children.filter((child) => !(child instanceof Ioas) && !(child instanceof FaultQueue));
    finishAll([...first, ...this.addressSpaces].map((child) => () => child.close()));
  }

  protected override release(): void {
    this.#descriptor.close();
  }
}

function optionRequest(operation: number, option: number, object: number, value: bigint): ReturnType<typeof iommu_option.create> {
  const request = iommu_option.create();
  return Object.assign(request, { size: iommu_option.size, option_id: option, op: operation, object_id: object, val64: value });
}

function vfioIoas(op: number, id = 0): ReturnType<typeof iommu_vfio_ioas.create> {
  const request = iommu_vfio_ioas.create();
  return Object.assign(request, { size: iommu_vfio_ioas.size, op, ioas_id: id });
}
