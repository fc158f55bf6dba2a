/** What the sample drivers of mediated devices share: config space in memory, and accesses in pieces. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../abi/vfio/device.js';
import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_PCI_NUM_IRQS, vfio_irq_info } from '../../abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../abi/vfio/region.js';
import type { Argument } from '../argument.js';
import type { FdTable } from '../open-file.js';
import type { KernelProfile } from '../profile.js';
import { VfioDevice } from '../vfio-device.js';

/** The drivers say so of their config space, one byte short; an access may begin at its last byte and end past it. */
export const configSize = 0xff;

/** Where a region is in the device's file, and what may be done with it. */
export interface RegionPlace {
  readonly size: number;
  readonly offset: number;
  readonly flags: number;
  /** What more there is to say of it. */
  readonly capability?: Uint8Array;
}

/** Config space as the drivers have it: bytes, and what a write does is the driver's. */
export class ConfigSpace {
  readonly #bytes = new DataView(new ArrayBuffer(configSize + 5));

  set8(offset: number, value: number): void {
    this.#bytes.setUint8(offset, value);
  }
  set16(offset: number, value: number): void {
    this.#bytes.setUint16(offset, value, true);
  }
  set32(offset: number, value: number): void {
    this.#bytes.setUint32(offset, value, true);
  }
  get8(offset: number): number {
    return this.#bytes.getUint8(offset);
  }

  read(piece: Uint8Array, offset: number): void {
    for (let i = 0; i < piece.byteLength && offset + i < this.#bytes.byteLength; i += 1) piece[i] = this.#bytes.getUint8(offset + i);
  }
}

/** The first four bytes of a written piece as the drivers read them; those a shorter piece lacks are whatever was there. */
export function word(piece: Uint8Array): number {
  const bytes = new Uint8Array(4);
  bytes.set(piece);
  return new DataView(bytes.buffer).getUint32(0, true);
}

export abstract class MediatedDevice extends VfioDevice {
  readonly #regions: number;
  /** As the last GET_INFO gave it. The drivers keep the answer, and before there was one know no interrupt. */
  #irqs = 0;

  constructor(uuid: string, kernel: KernelProfile, regions: number) {
    super(uuid, kernel);
    this.#regions = regions;
  }

  /** Interrupts there are to ask for, which is none before GET_INFO. */
  protected get irqs(): number {
    return this.#irqs;
  }

  /** One access of 4, 2 or 1 bytes; false refuses the transfer. */
  protected abstract access(piece: Uint8Array, position: number, write: boolean): boolean;
  /** -errno for an index there is none of. */
  protected abstract region(index: number): RegionPlace | number;
  /** Fills in what an interrupt is: 0 or -errno. */
  protected abstract irqInfo(info: { readonly index: number; flags: number; count: number }): number;
  /** A request that the drivers do not share. */
  protected abstract request(request: number, argument: Argument, fds: FdTable): number;

  override ioctl(request: number, argument: Argument, fds: FdTable): number {
    switch (request) {
      case VFIO_DEVICE_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_DEVICE_GET_REGION_INFO.number:
        return this.getRegionInfo(argument);
      case VFIO_DEVICE_GET_IRQ_INFO.number:
        return this.#getIrqInfo(argument);
      default:
        return this.request(request, argument, fds);
    }
  }

  override read(bytes: Uint8Array, offset: number): number {
    return this.#transfer(bytes, offset, false);
  }

  override write(bytes: Uint8Array, offset: number): number {
    return this.#transfer(bytes, offset, true);
  }

  /** Into the widest aligned pieces. One that is refused is EFAULT, whatever came before it. */
  #transfer(bytes: Uint8Array, offset: number, write: boolean): number {
    for (let done = 0; done < bytes.byteLength; ) {
      const position = offset + done;
      const left = bytes.byteLength - done;
      const width = [4, 2].find((wide) => left >= wide && position % wide === 0) ?? 1;
      if (!this.access(bytes.subarray(done, done + width), position, write)) return -errno.EFAULT;
      done += width;
    }
    return bytes.byteLength;
  }

  #getInfo(argument: Argument): number {
    const info = argument.struct(vfio_device_info, VFIO_DEVICE_GET_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_INFO.minimum) return -errno.EINVAL;
    info.flags = VFIO_DEVICE_FLAGS_PCI;
    info.num_regions = this.#regions;
    info.num_irqs = VFIO_PCI_NUM_IRQS;
    this.#irqs = VFIO_PCI_NUM_IRQS;
    return argument.copyTo(info.bytes.subarray(0, VFIO_DEVICE_GET_INFO.minimum)) ? 0 : -errno.EFAULT;
  }

  /** vfio_get_region_info. Where it is each driver's own, it comes to the same unless there is a capability. */
  protected getRegionInfo(argument: Argument): number {
    const info = argument.struct(vfio_region_info, VFIO_DEVICE_GET_REGION_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_REGION_INFO.minimum) return -errno.EINVAL;
    const place = this.region(info.index);
    if (typeof place === 'number') return place;
    info.size = BigInt(place.size);
    info.offset = BigInt(place.offset);
    info.flags = place.flags;
    if (place.capability !== undefined) {
      const needed = vfio_region_info.size + place.capability.byteLength;
      const fits = info.argsz >= needed;
      if (!fits) info.argsz = needed;
      else if (!argument.copyTo(place.capability, vfio_region_info.size)) return -errno.EFAULT;
      info.cap_offset = fits ? vfio_region_info.size : 0;
    }
    return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
  }

  #getIrqInfo(argument: Argument): number {
    const info = argument.struct(vfio_irq_info, VFIO_DEVICE_GET_IRQ_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_IRQ_INFO.minimum || info.index >= this.irqs) return -errno.EINVAL;
    const result = this.irqInfo(info);
    if (result !== 0) return result;
    return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
  }
}
