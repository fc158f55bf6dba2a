/** A VFIO device fd. The order of checks is that of the kernel's vfio_pci_core.c. */
import { errno } from '../abi/errno.js';
import { MAP_SHARED } from '../abi/system.js';
import { VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_GET_INFO, vfio_device_info } from '../abi/vfio/device.js';
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_info,
  vfio_irq_set,
} from '../abi/vfio/irq.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_region_info,
} from '../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../abi/vfio/reset.js';
import type { Mapping } from '../kernel/kernel.js';
import type { Argument } from './argument.js';
import { RegisterMapping } from './mapping.js';
import { OpenFile, type FdTable } from './open-file.js';
import { configSize, locate, regionSpan, type VfioPciDevice } from './vfio-pci/device.js';

const pageSize = 4096;

export class DeviceFile extends OpenFile {
  readonly #device: VfioPciDevice;
  readonly #fds: FdTable;
  readonly #released: () => void;

  constructor(device: VfioPciDevice, fds: FdTable, released: () => void) {
    super();
    this.#device = device;
    this.#fds = fds;
    this.#released = released;
  }

  override ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_DEVICE_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_DEVICE_GET_REGION_INFO.number:
        return this.#getRegionInfo(argument);
      case VFIO_DEVICE_GET_IRQ_INFO.number:
        return this.#getIrqInfo(argument);
      case VFIO_DEVICE_SET_IRQS.number:
        return this.#setIrqs(argument);
      case VFIO_DEVICE_RESET.number:
        return this.#device.hardware.reset();
      default:
        return -errno.ENOTTY;
    }
  }

  override pread(bytes: Uint8Array, offset: number): number {
    return this.#device.read(bytes, offset);
  }

  override pwrite(bytes: Uint8Array, offset: number): number {
    return this.#device.write(bytes, offset);
  }

  override mmap(length: number, protection: number, flags: number, offset: number): Mapping | number {
    const { index, at } = locate(offset);
    if (index >= VFIO_PCI_NUM_REGIONS || (flags & MAP_SHARED) === 0 || index >= VFIO_PCI_ROM_REGION_INDEX) return -errno.EINVAL;
    const size = this.#device.barSize(index);
    // The kernel hands out whole pages: a BAR that is smaller than one cannot be mapped alone.
    if (size < pageSize || at + Math.ceil(length / pageSize) * pageSize > size) return -errno.EINVAL;
    this.retain();
    return new RegisterMapping(this.#device, index, at, length, protection, () => this.drop());
  }

  #getInfo(argument: Argument): number {
    const info = argument.struct(vfio_device_info, VFIO_DEVICE_GET_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_INFO.minimum) return -errno.EINVAL;
    info.flags = VFIO_DEVICE_FLAGS_PCI | this.#device.hardware.resetFlag;
    info.num_regions = VFIO_PCI_NUM_REGIONS;
    info.num_irqs = VFIO_PCI_NUM_IRQS;
    return argument.copyTo(info.bytes.subarray(0, info.argsz)) ? 0 : -errno.EFAULT;
  }

  #getRegionInfo(argument: Argument): number {
    const info = argument.struct(vfio_region_info, VFIO_DEVICE_GET_REGION_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_REGION_INFO.minimum) return -errno.EINVAL;
    if (info.index >= VFIO_PCI_NUM_REGIONS || info.index === VFIO_PCI_VGA_REGION_INDEX) return -errno.EINVAL;
    info.flags = 0;
    info.size = 0n;
    if (info.index === VFIO_PCI_CONFIG_REGION_INDEX) {
      info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
      info.size = BigInt(configSize);
    } else if (info.index <= VFIO_PCI_BAR5_REGION_INDEX) {
      const size = this.#device.barSize(info.index);
      if (size > 0) info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
      if (size >= pageSize) info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
      info.size = BigInt(size);
    }
    info.offset = BigInt(info.index) * BigInt(regionSpan);
    return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
  }

  #getIrqInfo(argument: Argument): number {
    const info = argument.struct(vfio_irq_info, VFIO_DEVICE_GET_IRQ_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_DEVICE_GET_IRQ_INFO.minimum || info.index >= VFIO_PCI_NUM_IRQS) return -errno.EINVAL;
    info.count = this.#device.irqCount(info.index);
    if (info.index === VFIO_PCI_ERR_IRQ_INDEX && info.count === 0) return -errno.EINVAL;
    info.flags = VFIO_IRQ_INFO_EVENTFD;
    if (info.index === VFIO_PCI_INTX_IRQ_INDEX) info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
    else info.flags |= VFIO_IRQ_INFO_NORESIZE;
    return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
  }

  /** vfio_pci_ioctl_set_irqs, with vfio_set_irqs_validate_and_prepare. */
  #setIrqs(argument: Argument): number {
    const { minimum } = VFIO_DEVICE_SET_IRQS;
    const set = argument.struct(vfio_irq_set, minimum);
    if (set === undefined) return -errno.EFAULT;
    const { argsz, flags, index, start, count } = set;
    const known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (argsz < minimum || index >= VFIO_PCI_NUM_IRQS || count >= 0xffff_ffff - start || (flags & ~known) !== 0) return -errno.EINVAL;
    const available = this.#device.irqCount(index);
    if (start >= available || start + count > available) return -errno.EINVAL;
    const element = { [VFIO_IRQ_SET_DATA_NONE]: 0, [VFIO_IRQ_SET_DATA_BOOL]: 1, [VFIO_IRQ_SET_DATA_EVENTFD]: 4 }[
      flags & VFIO_IRQ_SET_DATA_TYPE_MASK
    ];
    if (element === undefined || argsz - minimum < count * element) return -errno.EINVAL;
    const data = argument.copyFrom(count * element, minimum);
    if (data === undefined) return -errno.EFAULT;
    return this.#device.irqs.set({ flags, index, start, count, data }, this.#fds);
  }

  protected override release(): void {
    this.#released();
  }
}
