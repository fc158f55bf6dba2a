/**
 * drivers/iommu/iommufd/iommufd_test.h: the mock devices of kernels with CONFIG_IOMMUFD_TEST. They have an IOMMU of their
 * own, so that what is above it can be tested without one. On a machine with an Intel or AMD IOMMU, Linux 6.12 takes that
 * one for theirs, and every device is EINVAL.
 *
 * The struct is as long in Linux 6.12 as in 7.3; `since` names the first header of the two that has a member.
 */
import { IOMMUFD_CMD_BASE, IOMMUFD_TYPE } from '../../../lib/abi/iommufd/object.js';
import { _IO, request } from '../../../lib/abi/ioctl.js';
import { address, argsz, fd, iova, reserved, s32, sharing, since, struct, u32, u64 } from '../../../lib/abi/struct.js';

export const IOMMU_TEST_OP_ADD_RESERVED = 1;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES = 7;
export const IOMMU_TEST_OP_ACCESS_RW = 8;
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
export const IOMMU_TEST_OP_DIRTY = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15;
// The rest came after Linux 6.12.
export const IOMMU_TEST_OP_DEV_CHECK_CACHE = 16;
export const IOMMU_TEST_OP_TRIGGER_VEVENT = 17;
export const IOMMU_TEST_OP_PASID_ATTACH = 18;
export const IOMMU_TEST_OP_PASID_REPLACE = 19;
export const IOMMU_TEST_OP_PASID_DETACH = 20;
export const IOMMU_TEST_OP_PASID_CHECK_HWPT = 21;
export const IOMMU_TEST_OP_DMABUF_GET = 22;
export const IOMMU_TEST_OP_DMABUF_REVOKE = 23;

/** Kinds of page table. 7.3. */
export const MOCK_IOMMUPT_DEFAULT = 0;
/** It takes large pages only, and has no aperture. */
export const MOCK_IOMMUPT_HUGE = 1;

export const MOCK_APERTURE_START = 1 << 24;
export const MOCK_APERTURE_LAST = 0x7fff_ffff;
/** Half a page of the processor. */
export const MOCK_PAGE_SIZE = 2048;

export const MOCK_FLAGS_ACCESS_WRITE = 1 << 0;
/** The IOVA counts mappings. */
export const MOCK_FLAGS_ACCESS_SYZ = 1 << 16;

export const MOCK_ACCESS_RW_WRITE = 1 << 0;
export const MOCK_ACCESS_RW_SLOW_PATH = 1 << 2;

export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1 << 0;

export const MOCK_FLAGS_DEVICE_NO_DIRTY = 1 << 0;
/** 6.12 only. */
export const MOCK_FLAGS_DEVICE_HUGE_IOVA = 1 << 1;
/** 7.3. */
export const MOCK_FLAGS_DEVICE_PASID = 1 << 2;

export const MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3;
export const MOCK_NESTED_DOMAIN_IOTLB_NUM = 4;

/** 7.3. */
export const MOCK_DEV_CACHE_ID_MAX = 3;
/** 7.3. */
export const MOCK_DEV_CACHE_NUM = 4;

/** Every second attachment of it to a device fails. 7.3. */
export const IOMMU_TEST_PASID_RESERVED = 1024;

/** Bits of a PASID. 7.3. */
export const MOCK_PASID_WIDTH = 20;

const add_reserved = struct('add_reserved', { start: u64, length: u64 });
/** `out_idev_id` is what binding a device gives. */
const mock_domain = struct('mock_domain', { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32 });
const mock_domain_flags = struct('mock_domain_flags', { out_stdev_id: u32, out_hwpt_id: u32, out_idev_id: u32, dev_flags: u32 });
const mock_domain_replace = struct('mock_domain_replace', { pt_id: u32 });
const check_map = struct('check_map', { iova, length: u64, uptr: address });
const check_refs = struct('check_refs', { length: u64, uptr: address, refs: u32 });
const create_access = struct('create_access', { out_access_fd: fd, flags: u32 });
const destroy_access_pages = struct('destroy_access_pages', { access_pages_id: u32 });
const access_pages = struct('access_pages', { flags: u32, out_access_pages_id: u32, iova, length: u64, uptr: address });
const access_rw = struct('access_rw', { iova, length: u64, uptr: address, flags: u32 });
const memory_limit = struct('memory_limit', { limit: u32 });
const access_replace_ioas = struct('access_replace_ioas', { ioas_id: u32 });
const dirty = struct('dirty', { flags: u32, iova, length: u64, page_size: u64, uptr: address, out_nr_dirty: u64 });
const check_iotlb = struct('check_iotlb', { id: u32, iotlb: u32 });
const trigger_iopf = struct('trigger_iopf', { dev_id: u32, pasid: u32, grpid: u32, perm: u32, addr: u64 });
const check_dev_cache = struct('check_dev_cache', { id: u32, cache: u32 });
const trigger_vevent = struct('trigger_vevent', { dev_id: u32 });
const pasid_attach = struct('pasid_attach', { pasid: u32, pt_id: u32 });
const pasid_replace = struct('pasid_replace', { pasid: u32, pt_id: u32 });
const pasid_detach = struct('pasid_detach', { pasid: u32 });
const pasid_check = struct('pasid_check', { pasid: u32, hwpt_id: u32 });
const dmabuf_get = struct('dmabuf_get', { length: u32, open_flags: u32 });
const dmabuf_revoke = struct('dmabuf_revoke', { dmabuf_fd: s32, revoked: u32 });

