/**
 * The proposal's requests. The proposal is a header: what it leaves open is decided here, and docs/vsva-2020.md says
 * how. Checks go from what the caller gave to what the container is in: size, flags, version, content, state.
 */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_CACHE_INV_TYPE_DEV_IOTLB,
  IOMMU_CACHE_INV_TYPE_IOTLB,
  IOMMU_CACHE_INV_TYPE_PASID,
  IOMMU_INV_ADDR_FLAGS_ARCHID,
  IOMMU_INV_ADDR_FLAGS_LEAF,
  IOMMU_INV_ADDR_FLAGS_PASID,
  IOMMU_INV_GRANU_ADDR,
  IOMMU_INV_GRANU_DOMAIN,
  IOMMU_INV_PASID_FLAGS_ARCHID,
  IOMMU_INV_PASID_FLAGS_PASID,
  IOMMU_PASID_FORMAT_INTEL_VTD,
  IOMMU_SVA_GPASID_VAL,
  IOMMU_SVA_VTD_GPASID_EAFE,
  IOMMU_SVA_VTD_GPASID_EMT_MASK,
  IOMMU_SVA_VTD_GPASID_SRE,
  IOMMU_UAPI_VERSION,
  VFIO_IOMMU_BIND,
  VFIO_IOMMU_BIND_GUEST_PGTBL,
  VFIO_IOMMU_CACHE_INVALIDATE,
  VFIO_IOMMU_PASID_ALLOC,
  VFIO_IOMMU_PASID_FREE,
  VFIO_IOMMU_PASID_REQS,
  VFIO_IOMMU_PASID_REQUEST,
  VFIO_IOMMU_TYPE1_INFO_CAP_NESTING,
  VFIO_IOMMU_UNBIND_GUEST_PGTBL,
  invalidationValidity,
  type iommu_cache_invalidate_info,
  iommu_gpasid_bind_data,
  proposedRequests,
  vfio_iommu_type1_bind,
  vfio_iommu_type1_cache_invalidate,
  vfio_iommu_type1_info_cap_nesting,
  vfio_iommu_type1_pasid_request,
} from '../../abi/vfio/vsva-2020.js';
import type { Argument } from '../argument.js';
import type { GuestTranslation } from './guest-translation.js';
import type { Vsva2020 } from './machine.js';
import { lastPasid } from './pasids.js';

const top = 0xffff_ffff_ffff_ffffn;
const smallestPage = 4096n;
const knownVtdFlags = BigInt(IOMMU_SVA_VTD_GPASID_SRE | IOMMU_SVA_VTD_GPASID_EAFE | IOMMU_SVA_VTD_GPASID_EMT_MASK);

type BindData = ReturnType<typeof iommu_gpasid_bind_data.create>;
type InvalidateInfo = ReturnType<typeof iommu_cache_invalidate_info.create>;

/** A type1 container's answer; `guest` is undefined where its type is not the nesting one. */
export function guestIoctl(machine: Vsva2020, guest: GuestTranslation | undefined, request: number, argument: Argument): number {
  if (guest === undefined) return proposedRequests.some(({ number }) => number === request) ? -errno.EOPNOTSUPP : -errno.ENOTTY;
  switch (request) {
    case VFIO_IOMMU_PASID_REQUEST.number:
      return pasidRequest(machine, guest, argument);
    case VFIO_IOMMU_BIND.number:
      return bind(machine, guest, argument);
    case VFIO_IOMMU_CACHE_INVALIDATE.number:
      return invalidate(guest, argument);
    default:
      return -errno.ENOTTY;
  }
}

export function nestingCapability(): Uint8Array {
  const capability = vfio_iommu_type1_info_cap_nesting.create();
  capability.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_NESTING;
  capability.header.version = 1;
  capability.nesting_capabilities = VFIO_IOMMU_PASID_REQS;
  capability.stage1_format = IOMMU_PASID_FORMAT_INTEL_VTD;
  return capability.bytes;
}

function pasidRequest(machine: Vsva2020, guest: GuestTranslation, argument: Argument): number {
  const type = vfio_iommu_type1_pasid_request;
  const request = argument.struct(type, VFIO_IOMMU_PASID_REQUEST.minimum);
  if (request === undefined) return -errno.EFAULT;
  const allocates = request.flags === VFIO_IOMMU_PASID_ALLOC;
  const needed = allocates ? type.size : type.offsetofend('free_pasid');
  if (!allocates && request.flags !== VFIO_IOMMU_PASID_FREE) return -errno.EINVAL;
  if (request.argsz < needed) return -errno.EINVAL;
  const given = argument.struct(type, needed);
  if (given === undefined) return -errno.EFAULT;
  if (!allocates) return freePasid(machine, guest, given.free_pasid);
  const pasid = machine.pasids.allocate(guest, given.alloc_pasid.min, given.alloc_pasid.max);
  if (pasid < 0) return pasid;
  const resultAt = type.size - 4;
  if (argument.copyTo(new Uint8Array(new Uint32Array([pasid]).buffer), resultAt)) return 0;
  machine.pasids.free(pasid);
  return -errno.EFAULT;
}

function freePasid(machine: Vsva2020, guest: GuestTranslation, pasid: number): number {
  if (!machine.pasids.belongsTo(guest, pasid)) return -errno.EINVAL;
  if (guest.isBound(pasid)) return -errno.EBUSY;
  machine.pasids.free(pasid);
  return 0;
}

