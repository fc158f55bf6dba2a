/** linux/vfio.h: resetting a device, alone or with all that share its bus. */
import { _IO, request } from '../ioctl.js';
import { argsz, fd, flags, flexible, sharing, since, struct, u16, u32, u8 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Resets the function. EINVAL without `VFIO_DEVICE_FLAGS_RESET`. Linux 3.6. */
export const VFIO_DEVICE_RESET = request('VFIO_DEVICE_RESET', _IO(VFIO_TYPE, VFIO_BASE + 11), {
  on: 'device',
  argument: 'none',
});

/** `devid` of a device that is not open, and whose group the caller's iommufd has, so that nobody else can open it. */
export const VFIO_PCI_DEVID_OWNED = 0;
/** `devid` of a device that somebody else has or could have, or that no VFIO driver has. */
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;

/** A function the reset takes along: by group number, or by iommufd's id where the flags say so. */
export const vfio_pci_dependent_device = struct('vfio_pci_dependent_device', {
  group_id: u32,
  devid: sharing('group_id', since('6.6', u32)),
  segment: u16,
  bus: u8,
  devfn: u8,
});

/** The elements have `devid`. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1 << 0;
/** The caller's iommufd has all of them. */
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1 << 1;

/** Too short is ENOSPC, with `count` filled. */
export const vfio_pci_hot_reset_info = struct('vfio_pci_hot_reset_info', {
  argsz,
  flags: flags('VFIO_PCI_HOT_RESET_FLAG_'),
  count: u32,
  devices: flexible(vfio_pci_dependent_device, 'count'),
});

/** What a reset of the bus or slot would take along. ENODEV where none is possible. Linux 3.12. */
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = request('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', _IO(VFIO_TYPE, VFIO_BASE + 12), {
  on: 'device',
  argument: vfio_pci_hot_reset_info,
  minimum: 'count',
});

export const vfio_pci_hot_reset = struct('vfio_pci_hot_reset', {
  argsz,
  flags: u32,
  count: u32,
  group_fds: flexible(fd, 'count'),
});

/**
 * Resets the bus or slot. The caller proves that it has all that goes along: by the fds of their groups, or, on a device
 * opened by its own node, with no fds. Linux 3.12.
 */
export const VFIO_DEVICE_PCI_HOT_RESET = request('VFIO_DEVICE_PCI_HOT_RESET', _IO(VFIO_TYPE, VFIO_BASE + 13), {
  on: 'device',
  argument: vfio_pci_hot_reset,
  minimum: 'count',
});
