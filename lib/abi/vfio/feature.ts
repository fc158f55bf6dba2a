/** linux/vfio.h: device features, one request for many things, and those of them that are a section of their own nowhere. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, fd, flags, flexible, reserved, struct, u32, u64, u8 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** The low bits of `flags` are the feature's number. */
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 1 << 16;
export const VFIO_DEVICE_FEATURE_SET = 1 << 17;
/** With GET, SET or both: whether the device has the feature with that. Nothing else happens. */
export const VFIO_DEVICE_FEATURE_PROBE = 1 << 18;

export const vfio_device_feature = struct('vfio_device_feature', {
  argsz,
  flags: flags('VFIO_DEVICE_FEATURE_'),
  data: flexible(u8),
});

/** ENOTTY for a feature the device does not have; EINVAL for an operation the feature does not have. Linux 5.7. */
export const VFIO_DEVICE_FEATURE = request('VFIO_DEVICE_FEATURE', _IO(VFIO_TYPE, VFIO_BASE + 17), {
  on: 'device',
  argument: vfio_device_feature,
  minimum: 'flags',
});

/** SET: the 16 bytes of a UUID that who opens a virtual function must know. Linux 5.7. */
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;

/** SET: the device may sleep while nothing uses it; the next access wakes it. Linux 6.1. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
/** SET, with an eventfd that is signalled when the device wakes by itself. Linux 6.1. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;

export const vfio_device_low_power_entry_with_wakeup = struct('vfio_device_low_power_entry_with_wakeup', {
  wakeup_eventfd: fd,
  reserved,
});

/** SET. Linux 6.1. */
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;

/** SET: bus mastering of a device that has no command register, on vfio-cdx. Linux 6.7. */
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 10;
export const VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0;
export const VFIO_DEVICE_FEATURE_SET_MASTER = 1;

export const vfio_device_feature_bus_master = struct('vfio_device_feature_bus_master', {
  op: u32,
});

/** GET: a dma-buf over parts of a region, for other devices to reach. Its fd is the result of the ioctl. Linux 6.19. */
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11;

export const vfio_region_dma_range = struct('vfio_region_dma_range', {
  offset: u64,
  length: u64,
});

/** `open_flags` are those of open(2). */
export const vfio_device_feature_dma_buf = struct('vfio_device_feature_dma_buf', {
  region_index: u32,
  open_flags: u32,
  flags: u32,
  nr_ranges: u32,
  dma_ranges: flexible(vfio_region_dma_range, 'nr_ranges'),
});

/** GET: the error record of a PCI device on s390; ENOMSG where none is pending. Linux 7.3. */
export const VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13;

/** `data` points to as many bytes as the ZPCI_BASE capability's `ccdf_err_length` says. */
export const vfio_device_feature_zpci_err = struct('vfio_device_feature_zpci_err', {
  data: address,
});
