/** The requests of a vfio-pci device. The order of checks is that of the kernel's vfio_pci_core.c. */
import { buildChain, vfio_info_cap_header } from '../../abi/chain.js';
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_IOEVENTFD } from '../../abi/vfio/ioeventfd.js';
import { VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../abi/vfio/device.js';
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_info,
} from '../../abi/vfio/irq.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_region_info,
} from '../../abi/vfio/region.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET, VFIO_DEVICE_RESET } from '../../abi/vfio/reset.js';
import type { Argument } from '../argument.js';
import { takeIrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';
import type { PciFunction } from '../pci/function.js';
import { getHotResetInfo, hotReset, type ResetCaller } from './hot-reset.js';
import type { IoEventfds } from './ioeventfds.js';
import type { Irqs } from './irqs.js';
import { regionSpan } from './regions.js';
import { vgaSize, type Vga } from './vga.js';

/** What the requests ask of the device: a `VfioPciDevice`. */
interface Target extends ResetCaller {
  readonly hardware: PciFunction;
  readonly irqs: Irqs;
  readonly ioeventfds: IoEventfds;
  readonly vga: Vga;
  readonly configSize: number;
  barSize(bar: number): number;
  canMap(bar: number): boolean;
  irqCount(index: number): number;
  readonly canReset: boolean;
  readonly romSize: number;
  reset(): number;
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
      return device.reset();
    case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.number:
      return getHotResetInfo(device, argument);
    case VFIO_DEVICE_PCI_HOT_RESET.number:
      return hotReset(device, argument, fds);
    case VFIO_DEVICE_IOEVENTFD.number:
      return device.ioeventfds.set(argument, fds);
    default:
      return -errno.ENOTTY;
  }
}

function getInfo(device: Target, argument: Argument): number {
  const info = argument.struct(vfio_device_info, VFIO_DEVICE_GET_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < VFIO_DEVICE_GET_INFO.minimum) return -errno.EINVAL;
  info.flags = VFIO_DEVICE_FLAGS_PCI | (device.canReset ? VFIO_DEVICE_FLAGS_RESET : 0);
  info.num_regions = VFIO_PCI_NUM_REGIONS;
  info.num_irqs = VFIO_PCI_NUM_IRQS;
  return argument.copyTo(info.bytes.subarray(0, info.argsz)) ? 0 : -errno.EFAULT;
}

function getRegionInfo(device: Target, argument: Argument): number {
  const info = argument.struct(vfio_region_info, VFIO_DEVICE_GET_REGION_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  const room = info.argsz;
  if (room < VFIO_DEVICE_GET_REGION_INFO.minimum) return -errno.EINVAL;
  if (info.index >= VFIO_PCI_NUM_REGIONS || (info.index === VFIO_PCI_VGA_REGION_INDEX && !device.vga.exists)) return -errno.EINVAL;
  const region = describeRegion(device, info.index);
  const chain = buildChain(region.capabilities, vfio_region_info.size, 8);
  info.flags = region.flags;
  info.size = BigInt(region.size);
  info.offset = BigInt(info.index) * BigInt(regionSpan);
  if (chain.byteLength > 0) {
    info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
    const fits = room >= vfio_region_info.size + chain.byteLength;
    info.cap_offset = fits ? vfio_region_info.size : 0;
    if (!fits) info.argsz = vfio_region_info.size + chain.byteLength;
    else if (!argument.copyTo(chain, vfio_region_info.size)) return -errno.EFAULT;
  }
  return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
}

function describeRegion(device: Target, index: number): { flags: number; size: number; capabilities: Uint8Array[] } {
  const { msix } = device.hardware;
  const both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { flags: both, size: device.configSize, capabilities: [] };
  if (index === VFIO_PCI_VGA_REGION_INDEX) return { flags: both, size: vgaSize, capabilities: [] };
  if (index === VFIO_PCI_ROM_REGION_INDEX) {
    return { flags: device.romSize === 0 ? 0 : VFIO_REGION_INFO_FLAG_READ, size: device.romSize, capabilities: [] };
  }
  const size = device.barSize(index);
  if (size === 0) return { flags: 0, size, capabilities: [] };
  if (!device.canMap(index)) return { flags: both, size, capabilities: [] };
  const capabilities = msix?.table.bar === index ? [msixMappable()] : [];
  return { flags: both | VFIO_REGION_INFO_FLAG_MMAP, size, capabilities };
}

function msixMappable(): Uint8Array {
  const capability = vfio_info_cap_header.create();
  capability.id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE;
  capability.version = 1;
  return capability.bytes;
}

function getIrqInfo(device: Target, argument: Argument): number {
  const info = argument.struct(vfio_irq_info, VFIO_DEVICE_GET_IRQ_INFO.minimum);
  if (info === undefined) return -errno.EFAULT;
  if (info.argsz < VFIO_DEVICE_GET_IRQ_INFO.minimum || info.index >= VFIO_PCI_NUM_IRQS) return -errno.EINVAL;
  info.count = device.irqCount(info.index);
  if (info.index === VFIO_PCI_ERR_IRQ_INDEX && info.count === 0) return -errno.EINVAL;
  info.flags = VFIO_IRQ_INFO_EVENTFD;
  if (info.index === VFIO_PCI_INTX_IRQ_INDEX) info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  else if (info.index !== VFIO_PCI_MSIX_IRQ_INDEX || !device.irqs.growsMsix) info.flags |= VFIO_IRQ_INFO_NORESIZE;
  return argument.copyTo(info.bytes) ? 0 : -errno.EFAULT;
}

function setIrqs(device: Target, argument: Argument, fds: FdTable): number {
  const set = takeIrqSet(argument, VFIO_PCI_NUM_IRQS, (index) => device.irqCount(index));
  return typeof set === 'number' ? set : device.irqs.set(set, fds);
}
