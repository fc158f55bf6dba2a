/** Calls at the seam, with the arguments a test wants to break. Every fd opened here is closed by `closeAll`. */
import { describeErrno } from '../../lib/abi/errno.js';
import { O_RDWR } from '../../lib/abi/system.js';
import { VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from '../../lib/abi/vfio/container.js';
import { VFIO_DEVICE_FEATURE, vfio_device_feature } from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_DATA_EVENTFD, vfio_irq_set } from '../../lib/abi/vfio/irq.js';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER } from '../../lib/abi/vfio/group.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import type { Place } from './subject.js';

/** An answer as text: 'EINVAL', or the number. */
export function answer(result: number): string {
  return result < 0 ? describeErrno(-result).code : String(result);
}

/** How many bytes were read and, after a colon, which they are, in hexadecimal; or the errno's name. */
export function readAnswer(kernel: Kernel, fd: number, offset: number, length: number): string {
  const bytes = new Uint8Array(length);
  const result = kernel.pread(fd, bytes, offset);
  return result < 0 ? answer(result) : `${result}:${Buffer.from(bytes.subarray(0, result)).toString('hex')}`;
}

/** What is not told is that of all the data. */
export interface IrqSet {
  readonly flags: number;
  readonly index: number;
  readonly start?: number;
  readonly data?: ArrayLike<number> | undefined;
  readonly count?: number | undefined;
  readonly argsz?: number | undefined;
}

export class Seam {
  readonly kernel: Kernel;
  readonly #open = new Set<number>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** The fd, to be closed by `closeAll`, or -errno. */
  open(path: string): number {
    return this.#keep(this.kernel.open(path, O_RDWR));
  }

  container(): number {
    return this.open('/dev/vfio/vfio');
  }

  group({ group }: Place): number {
    return this.open(`/dev/vfio/${group}`);
  }

  noIommuGroup({ group }: Place): number {
    return this.open(`/dev/vfio/noiommu-${group}`);
  }

  eventfd(flags = 0x800): number {
    return this.#keep(this.kernel.eventfd(0, flags));
  }

  /** How often an eventfd was signalled since the last look. */
  count(eventfd: number): number {
    const counter = new BigUint64Array(1);
    return this.kernel.read(eventfd, new Uint8Array(counter.buffer)) === 8 ? Number(counter[0]) : 0;
  }

  memfd(size: number): number {
    return this.#keep(this.kernel.memfd('test', size, 0));
  }

  /** An fd that came otherwise. */
  adopt(fd: number): number {
    return this.#keep(fd);
  }

  setContainer(group: number, container: number): number {
    return this.kernel.ioctl(group, VFIO_GROUP_SET_CONTAINER.number, new Uint8Array(new Int32Array([container]).buffer));
  }

  setIommu(container: number, type = VFIO_TYPE1v2_IOMMU): number {
    return this.kernel.ioctl(container, VFIO_SET_IOMMU.number, type);
  }

  device(group: number, name: string): number {
    return this.#keep(this.kernel.ioctl(group, VFIO_GROUP_GET_DEVICE_FD.number, new TextEncoder().encode(`${name}\0`)));
  }

  /** VFIO_DEVICE_FEATURE; the payload is answered in place. */
  feature(device: number, flags: number, payload: Uint8Array): number {
    const request = vfio_device_feature.create(payload.byteLength);
    Object.assign(request, { argsz: request.bytes.byteLength, flags });
    request.data.set(payload);
    const result = this.kernel.ioctl(device, VFIO_DEVICE_FEATURE.number, request.bytes);
    payload.set(request.data);
    return result;
  }

  /** VFIO_DEVICE_SET_IRQS, with eventfds or bytes as the flags say. */
  setIrqs(device: number, { flags, index, start = 0, data = [], count = data.length, argsz }: IrqSet): string {
    const bytes = (flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0 ? new Uint8Array(Int32Array.from(data).buffer) : Uint8Array.from(data);
    const request = vfio_irq_set.create(bytes.byteLength);
    Object.assign(request, { argsz: argsz ?? request.bytes.byteLength, flags, index, start, count });
    request.data.set(bytes);
    return answer(this.kernel.ioctl(device, VFIO_DEVICE_SET_IRQS.number, request.bytes));
  }

  /** All three, ready to use. Throws with the step that failed. */
  ready(place: Place, type = VFIO_TYPE1v2_IOMMU): { container: number; group: number; device: number } {
    const step = (name: string, result: number): number => {
      if (result < 0) throw new Error(`${name}: ${answer(result)}`);
      return result;
    };
    const container = step('open container', this.container());
    const group = step('open group', this.group(place));
    step('SET_CONTAINER', this.setContainer(group, container));
    step('SET_IOMMU', this.setIommu(container, type));
    return { container, group, device: step('GET_DEVICE_FD', this.device(group, place.address)) };
  }

  close(fd: number): number {
    this.#open.delete(fd);
    return this.kernel.close(fd);
  }

  closeAll(): void {
    for (const fd of [...this.#open].reverse()) this.close(fd);
  }

  #keep(fd: number): number {
    if (fd >= 0) this.#open.add(fd);
    return fd;
  }
}
