import { VFIO_DEVICE_IOEVENTFD, vfio_device_ioeventfd } from '../abi/vfio/ioeventfd.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { expected } from '../kernel/error.js';
import { Resource } from '../kernel/resource.js';

export interface IoEventfdOptions {
  /** A memory BAR, 0 to 5. */
  readonly bar: number;
  /** Bytes from the BAR's start: a multiple of the width. */
  readonly offset: number;
  /** Bytes of the write. */
  readonly width: 1 | 2 | 4 | 8;
  readonly value: bigint;
  /** The eventfd whose signal causes the write. It stays its owner's. */
  readonly eventfd: number;
}

/** A register that the kernel writes whenever an eventfd is signalled, until this is closed. Linux 4.17. */
export class IoEventfd extends Resource {
  readonly #descriptor: Descriptor;
  readonly #place: Place;

  private constructor(owner: Resource, descriptor: Descriptor, place: Place) {
    super(`Ioeventfd at 0x${place.offset.toString(16)} of ${descriptor.path}`, owner);
    this.#descriptor = descriptor;
    this.#place = place;
  }

  /** VFIO_DEVICE_IOEVENTFD. `base` is where the BAR begins in the device's file. @internal */
  static create(owner: Resource, descriptor: Descriptor, base: number, options: IoEventfdOptions): IoEventfd {
    const { offset, width, value, eventfd } = options;
    if (![1, 2, 4, 8].includes(width)) throw expected('1, 2, 4 or 8', 'width', width);
    if (!Number.isSafeInteger(offset) || offset < 0 || offset % width !== 0) throw expected(`a multiple of ${width}`, 'offset', offset);
    if (BigInt.asUintN(8 * width, value) !== value) throw expected(`an integer of ${width} bytes`, 'value', value);
    if (!Number.isInteger(eventfd) || eventfd < 0) throw expected("an eventfd's number", 'eventfd', eventfd);
    const place = { offset: BigInt(base + offset), value, width };
    request(descriptor, place, eventfd);
    return new IoEventfd(owner, descriptor, place);
  }

  protected override release(): void {
    request(this.#descriptor, this.#place, -1);
  }
}

/** The register in the device's file, and what is written there. */
interface Place {
  readonly offset: bigint;
  readonly value: bigint;
  readonly width: number;
}

function request(descriptor: Descriptor, { offset, value, width }: Place, eventfd: number): void {
  const request = vfio_device_ioeventfd.create();
  request.argsz = vfio_device_ioeventfd.size;
  // The flag of a width is the width itself, in bytes.
  request.flags = width;
  request.offset = offset;
  request.data = value;
  request.fd = eventfd;
  descriptor.ioctl(VFIO_DEVICE_IOEVENTFD, request.bytes);
}
