/** linux/iommufd.h: the objects of /dev/iommu, which have ids of one number space per open file. */
import { _IO, request } from '../ioctl.js';
import { argsz, id, reserved, struct, u16, u32, u64 } from '../struct.js';

export const IOMMUFD_TYPE = ';'.charCodeAt(0);

export const IOMMUFD_CMD_BASE = 0x80;
export const IOMMUFD_CMD_DESTROY = 0x80;
export const IOMMUFD_CMD_IOAS_ALLOC = 0x81;
export const IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82;
export const IOMMUFD_CMD_IOAS_COPY = 0x83;
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84;
export const IOMMUFD_CMD_IOAS_MAP = 0x85;
export const IOMMUFD_CMD_IOAS_UNMAP = 0x86;
export const IOMMUFD_CMD_OPTION = 0x87;
export const IOMMUFD_CMD_VFIO_IOAS = 0x88;
export const IOMMUFD_CMD_HWPT_ALLOC = 0x89;
export const IOMMUFD_CMD_GET_HW_INFO = 0x8a;
export const IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b;
export const IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c;
export const IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d;
export const IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e;
export const IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f;
export const IOMMUFD_CMD_VIOMMU_ALLOC = 0x90;
export const IOMMUFD_CMD_VDEVICE_ALLOC = 0x91;
export const IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92;
export const IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93;
export const IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94;
export const IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA = 0x95;

export const iommu_destroy = struct('iommu_destroy', {
  size: argsz,
  id,
});

/** EBUSY while another object needs it. Linux 6.2. */
export const IOMMU_DESTROY = request('IOMMU_DESTROY', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY), {
  on: 'iommufd',
  argument: iommu_destroy,
  minimum: 'id',
});

/** Whose locked memory counts: the user's (0, the default) or the process's (1), as it was with type1. */
export const IOMMU_OPTION_RLIMIT_MODE = 0;
/** Whether large pages are used, of an IOAS. Default: 1. */
export const IOMMU_OPTION_HUGE_PAGES = 1;

export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;

export const iommu_option = struct('iommu_option', {
  size: argsz,
  option_id: u32,
  op: u16,
  __reserved: u16,
  object_id: id,
  val64: u64,
});

/** Linux 6.2. */
export const IOMMU_OPTION = request('IOMMU_OPTION', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION), {
  on: 'iommufd',
  argument: iommu_option,
  minimum: 'val64',
});

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;

export const iommu_vfio_ioas = struct('iommu_vfio_ioas', {
  size: argsz,
  ioas_id: id,
  op: u16,
  __reserved: u16,
});

/** Which IOAS VFIO's own requests use when they are made on /dev/iommu. Linux 6.2. */
export const IOMMU_VFIO_IOAS = request('IOMMU_VFIO_IOAS', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS), {
  on: 'iommufd',
  argument: iommu_vfio_ioas,
  minimum: '__reserved',
});

export const iommu_ioas_change_process = struct('iommu_ioas_change_process', {
  size: argsz,
  __reserved: reserved,
});

/** The calling process takes over the account of what is mapped, all of it by MAP_FILE. Linux 6.13. */
export const IOMMU_IOAS_CHANGE_PROCESS = request('IOMMU_IOAS_CHANGE_PROCESS', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_CHANGE_PROCESS), {
  on: 'iommufd',
  argument: iommu_ioas_change_process,
  minimum: '__reserved',
});
