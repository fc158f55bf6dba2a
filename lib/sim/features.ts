/** VFIO_DEVICE_FEATURE, as far as all drivers share it: the checks of the kernel's vfio_main.c. */
import { errno } from '../abi/errno.js';
import type { StructType } from '../abi/struct.js';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '../abi/vfio/feature.js';
import type { Argument } from './argument.js';

const known = VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_PROBE;

/** One feature that is asked for or set. */
export class FeatureRequest {
  readonly feature: number;
  readonly #flags: number;
  readonly #room: number;
  readonly #argument: Argument;

  private constructor(flags: number, room: number, argument: Argument) {
    this.feature = flags & VFIO_DEVICE_FEATURE_MASK;
    this.#flags = flags;
    this.#room = room;
    this.#argument = argument;
  }

  /** The request, or -errno. */
  static take(argument: Argument): FeatureRequest | number {
    const { minimum } = VFIO_DEVICE_FEATURE;
    const header = argument.struct(vfio_device_feature, minimum);
    if (header === undefined) return -errno.EFAULT;
    const { argsz, flags } = header;
    if (argsz < minimum || (flags & ~known) !== 0) return -errno.EINVAL;
    const both = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET;
    if ((flags & VFIO_DEVICE_FEATURE_PROBE) === 0 && (flags & both) === both) return -errno.EINVAL;
    return new FeatureRequest(flags, argsz - minimum, argument);
  }

  get isGet(): boolean {
    return (this.#flags & VFIO_DEVICE_FEATURE_GET) !== 0;
  }

  /**
   * vfio_check_feature: 1 to go on, else the answer. `operations` are what the feature has of GET and SET, `size` the bytes
   * its payload takes.
   */
  check(operations: number, size: number): number {
    const asked = this.#flags & (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET);
    if ((asked & ~operations) !== 0) return -errno.EINVAL;
    if ((this.#flags & VFIO_DEVICE_FEATURE_PROBE) !== 0) return 0;
    return asked === 0 || this.#room < size ? -errno.EINVAL : 1;
  }

  /** The payload's struct as the caller filled it; undefined is EFAULT. */
  payload<T extends StructType>(type: T): ReturnType<T['create']> | undefined {
    const bytes = this.bytes(0, type.size);
    return bytes && (type.copy(bytes) as ReturnType<T['create']>);
  }

  /** `size` bytes of the payload; undefined is EFAULT. */
  bytes(offset: number, size: number): Uint8Array | undefined {
    return this.#argument.copyFrom(size, VFIO_DEVICE_FEATURE.minimum + offset);
  }

  /** `size` bytes a pointer in the payload leads to; undefined is EFAULT. */
  readAt(address: bigint, size: number): Uint8Array | undefined {
    return this.#argument.readAt(address, size);
  }

  /** False is EFAULT. */
  writeAt(address: bigint, bytes: Uint8Array): boolean {
    return this.#argument.writeAt(address, bytes);
  }

  /** Gives the payload back: 0 or -EFAULT. */
  answer(bytes: Uint8Array): number {
    return this.#argument.copyTo(bytes, VFIO_DEVICE_FEATURE.minimum) ? 0 : -errno.EFAULT;
  }
}
