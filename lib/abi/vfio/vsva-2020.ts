/**
 * Sharing a guest's page tables with its devices, as proposed in 2020 by the header update "VFIO/IOMMU vSVA APIs":
 * additions to linux/vfio.h, and the linux/iommu.h they carry. Mainline never took them: no kernel answers these
 * requests, extension 9 and capability 2 became something else, and no header has these names in this form. So they are
 * apart from `vfio/abi`, and no header can judge them; the facts the tests hold them to are those of the proposal.
 */
import { vfio_info_cap_header } from '../chain.js';
import { _IO, request, type Request } from '../ioctl.js';
import { argsz, array, flags, flexible, iova, sharing, struct, u32, u64, u8 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/* linux/iommu.h, as proposed. */

/** The one version of all structs that begin with a version. */
export const IOMMU_UAPI_VERSION = 1;

export const IOMMU_UAPI_BIND_GPASID = 0;
export const IOMMU_UAPI_CACHE_INVAL = 1;
export const IOMMU_UAPI_PAGE_RESP = 2;
export const NR_IOMMU_UAPI_TYPE = 3;
export const IOMMU_UAPI_CAP_MASK = (1 << IOMMU_UAPI_BIND_GPASID) | (1 << IOMMU_UAPI_CACHE_INVAL) | (1 << IOMMU_UAPI_PAGE_RESP);

export const IOMMU_FAULT_PERM_READ = 1 << 0;
export const IOMMU_FAULT_PERM_WRITE = 1 << 1;
export const IOMMU_FAULT_PERM_EXEC = 1 << 2;
export const IOMMU_FAULT_PERM_PRIV = 1 << 3;

/** The access is lost. */
export const IOMMU_FAULT_DMA_UNRECOV = 1;
/** The device waits for a page response. */
export const IOMMU_FAULT_PAGE_REQ = 2;

export const IOMMU_FAULT_REASON_UNKNOWN = 0;
/** The PASID table could not be read. */
export const IOMMU_FAULT_REASON_PASID_FETCH = 1;
export const IOMMU_FAULT_REASON_BAD_PASID_ENTRY = 2;
/** No PASID the IOMMU could have. */
export const IOMMU_FAULT_REASON_PASID_INVALID = 3;
/** A table of the walk could not be read or updated. */
export const IOMMU_FAULT_REASON_WALK_EABT = 4;
/** The tables translate no such address. */
export const IOMMU_FAULT_REASON_PTE_FETCH = 5;
export const IOMMU_FAULT_REASON_PERMISSION = 6;
export const IOMMU_FAULT_REASON_ACCESS = 7;
/** A stage's output lies where no memory is. */
export const IOMMU_FAULT_REASON_OOR_ADDRESS = 8;

export const IOMMU_FAULT_UNRECOV_PASID_VALID = 1 << 0;
export const IOMMU_FAULT_UNRECOV_ADDR_VALID = 1 << 1;
export const IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID = 1 << 2;

/** `addr` is that of the page; `fetch_addr` that of the table entry that could not be had. */
export const iommu_fault_unrecoverable = struct('iommu_fault_unrecoverable', {
  reason: u32,
  flags: flags('IOMMU_FAULT_UNRECOV_'),
  pasid: u32,
  perm: flags('IOMMU_FAULT_PERM_'),
  addr: iova,
  fetch_addr: u64,
});

export const IOMMU_FAULT_PAGE_REQUEST_PASID_VALID = 1 << 0;
/** The last request of its group: the device waits from here. */
export const IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE = 1 << 1;
export const IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA = 1 << 2;

export const iommu_fault_page_request = struct('iommu_fault_page_request', {
  flags: flags('IOMMU_FAULT_PAGE_REQUEST_'),
  pasid: u32,
  grpid: u32,
  perm: flags('IOMMU_FAULT_PERM_'),
  addr: iova,
  private_data: array(u64, 2),
});

/** `type` says which member of the union it is. */
export const iommu_fault = struct('iommu_fault', {
  type: u32,
  padding: u32,
  event: iommu_fault_unrecoverable,
  prm: sharing('event', iommu_fault_page_request),
  padding2: sharing('event', array(u8, 56)),
});

/** The page is there: try again. */
export const IOMMU_PAGE_RESP_SUCCESS = 0;
/** There is no such page: do not try again. */
export const IOMMU_PAGE_RESP_INVALID = 1;
/** Nothing goes any more: later requests of the device may be dropped. */
export const IOMMU_PAGE_RESP_FAILURE = 2;

export const IOMMU_PAGE_RESP_PASID_VALID = 1 << 0;

export const iommu_page_response = struct('iommu_page_response', {
  version: u32,
  flags: flags('IOMMU_PAGE_RESP_'),
  pasid: u32,
  grpid: u32,
  code: u32,
});

export const IOMMU_INV_GRANU_DOMAIN = 0;
export const IOMMU_INV_GRANU_PASID = 1;
export const IOMMU_INV_GRANU_ADDR = 2;
export const IOMMU_INV_GRANU_NR = 3;

/** Without it, the address is invalidated for every PASID. */
export const IOMMU_INV_ADDR_FLAGS_PASID = 1 << 0;
export const IOMMU_INV_ADDR_FLAGS_ARCHID = 1 << 1;
/** Only final translations: what is cached of the tables above them may stay. */
export const IOMMU_INV_ADDR_FLAGS_LEAF = 1 << 2;

/** `granule_size` is in bytes. */
export const iommu_inv_addr_info = struct('iommu_inv_addr_info', {
  flags: flags('IOMMU_INV_ADDR_FLAGS_'),
  archid: u32,
  pasid: u64,
  addr: iova,
  granule_size: u64,
  nb_granules: u64,
});

export const IOMMU_INV_PASID_FLAGS_PASID = 1 << 0;
export const IOMMU_INV_PASID_FLAGS_ARCHID = 1 << 1;

/** At least one of the two flags must be set. */
export const iommu_inv_pasid_info = struct('iommu_inv_pasid_info', {
  flags: flags('IOMMU_INV_PASID_FLAGS_'),
  archid: u32,
  pasid: u64,
});

/** The IOMMU's translations. */
export const IOMMU_CACHE_INV_TYPE_IOTLB = 1 << 0;
/** The translations a device keeps itself. */
export const IOMMU_CACHE_INV_TYPE_DEV_IOTLB = 1 << 1;
/** What is bound to each PASID. */
export const IOMMU_CACHE_INV_TYPE_PASID = 1 << 2;
export const IOMMU_CACHE_INV_TYPE_NR = 3;

/** `granularity` says which member of the union it is; at the domain's there is none. */
export const iommu_cache_invalidate_info = struct('iommu_cache_invalidate_info', {
  version: u32,
  cache: u8,
  granularity: u8,
  padding: array(u8, 2),
  pasid_info: iommu_inv_pasid_info,
  addr_info: sharing('pasid_info', iommu_inv_addr_info),
});

/**
 * Which caches can be invalidated at each granularity: several in one request must all allow it. The proposal has this
 * as a table in a comment, so it has no name there.
 */
export const invalidationValidity: Readonly<Record<number, number>> = {
  [IOMMU_INV_GRANU_DOMAIN]: IOMMU_CACHE_INV_TYPE_IOTLB | IOMMU_CACHE_INV_TYPE_PASID,
  [IOMMU_INV_GRANU_PASID]: IOMMU_CACHE_INV_TYPE_DEV_IOTLB | IOMMU_CACHE_INV_TYPE_IOTLB | IOMMU_CACHE_INV_TYPE_PASID,
  [IOMMU_INV_GRANU_ADDR]: IOMMU_CACHE_INV_TYPE_DEV_IOTLB | IOMMU_CACHE_INV_TYPE_IOTLB,
};

/** Supervisor requests are allowed. */
export const IOMMU_SVA_VTD_GPASID_SRE = 1 << 0;
/** The IOMMU sets the extended access bit of the entries it uses. */
export const IOMMU_SVA_VTD_GPASID_EAFE = 1 << 1;
export const IOMMU_SVA_VTD_GPASID_PCD = 1 << 2;
export const IOMMU_SVA_VTD_GPASID_PWT = 1 << 3;
export const IOMMU_SVA_VTD_GPASID_EMTE = 1 << 4;
export const IOMMU_SVA_VTD_GPASID_CD = 1 << 5;
export const IOMMU_SVA_VTD_GPASID_EMT_MASK =
  IOMMU_SVA_VTD_GPASID_CD | IOMMU_SVA_VTD_GPASID_EMTE | IOMMU_SVA_VTD_GPASID_PCD | IOMMU_SVA_VTD_GPASID_PWT;

export const iommu_gpasid_bind_data_vtd = struct('iommu_gpasid_bind_data_vtd', {
  flags: u64,
  pat: u32,
  emt: u32,
});

export const IOMMU_PASID_FORMAT_INTEL_VTD = 1;
/** `gpasid` is valid. */
export const IOMMU_SVA_GPASID_VAL = 1 << 0;

/**
 * `gpgd` is where the guest's top-level table lies, as the guest sees its memory: an IOVA of the container. `hpasid` is
 * what devices carry, `gpasid` what the guest calls it. `addr_width` is 48 or 57 bits. `format` says which member of
 * the union at the end it is; the proposal has one.
 */
export const iommu_gpasid_bind_data = struct('iommu_gpasid_bind_data', {
  version: u32,
  format: u32,
  flags: u64,
  gpgd: iova,
  hpasid: u64,
  gpasid: u64,
  addr_width: u32,
  padding: array(u8, 12),
  vtd: iommu_gpasid_bind_data_vtd,
});

/* The additions to linux/vfio.h, as proposed. */

/** CHECK_EXTENSION: answers IOMMU_UAPI_VERSION. In mainline 9 is VFIO_UNMAP_ALL, which answers 1 too. */
export const VFIO_NESTING_IOMMU_UAPI = 9;

/** In mainline 2 is VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, which is 32 bytes long. */
export const VFIO_IOMMU_TYPE1_INFO_CAP_NESTING = 2;

/** VFIO_IOMMU_PASID_REQUEST works. */
export const VFIO_IOMMU_PASID_REQS = 1 << 0;

/** `stage1_format` is one of the formats of `iommu_gpasid_bind_data`. */
export const vfio_iommu_type1_info_cap_nesting = struct('vfio_iommu_type1_info_cap_nesting', {
  header: vfio_info_cap_header,
  nesting_capabilities: u32,
  stage1_format: u32,
});

export const VFIO_IOMMU_PASID_ALLOC = 1 << 0;
export const VFIO_IOMMU_PASID_FREE = 1 << 1;
export const VFIO_PASID_REQUEST_MASK = VFIO_IOMMU_PASID_ALLOC | VFIO_IOMMU_PASID_FREE;

/** The struct inside `vfio_iommu_type1_pasid_request`, which has no name of its own there. */
const alloc_pasid = struct('alloc_pasid', {
  min: u32,
  max: u32,
  result: u32,
});

/** Exactly one flag, which says which member of the union it is. `max` is inclusive. */
export const vfio_iommu_type1_pasid_request = struct('vfio_iommu_type1_pasid_request', {
  argsz,
  flags: flags('VFIO_IOMMU_PASID_'),
  alloc_pasid,
  free_pasid: sharing('alloc_pasid', u32),
});

/** Allocates a PASID or frees one. */
export const VFIO_IOMMU_PASID_REQUEST = request('VFIO_IOMMU_PASID_REQUEST', _IO(VFIO_TYPE, VFIO_BASE + 22), {
  on: 'container',
  argument: vfio_iommu_type1_pasid_request,
  minimum: 'flags',
});

export const VFIO_IOMMU_BIND_GUEST_PGTBL = 1 << 0;
export const VFIO_IOMMU_UNBIND_GUEST_PGTBL = 1 << 1;
export const VFIO_IOMMU_BIND_MASK = VFIO_IOMMU_BIND_GUEST_PGTBL | VFIO_IOMMU_UNBIND_GUEST_PGTBL;

/** Exactly one flag. With both of them, `data` is an `iommu_gpasid_bind_data`. */
export const vfio_iommu_type1_bind = struct('vfio_iommu_type1_bind', {
  argsz,
  flags: flags('VFIO_IOMMU_'),
  data: flexible(u8),
});

/** Gives a PASID a page table of the guest's, or takes it away. */
export const VFIO_IOMMU_BIND = request('VFIO_IOMMU_BIND', _IO(VFIO_TYPE, VFIO_BASE + 23), {
  on: 'container',
  argument: vfio_iommu_type1_bind,
  minimum: 'flags',
});

/** No flags are defined. */
export const vfio_iommu_type1_cache_invalidate = struct('vfio_iommu_type1_cache_invalidate', {
  argsz,
  flags: u32,
  cache_info: iommu_cache_invalidate_info,
});

/** Drops what caches hold of a guest's page tables. */
export const VFIO_IOMMU_CACHE_INVALIDATE = request('VFIO_IOMMU_CACHE_INVALIDATE', _IO(VFIO_TYPE, VFIO_BASE + 24), {
  on: 'container',
  argument: vfio_iommu_type1_cache_invalidate,
  minimum: 'flags',
});

/** The proposal's requests. Mainline has not given their numbers to anything else so far. */
export const proposedRequests: readonly Request[] = [VFIO_IOMMU_PASID_REQUEST, VFIO_IOMMU_BIND, VFIO_IOMMU_CACHE_INVALIDATE];
