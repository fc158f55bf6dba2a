/** linux/vfio.h: what a device fd says of itself. */
import { vfio_info_cap_header } from '../chain.js';
import { _IO, request } from '../ioctl.js';
import { argsz, flags, reserved, since, struct, u32 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';
import {
  vfio_device_info_cap_zpci_base,
  vfio_device_info_cap_zpci_group,
  vfio_device_info_cap_zpci_pfip,
  vfio_device_info_cap_zpci_util,
} from './zdev.js';

export const VFIO_DEVICE_FLAGS_RESET = 1 << 0;
export const VFIO_DEVICE_FLAGS_PCI = 1 << 1;
export const VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2;
export const VFIO_DEVICE_FLAGS_AMBA = 1 << 3;
export const VFIO_DEVICE_FLAGS_CCW = 1 << 4;
export const VFIO_DEVICE_FLAGS_AP = 1 << 5;
export const VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6;
export const VFIO_DEVICE_FLAGS_CAPS = 1 << 7;
export const VFIO_DEVICE_FLAGS_CDX = 1 << 8;

/** What /sys/…/mdev_supported_types/…/device_api says, and what a device's flags say in bits. */
export const VFIO_DEVICE_API_PCI_STRING = 'vfio-pci';
export const VFIO_DEVICE_API_PLATFORM_STRING = 'vfio-platform';
export const VFIO_DEVICE_API_AMBA_STRING = 'vfio-amba';
export const VFIO_DEVICE_API_CCW_STRING = 'vfio-ccw';
export const VFIO_DEVICE_API_AP_STRING = 'vfio-ap';

/** `num_regions` and `num_irqs` are the highest index plus one: some in between may not exist. */
export const vfio_device_info = struct('vfio_device_info', {
  argsz,
  flags: flags('VFIO_DEVICE_FLAGS_'),
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
  pad: since('6.6', reserved),
});

export const VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
export const VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
export const VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
export const VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;
export const VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;

export const VFIO_PCI_ATOMIC_COMP32 = 1 << 0;
export const VFIO_PCI_ATOMIC_COMP64 = 1 << 1;
export const VFIO_PCI_ATOMIC_COMP128 = 1 << 2;

/** Which atomic operations the root port completes for this device. */
export const vfio_device_info_cap_pci_atomic_comp = struct('vfio_device_info_cap_pci_atomic_comp', {
  header: vfio_info_cap_header,
  flags: flags('VFIO_PCI_ATOMIC_'),
  reserved,
});

/** Linux 3.6; capabilities 5.10. */
export const VFIO_DEVICE_GET_INFO = request('VFIO_DEVICE_GET_INFO', _IO(VFIO_TYPE, VFIO_BASE + 7), {
  on: 'device',
  argument: vfio_device_info,
  minimum: 'num_irqs',
  chain: {
    flag: VFIO_DEVICE_FLAGS_CAPS,
    kinds: {
      [VFIO_DEVICE_INFO_CAP_ZPCI_BASE]: vfio_device_info_cap_zpci_base,
      [VFIO_DEVICE_INFO_CAP_ZPCI_GROUP]: vfio_device_info_cap_zpci_group,
      [VFIO_DEVICE_INFO_CAP_ZPCI_UTIL]: vfio_device_info_cap_zpci_util,
      [VFIO_DEVICE_INFO_CAP_ZPCI_PFIP]: vfio_device_info_cap_zpci_pfip,
      [VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP]: vfio_device_info_cap_pci_atomic_comp,
    },
  },
});
