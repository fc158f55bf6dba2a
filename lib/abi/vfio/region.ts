/** linux/vfio.h: the regions of a device. */
import { vfio_info_cap_header } from '../chain.js';
import { _IO, request } from '../ioctl.js';
import { argsz, flags, flexible, reserved, struct, u32, u64 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

export const VFIO_REGION_INFO_FLAG_READ = 1 << 0;
export const VFIO_REGION_INFO_FLAG_WRITE = 1 << 1;
export const VFIO_REGION_INFO_FLAG_MMAP = 1 << 2;
export const VFIO_REGION_INFO_FLAG_CAPS = 1 << 3;

/** `offset` is where pread, pwrite and mmap of the device fd find the region. */
export const vfio_region_info = struct('vfio_region_info', {
  argsz,
  flags: flags('VFIO_REGION_INFO_FLAG_'),
  index: u32,
  cap_offset: u32,
  size: u64,
  offset: u64,
});

/** Only these areas of the region may be mapped. */
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;

export const vfio_region_sparse_mmap_area = struct('vfio_region_sparse_mmap_area', {
  offset: u64,
  size: u64,
});

export const vfio_region_info_cap_sparse_mmap = struct('vfio_region_info_cap_sparse_mmap', {
  header: vfio_info_cap_header,
  nr_areas: u32,
  reserved,
  areas: flexible(vfio_region_sparse_mmap_area, 'nr_areas'),
});

/** What a device-specific region is. */
export const VFIO_REGION_INFO_CAP_TYPE = 2;

export const vfio_region_info_cap_type = struct('vfio_region_info_cap_type', {
  header: vfio_info_cap_header,
  type: u32,
  subtype: u32,
});

export const VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 0x8000_0000;
export const VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;
export const VFIO_REGION_TYPE_GFX = 1;
export const VFIO_REGION_TYPE_CCW = 2;
export const VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;

/** With `VFIO_REGION_TYPE_PCI_VENDOR_TYPE` and Intel's 8086: what a graphics device's firmware and bridges left. */
export const VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
export const VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;
/** With NVIDIA's 10de and IBM's 1014; their driver left in Linux 5.13. */
export const VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;
export const VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;

/** With `VFIO_REGION_TYPE_GFX`: begins with a `vfio_region_gfx_edid`. */
export const VFIO_REGION_SUBTYPE_GFX_EDID = 1;

/** The monitor of a virtual graphics device. `edid_offset` counts from the region's start; sizes of the EDID in bytes. */
export const vfio_region_gfx_edid = struct('vfio_region_gfx_edid', {
  edid_offset: u32,
  edid_max_size: u32,
  edid_size: u32,
  max_xres: u32,
  max_yres: u32,
  link_state: u32,
});

export const VFIO_DEVICE_GFX_LINK_STATE_UP = 1;
export const VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

/** With `VFIO_REGION_TYPE_CCW`. */
export const VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;
export const VFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
export const VFIO_REGION_SUBTYPE_CCW_CRW = 3;

/** With `VFIO_REGION_TYPE_MIGRATION_DEPRECATED`: migration as it was from Linux 5.8 to 5.17, no driver of today's. */
export const VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1;

export const vfio_device_migration_info = struct('vfio_device_migration_info', {
  device_state: flags('VFIO_DEVICE_STATE_V1_'),
  reserved,
  pending_bytes: u64,
  data_offset: u64,
  data_size: u64,
});

export const VFIO_DEVICE_STATE_V1_STOP = 0;
export const VFIO_DEVICE_STATE_V1_RUNNING = 1 << 0;
export const VFIO_DEVICE_STATE_V1_SAVING = 1 << 1;
export const VFIO_DEVICE_STATE_V1_RESUMING = 1 << 2;
export const VFIO_DEVICE_STATE_MASK = VFIO_DEVICE_STATE_V1_RUNNING | VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING;

/** The MSI-X table may be mapped with the rest of its BAR. A header and nothing else. */
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;

/** Of NVLink2 bridges, whose driver left in Linux 5.13: the target address on the system bus. */
export const VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;

export const vfio_region_info_cap_nvlink2_ssatgt = struct('vfio_region_info_cap_nvlink2_ssatgt', {
  header: vfio_info_cap_header,
  tgt: u64,
});

/** The same bridges' link speed. */
export const VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;

export const vfio_region_info_cap_nvlink2_lnkspd = struct('vfio_region_info_cap_nvlink2_lnkspd', {
  header: vfio_info_cap_header,
  link_speed: u32,
  __pad: reserved,
});

/** Linux 3.6; capabilities 4.6. */
export const VFIO_DEVICE_GET_REGION_INFO = request('VFIO_DEVICE_GET_REGION_INFO', _IO(VFIO_TYPE, VFIO_BASE + 8), {
  on: 'device',
  argument: vfio_region_info,
  minimum: 'offset',
  chain: {
    flag: VFIO_REGION_INFO_FLAG_CAPS,
    kinds: {
      [VFIO_REGION_INFO_CAP_SPARSE_MMAP]: vfio_region_info_cap_sparse_mmap,
      [VFIO_REGION_INFO_CAP_TYPE]: vfio_region_info_cap_type,
      [VFIO_REGION_INFO_CAP_MSIX_MAPPABLE]: vfio_info_cap_header,
      [VFIO_REGION_INFO_CAP_NVLINK2_SSATGT]: vfio_region_info_cap_nvlink2_ssatgt,
      [VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD]: vfio_region_info_cap_nvlink2_lnkspd,
    },
  },
});

export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR1_REGION_INDEX = 1;
export const VFIO_PCI_BAR2_REGION_INDEX = 2;
export const VFIO_PCI_BAR3_REGION_INDEX = 3;
export const VFIO_PCI_BAR4_REGION_INDEX = 4;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
/** The fixed regions of a PCI device; device-specific ones count from here. */
export const VFIO_PCI_NUM_REGIONS = 9;
