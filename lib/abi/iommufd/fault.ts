/** linux/iommufd.h: page requests of devices, and the answers. */
import { _IO, request } from '../ioctl.js';
import { argsz, flags, id, newFd, reserved, struct, u32, u64 } from '../struct.js';
import { IOMMUFD_CMD_FAULT_QUEUE_ALLOC, IOMMUFD_TYPE } from './object.js';

export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0;
/** The last of its group: the group is answered as one. */
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1;

export const IOMMU_PGFAULT_PERM_READ = 1 << 0;
export const IOMMU_PGFAULT_PERM_WRITE = 1 << 1;
export const IOMMU_PGFAULT_PERM_EXEC = 1 << 2;
export const IOMMU_PGFAULT_PERM_PRIV = 1 << 3;

/** What is read from the queue's fd. */
export const iommu_hwpt_pgfault = struct('iommu_hwpt_pgfault', {
  flags: flags('IOMMU_PGFAULT_FLAGS_'),
  dev_id: id,
  pasid: u32,
  grpid: u32,
  perm: flags('IOMMU_PGFAULT_PERM_'),
  __reserved: reserved,
  addr: u64,
  length: u32,
  cookie: u32,
});

export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;

/** What is written to the queue's fd, once for each group. */
export const iommu_hwpt_page_response = struct('iommu_hwpt_page_response', {
  cookie: u32,
  code: u32,
});

export const iommu_fault_alloc = struct('iommu_fault_alloc', {
  size: argsz,
  flags: u32,
  out_fault_id: id,
  out_fault_fd: newFd,
});

/** Linux 6.11. */
export const IOMMU_FAULT_QUEUE_ALLOC = request('IOMMU_FAULT_QUEUE_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC), {
  on: 'iommufd',
  argument: iommu_fault_alloc,
  minimum: 'out_fault_fd',
});
