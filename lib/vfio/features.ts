import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '../abi/vfio/feature.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { expected, KernelError } from '../kernel/error.js';

const bits = { get: VFIO_DEVICE_FEATURE_GET, set: VFIO_DEVICE_FEATURE_SET } as const;

/** Reading a feature, or setting it. @useDeclaredType */
export type FeatureOperation = keyof typeof bits;

/** What says that a device, its driver or the kernel does not have a feature. */
const absent = new Set(['ENOTTY', 'EINVAL', 'EOPNOTSUPP']);

/** Device features, by number: VFIO_DEVICE_FEATURE with nothing added. Linux 5.7. */
export class Features {
  readonly #descriptor: Descriptor;

  /** @internal */
  constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  /** Whether the device has the feature with all of these operations. Changes nothing. */
  has(feature: number, ...operations: readonly FeatureOperation[]): boolean {
    const flags = operations.reduce((sum, operation) => sum | bits[operation], VFIO_DEVICE_FEATURE_PROBE);
    try {
      this.#request(feature, flags, new Uint8Array());
      return true;
    } catch (error) {
      if (error instanceof KernelError && absent.has(error.code)) return false;
      throw error;
    }
  }

  /** Gets a feature: `payload` goes in and comes back. Returns the ioctl's result, which for some features is an fd. */
  get(feature: number, payload: Uint8Array): number {
    return this.#request(feature, VFIO_DEVICE_FEATURE_GET, payload);
  }

  /** Sets a feature. What the kernel answers in `payload` comes back in it. */
  set(feature: number, payload: Uint8Array = new Uint8Array()): number {
    return this.#request(feature, VFIO_DEVICE_FEATURE_SET, payload);
  }

  #request(feature: number, flags: number, payload: Uint8Array): number {
    if (!Number.isInteger(feature) || feature < 0 || feature > VFIO_DEVICE_FEATURE_MASK)
      throw expected(`an integer from 0 to ${VFIO_DEVICE_FEATURE_MASK}`, 'feature', feature);
    const request = vfio_device_feature.create(payload.byteLength);
    request.argsz = request.bytes.byteLength;
    request.flags = flags | feature;
    request.data.set(payload);
    const result = this.#descriptor.ioctl(VFIO_DEVICE_FEATURE, request.bytes);
    payload.set(request.data);
    return result;
  }
}