/** `id` is what the operation is about: a selftest device, an access, a page table or an address space. */
export const iommu_test_cmd = struct('iommu_test_cmd', {
  size: argsz,
  op: u32,
  id: u32,
  __reserved: reserved,
  add_reserved,
  mock_domain: sharing('add_reserved', mock_domain),
  mock_domain_flags: sharing('add_reserved', mock_domain_flags),
  mock_domain_replace: sharing('add_reserved', mock_domain_replace),
  check_map: sharing('add_reserved', check_map),
  check_refs: sharing('add_reserved', check_refs),
  create_access: sharing('add_reserved', create_access),
  destroy_access_pages: sharing('add_reserved', destroy_access_pages),
  access_pages: sharing('add_reserved', access_pages),
  access_rw: sharing('add_reserved', access_rw),
  memory_limit: sharing('add_reserved', memory_limit),
  access_replace_ioas: sharing('add_reserved', access_replace_ioas),
  dirty: sharing('add_reserved', dirty),
  check_iotlb: sharing('add_reserved', check_iotlb),
  trigger_iopf: sharing('add_reserved', trigger_iopf),
  check_dev_cache: since('7.3', sharing('add_reserved', check_dev_cache)),
  trigger_vevent: since('7.3', sharing('add_reserved', trigger_vevent)),
  pasid_attach: since('7.3', sharing('add_reserved', pasid_attach)),
  pasid_replace: since('7.3', sharing('add_reserved', pasid_replace)),
  pasid_detach: since('7.3', sharing('add_reserved', pasid_detach)),
  pasid_check: since('7.3', sharing('add_reserved', pasid_check)),
  dmabuf_get: since('7.3', sharing('add_reserved', dmabuf_get)),
  dmabuf_revoke: since('7.3', sharing('add_reserved', dmabuf_revoke)),
  last: u32,
});

export const IOMMU_TEST_CMD = request('IOMMU_TEST_CMD', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 32), {
  on: 'iommufd',
  argument: iommu_test_cmd,
  minimum: 'last',
});

export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeed_beef;
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdead_beef;

export const iommu_test_hw_info = struct('iommu_test_hw_info', { flags: u32, test_reg: u32 });

export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;
export const IOMMU_TEST_IOTLB_DEFAULT = 0xbad_beef;
/** 7.3. */
export const IOMMU_TEST_DEV_CACHE_DEFAULT = 0xba_ddad;

/** `iotlb` is what every entry of a nested page table begins with. */
export const iommu_hwpt_selftest = struct('iommu_hwpt_selftest', {
  iotlb: u32,
  pagetable_type: since('7.3', u32),
});

export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdead_beef;
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdad_beef;

/** Of every entry; without it, of the one that is named. */
export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1 << 0;

export const iommu_hwpt_invalidate_selftest = struct('iommu_hwpt_invalidate_selftest', { flags: u32, iotlb_id: u32 });

// Virtual IOMMUs: 7.3.
export const IOMMU_VIOMMU_TYPE_SELFTEST = 0xdead_beef;

/** `out_data` comes back as `in_data`, and so does the first word of what is mapped. */
export const iommu_viommu_selftest = struct('iommu_viommu_selftest', {
  in_data: u32,
  out_data: u32,
  out_mmap_offset: u64,
  out_mmap_length: u64,
});

export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdead_beef;
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID = 0xdad_beef;

export const iommu_viommu_invalidate_selftest = struct('iommu_viommu_invalidate_selftest', {
  flags: u32,
  vdev_id: u32,
  cache_id: u32,
});

export const IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeef_beef;

export const iommu_viommu_event_selftest = struct('iommu_viommu_event_selftest', { virt_id: u32 });

export const IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdead_beef;
export const IOMMU_TEST_HW_QUEUE_MAX = 2;
