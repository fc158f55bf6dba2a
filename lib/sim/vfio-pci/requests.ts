/** The requests of a vfio-pci device. The order of checks is that of the kernel's vfio_pci_core.c. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../abi/vfio/device.js';
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_info,
} from '../../abi/vfio/irq.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_region_info,
} from '../../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../abi/vfio/reset.js';
import type { Argument } from '../argument.js';
import { takeIrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';
import type { PciFunction } from '../pci/function.js';
import type { Irqs } from './irqs.js';
import { configSize, regionSpan } from './regions.js';

const pageSize = 4096;

/** What the requests ask of the device: a `VfioPciDevice`. */
interface Target {
  readonly hardware: PciFunction;
  readonly irqs: Irqs;
  barSize(bar: number): number;
  irqCount(index: number): number;
}

export function vfioPciIoctl(device: Target, request: number, argument: Argument, fds: FdTable): number {
  switch (request) {
    case VFIO_DEVICE_GET_INFO.number:
      return getInfo(device, argument);
    case VFIO_DEVICE_GET_REGION_INFO.number:
      return getRegionInfo(device, argument);
    case VFIO_DEVICE_GET_IRQ_INFO.number:
      return getIrqInfo(device, argument);
    case VFIO_DEVICE_SET_IRQS.number:
      return setIrqs(device, argument, fds);
    case VFIO_DEVICE_RESET.number:
      return device.hardware.reset();
    default:
      return -errno.ENOTTY;
  }
}

function getInfo(device: Target, argument: Argument): number {
  const info = argument.struct(vfio_device_info, VFIO_DEVICE_GET_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < VFIO_DEVICE_GET_INFO.minimum) return -errno.EINVAL;
  info.flags = VFIO_DEVICE_FLAGS_PCI | device.hardware.resetFlag;
  info.num_regions = VFIO_PCI_NUM_REGIONS;
  info.num_irqs = VFIO_PCI_NUM_IRQS;
  return argument.copyTo(info.bytes.subarray(0, info.argsz)) ? 0 : -errno.EFAULT;
}

function getRegionInfo(device: Target, argument: Argument): number {
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
    const size = device.barSize(info.index);
    if (size > 0) info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    if (size >= pageSize) info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
    info.size = BigInt(size);
  }
  info.offset = BigInt(info.index) * BigInt(regionSpan);
  return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
}

function getIrqInfo(device: Target, argument: Argument): number {
  const info = argument.struct(vfio_irq_info, VFIO_DEVICE_GET_IRQ_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < VFIO_DEVICE_GET_IRQ_INFO.minimum || info.index >= VFIO_PCI_NUM_IRQS) return -errno.EINVAL;
  info.count = device.irqCount(info.index);
  if (info.index === VFIO_PCI_ERR_IRQ_INDEX && info.count === 0) return -errno.EINVAL;
  info.flags = VFIO_IRQ_INFO_EVENTFD;
  if (info.index === VFIO_PCI_INTX_IRQ_INDEX) info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  else info.flags |= VFIO_IRQ_INFO_NORESIZE;
  return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
}

function setIrqs(device: Target, argument: Argument, fds: FdTable): number {
  const set = takeIrqSet(argument, VFIO_PCI_NUM_IRQS, (index) => device.irqCount(index));
  return typeof set === 'number' ? set : device.irqs.set(set, fds);
}
