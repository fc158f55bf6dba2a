/** linux/iommufd.h: virtual IOMMUs, their devices, event queues and hardware queues. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, array, flags, id, iova, newFd, reserved, since, struct, u32, u64 } from '../struct.js';
import {
  IOMMUFD_CMD_HW_QUEUE_ALLOC,
  IOMMUFD_CMD_VDEVICE_ALLOC,
  IOMMUFD_CMD_VEVENTQ_ALLOC,
  IOMMUFD_CMD_VIOMMU_ALLOC,
  IOMMUFD_TYPE,
} from './object.js';

export const IOMMU_VIOMMU_TYPE_DEFAULT = 0;
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;

/** Where to map the interface that the hardware gives to a guest. */
export const iommu_viommu_tegra241_cmdqv = struct('iommu_viommu_tegra241_cmdqv', {
  out_vintf_mmap_offset: u64,
  out_vintf_mmap_length: u64,
});

export const iommu_viommu_alloc = struct('iommu_viommu_alloc', {
  size: argsz,
  flags: u32,
  type: u32,
  dev_id: id,
  hwpt_id: id,
  out_viommu_id: id,
  data_len: since('6.17', u32),
  __reserved: since('6.17', reserved),
  data_uptr: since('6.17', address),
});

/** On a page table that others nest on. Linux 6.13. */
export const IOMMU_VIOMMU_ALLOC = request('IOMMU_VIOMMU_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VIOMMU_ALLOC), {
  on: 'iommufd',
  argument: iommu_viommu_alloc,
  minimum: 'out_viommu_id',
});

/** `virt_id` is what the guest's IOMMU calls the device. */
export const iommu_vdevice_alloc = struct('iommu_vdevice_alloc', {
  size: argsz,
  viommu_id: id,
  dev_id: id,
  out_vdevice_id: id,
  virt_id: u64,
});

/** Linux 6.13. */
export const IOMMU_VDEVICE_ALLOC = request('IOMMU_VDEVICE_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VDEVICE_ALLOC), {
  on: 'iommufd',
  argument: iommu_vdevice_alloc,
  minimum: 'virt_id',
});

/** Events were lost before this one, which is a header and nothing else. */
export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1 << 0;

export const iommufd_vevent_header = struct('iommufd_vevent_header', {
  flags: flags('IOMMU_VEVENTQ_FLAG_'),
  sequence: u32,
});

export const IOMMU_VEVENTQ_TYPE_DEFAULT = 0;
export const IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;

export const iommu_vevent_arm_smmuv3 = struct('iommu_vevent_arm_smmuv3', {
  evt: array(u64, 4),
});

export const iommu_vevent_tegra241_cmdqv = struct('iommu_vevent_tegra241_cmdqv', {
  lvcmdq_err_map: array(u64, 2),
});

export const iommu_veventq_alloc = struct('iommu_veventq_alloc', {
  size: argsz,
  flags: u32,
  viommu_id: id,
  type: u32,
  veventq_depth: u32,
  out_veventq_id: id,
  out_veventq_fd: newFd,
  __reserved: reserved,
});

/** Linux 6.15. */
export const IOMMU_VEVENTQ_ALLOC = request('IOMMU_VEVENTQ_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VEVENTQ_ALLOC), {
  on: 'iommufd',
  argument: iommu_veventq_alloc,
  minimum: 'out_veventq_fd',
});

export const IOMMU_HW_QUEUE_TYPE_DEFAULT = 0;
export const IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

/** The queue lies at an address of the page table that the virtual IOMMU is on. */
export const iommu_hw_queue_alloc = struct('iommu_hw_queue_alloc', {
  size: argsz,
  flags: u32,
  viommu_id: id,
  type: u32,
  index: u32,
  out_hw_queue_id: id,
  nesting_parent_iova: iova,
  length: u64,
});

/** Linux 6.17. */
export const IOMMU_HW_QUEUE_ALLOC = request('IOMMU_HW_QUEUE_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC), {
  on: 'iommufd',
  argument: iommu_hw_queue_alloc,
  minimum: 'length',
});