function bind(machine: Vsva2020, guest: GuestTranslation, argument: Argument): number {
  const request = argument.struct(vfio_iommu_type1_bind, VFIO_IOMMU_BIND.minimum);
  if (request === undefined) return -errno.EFAULT;
  const binds = request.flags === VFIO_IOMMU_BIND_GUEST_PGTBL;
  if (!binds && request.flags !== VFIO_IOMMU_UNBIND_GUEST_PGTBL) return -errno.EINVAL;
  if (request.argsz < vfio_iommu_type1_bind.size + iommu_gpasid_bind_data.size) return -errno.EINVAL;
  const bytes = argument.copyFrom(iommu_gpasid_bind_data.size, vfio_iommu_type1_bind.size);
  if (bytes === undefined) return -errno.EFAULT;
  const data = iommu_gpasid_bind_data.copy(bytes);
  if (data.version !== IOMMU_UAPI_VERSION || data.format !== IOMMU_PASID_FORMAT_INTEL_VTD) return -errno.EINVAL;
  const pasid = data.hpasid > BigInt(lastPasid) ? -1 : Number(data.hpasid);
  if (!machine.pasids.belongsTo(guest, pasid)) return -errno.EINVAL;
  if (!binds) {
    if (!guest.isBound(pasid)) return -errno.EINVAL;
    guest.unbind(pasid);
    return 0;
  }
  if (!sound(data)) return -errno.EINVAL;
  if (guest.isBound(pasid)) return -errno.EBUSY;
  guest.bind(pasid, {
    root: data.gpgd,
    levels: data.addr_width === 57 ? 5 : 4,
    supervisorRequests: (data.vtd.flags & BigInt(IOMMU_SVA_VTD_GPASID_SRE)) !== 0n,
    extendedAccess: (data.vtd.flags & BigInt(IOMMU_SVA_VTD_GPASID_EAFE)) !== 0n,
  });
  return 0;
}

/** What only binding looks at. */
function sound({ flags, gpgd, gpasid, addr_width, padding, vtd }: BindData): boolean {
  if ((flags & ~BigInt(IOMMU_SVA_GPASID_VAL)) !== 0n || (vtd.flags & ~knownVtdFlags) !== 0n) return false;
  if ((flags & BigInt(IOMMU_SVA_GPASID_VAL)) !== 0n && gpasid > BigInt(lastPasid)) return false;
  return (addr_width === 48 || addr_width === 57) && gpgd % smallestPage === 0n && padding.every((byte) => byte === 0);
}

function invalidate(guest: GuestTranslation, argument: Argument): number {
  const request = argument.struct(vfio_iommu_type1_cache_invalidate, VFIO_IOMMU_CACHE_INVALIDATE.minimum);
  if (request === undefined) return -errno.EFAULT;
  if (request.argsz < vfio_iommu_type1_cache_invalidate.size || request.flags !== 0) return -errno.EINVAL;
  const given = argument.struct(vfio_iommu_type1_cache_invalidate, vfio_iommu_type1_cache_invalidate.size);
  if (given === undefined) return -errno.EFAULT;
  const info = given.cache_info;
  if (info.version !== IOMMU_UAPI_VERSION || info.padding.some((byte) => byte !== 0)) return -errno.EINVAL;
  const valid = invalidationValidity[info.granularity] ?? 0;
  if (info.cache === 0 || (info.cache & ~valid) !== 0) return -errno.EINVAL;
  if (info.granularity === IOMMU_INV_GRANU_ADDR) return invalidateRange(guest, info);
  let pasid: number | undefined;
  if (info.granularity !== IOMMU_INV_GRANU_DOMAIN) {
    const { flags, pasid: named } = info.pasid_info;
    // The unit tags its caches by PASID: a request that names another tag alone names nothing it has.
    const known = IOMMU_INV_PASID_FLAGS_PASID | IOMMU_INV_PASID_FLAGS_ARCHID;
    if ((flags & ~known) !== 0 || (flags & IOMMU_INV_PASID_FLAGS_PASID) === 0) return -errno.EINVAL;
    pasid = boundPasid(guest, named);
    if (pasid === undefined) return -errno.EINVAL;
  }
  if ((info.cache & IOMMU_CACHE_INV_TYPE_PASID) !== 0) guest.dropPasids(pasid);
  if ((info.cache & IOMMU_CACHE_INV_TYPE_IOTLB) !== 0) guest.dropTranslations(pasid);
  if ((info.cache & IOMMU_CACHE_INV_TYPE_DEV_IOTLB) !== 0) guest.dropDeviceTranslations(pasid);
  return 0;
}

/** Leaves are all that is cached, so the LEAF flag changes nothing. */
function invalidateRange(guest: GuestTranslation, { cache, addr_info }: InvalidateInfo): number {
  const { flags, pasid: named, addr, granule_size: granule, nb_granules: count } = addr_info;
  const known = IOMMU_INV_ADDR_FLAGS_PASID | IOMMU_INV_ADDR_FLAGS_ARCHID | IOMMU_INV_ADDR_FLAGS_LEAF;
  if ((flags & ~known) !== 0) return -errno.EINVAL;
  if (granule < smallestPage || (granule & (granule - 1n)) !== 0n || addr % granule !== 0n || count === 0n) return -errno.EINVAL;
  const last = addr + granule * count - 1n;
  if (last > top) return -errno.EINVAL;
  const tagged = (flags & IOMMU_INV_ADDR_FLAGS_PASID) !== 0;
  const pasid = tagged ? boundPasid(guest, named) : undefined;
  if (tagged && pasid === undefined) return -errno.EINVAL;
  if ((cache & IOMMU_CACHE_INV_TYPE_IOTLB) !== 0) guest.dropRange(pasid, addr, last);
  if ((cache & IOMMU_CACHE_INV_TYPE_DEV_IOTLB) !== 0) guest.dropDeviceRange(pasid, addr, last);
  return 0;
}

function boundPasid(guest: GuestTranslation, pasid: bigint): number | undefined {
  return guest.isBound(Number(pasid)) ? Number(pasid) : undefined;
}
