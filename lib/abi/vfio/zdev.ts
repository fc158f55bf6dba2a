/** linux/vfio_zdev.h: what a PCI device on s390 says of itself, as capabilities of VFIO_DEVICE_GET_INFO. Linux 5.10. */
import { vfio_info_cap_header } from '../chain.js';
import { flexible, since, struct, u16, u32, u64, u8 } from '../struct.js';

export const vfio_device_info_cap_zpci_base = struct('vfio_device_info_cap_zpci_base', {
  header: vfio_info_cap_header,
  start_dma: u64,
  end_dma: u64,
  pchid: u16,
  vfn: u16,
  fmb_length: u16,
  pft: u8,
  gid: u8,
  fh: u32,
  ccdf_err_length: since('7.3', u32),
});

export const VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH = 1;

export const vfio_device_info_cap_zpci_group = struct('vfio_device_info_cap_zpci_group', {
  header: vfio_info_cap_header,
  dasm: u64,
  msi_addr: u64,
  flags: u64,
  mui: u16,
  noi: u16,
  maxstbl: u16,
  version: u8,
  reserved: u8,
  imaxstbl: u16,
});

export const vfio_device_info_cap_zpci_util = struct('vfio_device_info_cap_zpci_util', {
  header: vfio_info_cap_header,
  size: u32,
  util_str: flexible(u8, 'size'),
});

export const vfio_device_info_cap_zpci_pfip = struct('vfio_device_info_cap_zpci_pfip', {
  header: vfio_info_cap_header,
  size: u32,
  pfip: flexible(u8, 'size'),
});
