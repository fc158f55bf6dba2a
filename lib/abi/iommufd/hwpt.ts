/** linux/iommufd.h: page tables of the hardware, and what the hardware can do. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, array, flags, id, iova, reserved, sharing, since, struct, u32, u64, u8 } from '../struct.js';
import {
  IOMMUFD_CMD_GET_HW_INFO,
  IOMMUFD_CMD_HWPT_ALLOC,
  IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP,
  IOMMUFD_CMD_HWPT_INVALIDATE,
  IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING,
  IOMMUFD_TYPE,
} from './object.js';

/** It can be the second stage of nested ones. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1;
/** `fault_id` is valid. */
export const IOMMU_HWPT_FAULT_ID_VALID = 1 << 2;
/** It can be attached with a PASID. */
export const IOMMU_HWPT_ALLOC_PASID = 1 << 3;

export const IOMMU_VTD_S1_SRE = 1 << 0;
export const IOMMU_VTD_S1_EAFE = 1 << 1;
export const IOMMU_VTD_S1_WPE = 1 << 2;

/** Intel's first stage: `pgtbl_addr` is an address of the second. */
export const iommu_hwpt_vtd_s1 = struct('iommu_hwpt_vtd_s1', {
  flags: u64,
  pgtbl_addr: u64,
  addr_width: u32,
  __reserved: reserved,
});

/** The first two words of a stream table entry. */
export const iommu_hwpt_arm_smmuv3 = struct('iommu_hwpt_arm_smmuv3', {
  ste: array(u64, 2),
});

/** A device table entry. */
export const iommu_hwpt_amd_guest = struct('iommu_hwpt_amd_guest', {
  dte: array(u64, 4),
});

export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
export const IOMMU_HWPT_DATA_AMD_GUEST = 3;

/** `pt_id` is an IOAS, a page table to nest on, or a virtual IOMMU; `data_uptr` points to what `data_type` says. */
export const iommu_hwpt_alloc = struct('iommu_hwpt_alloc', {
  size: argsz,
  flags: flags('IOMMU_HWPT_ALLOC_', 'IOMMU_HWPT_FAULT_'),
  dev_id: id,
  pt_id: id,
  out_hwpt_id: id,
  __reserved: reserved,
  data_type: since('6.7', u32),
  data_len: since('6.7', u32),
  data_uptr: since('6.7', address),
  fault_id: since('6.11', id),
  __reserved2: since('6.11', reserved),
});

/** Linux 6.6. */
export const IOMMU_HWPT_ALLOC = request('IOMMU_HWPT_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC), {
  on: 'iommufd',
  argument: iommu_hwpt_alloc,
  minimum: '__reserved',
});

export const IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0;

export const iommu_hw_info_vtd = struct('iommu_hw_info_vtd', {
  flags: flags('IOMMU_HW_INFO_VTD_'),
  __reserved: reserved,
  cap_reg: u64,
  ecap_reg: u64,
});

export const IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 1 << 0;

export const iommu_hw_info_arm_smmuv3 = struct('iommu_hw_info_arm_smmuv3', {
  flags: flags('IOMMU_HW_INFO_ARM_SMMUV3_'),
  __reserved: reserved,
  idr: array(u32, 6),
  iidr: u32,
  aidr: u32,
});

export const iommu_hw_info_tegra241_cmdqv = struct('iommu_hw_info_tegra241_cmdqv', {
  flags: u32,
  version: u8,
  log2vcmdqs: u8,
  log2vsids: u8,
  __reserved: u8,
});

export const iommu_hw_info_amd = struct('iommu_hw_info_amd', {
  efr: u64,
  efr2: u64,
});

export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
export const IOMMU_HW_INFO_TYPE_AMD = 4;

export const IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0;
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 1 << 1;
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 1 << 2;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1 << 3;

/** `in_data_type` is valid. */
export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0;

/** `data_uptr` points to room for `data_len` bytes, which comes back as the length there is. */
export const iommu_hw_info = struct('iommu_hw_info', {
  size: argsz,
  flags: flags('IOMMU_HW_INFO_FLAG_'),
  dev_id: id,
  data_len: u32,
  data_uptr: address,
  in_data_type: since('6.17', u32),
  out_data_type: sharing('in_data_type', u32),
  out_max_pasid_log2: since('6.12', u8),
  __reserved: since('6.12', array(u8, 3)),
  out_capabilities: since('6.7', u64),
});

/** Linux 6.6. */
export const IOMMU_GET_HW_INFO = request('IOMMU_GET_HW_INFO', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO), {
  on: 'iommufd',
  argument: iommu_hw_info,
  minimum: '__reserved',
});

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

export const iommu_hwpt_set_dirty_tracking = struct('iommu_hwpt_set_dirty_tracking', {
  size: argsz,
  flags: flags('IOMMU_HWPT_DIRTY_TRACKING_'),
  hwpt_id: id,
  __reserved: reserved,
});

/** Linux 6.7. */
export const IOMMU_HWPT_SET_DIRTY_TRACKING = request(
  'IOMMU_HWPT_SET_DIRTY_TRACKING',
  _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING),
  { on: 'iommufd', argument: iommu_hwpt_set_dirty_tracking, minimum: '__reserved' },
);

/** What is reported stays dirty. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

export const iommu_hwpt_get_dirty_bitmap = struct('iommu_hwpt_get_dirty_bitmap', {
  size: argsz,
  hwpt_id: id,
  flags: flags('IOMMU_HWPT_GET_DIRTY_BITMAP_'),
  __reserved: reserved,
  iova,
  length: u64,
  page_size: u64,
  data: address,
});

/** Linux 6.7. */
export const IOMMU_HWPT_GET_DIRTY_BITMAP = request('IOMMU_HWPT_GET_DIRTY_BITMAP', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP), {
  on: 'iommufd',
  argument: iommu_hwpt_get_dirty_bitmap,
  minimum: 'data',
});

export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;

/** Only the last level of the tables. */
export const IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0;

/** Address 0 and all ones of pages is everything. */
export const iommu_hwpt_vtd_s1_invalidate = struct('iommu_hwpt_vtd_s1_invalidate', {
  addr: u64,
  npages: u64,
  flags: flags('IOMMU_VTD_INV_FLAGS_'),
  __reserved: reserved,
});

/** A command of the queue. */
export const iommu_viommu_arm_smmuv3_invalidate = struct('iommu_viommu_arm_smmuv3_invalidate', {
  cmd: array(u64, 2),
});

/** `data_uptr` points to `entry_num` entries of `entry_len` bytes; `entry_num` comes back as how many were handled. */
export const iommu_hwpt_invalidate = struct('iommu_hwpt_invalidate', {
  size: argsz,
  hwpt_id: id,
  data_uptr: address,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  __reserved: reserved,
});

/** Of a nested page table, or a virtual IOMMU. Linux 6.8. */
export const IOMMU_HWPT_INVALIDATE = request('IOMMU_HWPT_INVALIDATE', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE), {
  on: 'iommufd',
  argument: iommu_hwpt_invalidate,
  minimum: '__reserved',
});
