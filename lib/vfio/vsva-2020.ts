/**
 * Sharing a guest's page tables with its devices, as proposed in 2020. Mainline never took it: on a
 * real kernel every call here is refused, and docs/vsva-2020.md says which iommufd calls do the same today.
 *
 * @module vfio/vsva-2020
 */
import {
  IOMMU_CACHE_INV_TYPE_DEV_IOTLB,
  IOMMU_CACHE_INV_TYPE_IOTLB,
  IOMMU_CACHE_INV_TYPE_PASID,
  IOMMU_INV_ADDR_FLAGS_LEAF,
  IOMMU_INV_ADDR_FLAGS_PASID,
  IOMMU_INV_GRANU_ADDR,
  IOMMU_INV_GRANU_DOMAIN,
  IOMMU_INV_GRANU_PASID,
  IOMMU_INV_PASID_FLAGS_PASID,
  IOMMU_PASID_FORMAT_INTEL_VTD,
  IOMMU_SVA_GPASID_VAL,
  IOMMU_SVA_VTD_GPASID_EAFE,
  IOMMU_SVA_VTD_GPASID_SRE,
  IOMMU_UAPI_VERSION,
  VFIO_IOMMU_BIND,
  VFIO_IOMMU_BIND_GUEST_PGTBL,
  VFIO_IOMMU_CACHE_INVALIDATE,
  VFIO_IOMMU_PASID_ALLOC,
  VFIO_IOMMU_PASID_FREE,
  VFIO_IOMMU_PASID_REQUEST,
  VFIO_IOMMU_UNBIND_GUEST_PGTBL,
  invalidationValidity,
  iommu_gpasid_bind_data,
  vfio_iommu_type1_bind,
  vfio_iommu_type1_cache_invalidate,
  vfio_iommu_type1_pasid_request,
} from '../abi/vfio/vsva-2020.js';
import { checkedInteger, expected } from '../kernel/error.js';
import { Resource } from '../kernel/resource.js';
import type { Container } from './container.js';
import { nestingCapability } from './nesting-capability.js';

export * from '../abi/vfio/vsva-2020.js';
export { nestingCapability, type NestingCapability } from './nesting-capability.js';
export {
  decodeFault,
  encodePageResponse,
  type FaultAccess,
  type FaultReason,
  type GuestFault,
  type PageResponse,
} from './vsva-2020-faults.js';

/** A PASID has 20 bits on PCI Express. */
const lastPasid = 0xf_ffff;
const page = 4096n;
const top = 0xffff_ffff_ffff_ffffn;

export interface BindOptions {
  /** The PASID that devices carry: one from `allocatePasid()`. */
  readonly pasid: number;
  /** Where the top-level table lies in the guest's memory: an IOVA of the container, a multiple of 4096. */
  readonly pageTable: bigint;
  /** Bits of an address that the table translates: 48 with four levels, 57 with five. Default: 48. */
  readonly addressWidth?: 48 | 57;
  /** What the guest calls the PASID. Default: it has no name of its own. */
  readonly guestPasid?: number;
  /** Devices may ask as supervisor. Default: false. */
  readonly supervisorRequests?: boolean;
  /** The IOMMU sets the extended access bit too. Default: false. */
  readonly extendedAccess?: boolean;
}

/** The IOMMU's translations, those that devices keep, and what is bound to each PASID. */
export type CacheName = 'iotlb' | 'device-iotlb' | 'pasid';

export type InvalidateOptions = { readonly caches: readonly CacheName[] } & (
  | { readonly granularity: 'domain' }
  | { readonly granularity: 'pasid'; readonly pasid: number }
  | {
      readonly granularity: 'address';
      /** Default: the address in every PASID. */
      readonly pasid?: number;
      readonly address: bigint;
      /** Bytes: the size of the pages, a power of two from 4096 on. Default: 4096. */
      readonly granuleSize?: bigint;
      /** Default: 1. */
      readonly granules?: bigint;
      /** Tables above the pages did not change. Default: false. */
      readonly leafOnly?: boolean;
    }
);

const cacheBits: Readonly<Record<CacheName, number>> = {
  iotlb: IOMMU_CACHE_INV_TYPE_IOTLB,
  'device-iotlb': IOMMU_CACHE_INV_TYPE_DEV_IOTLB,
  pasid: IOMMU_CACHE_INV_TYPE_PASID,
};
const granularities = { domain: IOMMU_INV_GRANU_DOMAIN, pasid: IOMMU_INV_GRANU_PASID, address: IOMMU_INV_GRANU_ADDR } as const;

/**
 * The guest's stage of a container of type VFIO_TYPE1_NESTING_IOMMU. What the container maps is the guest's memory; a
 * page table in it, bound to a PASID, translates what devices do with that PASID. Mainline never took it: a mainline
 * kernel answers each of these calls with ENOTTY.
 */
export class GuestAddressSpaces {
  readonly #container: Container;
  readonly #pasid = vfio_iommu_type1_pasid_request.create();
  readonly #invalidate = vfio_iommu_type1_cache_invalidate.create();

  /** Of a container after `setIommu(VFIO_TYPE1_NESTING_IOMMU)`. */
  constructor(container: Container) {
    this.#container = container;
  }

  /** Whether the container's kernel has the proposal and its IOMMU two stages, by VFIO_IOMMU_GET_INFO. */
  get supported(): boolean {
    return nestingCapability(this.#container.info().capabilities) !== undefined;
  }

  /**
   * VFIO_IOMMU_PASID_REQUEST with ALLOC: the lowest free PASID from `min` to `max`, both inclusive, of 20 bits. 0 is
   * never one.
   * @throws KernelError ENOSPC when none is free.
   */
  allocatePasid({ min = 1, max = lastPasid }: { readonly min?: number; readonly max?: number } = {}): number {
    const request = this.#pasid;
    checkPasid(min, 'min');
    checkPasid(max, 'max');
    if (min > max) throw expected(`a number up to max, ${max},`, 'min', min);
    request.bytes.fill(0);
    request.argsz = vfio_iommu_type1_pasid_request.size;
    request.flags = VFIO_IOMMU_PASID_ALLOC;
    request.alloc_pasid.min = min;
    request.alloc_pasid.max = max;
    this.#container.ioctl(VFIO_IOMMU_PASID_REQUEST, request.bytes);
    return request.alloc_pasid.result;
  }

  /**
   * VFIO_IOMMU_PASID_REQUEST with FREE. Those that are left are freed when the container's last group leaves.
   * @throws KernelError EINVAL when the container has no such PASID, EBUSY while a table is bound to it.
   */
  freePasid(pasid: number): void {
    const request = this.#pasid;
    request.bytes.fill(0);
    request.argsz = vfio_iommu_type1_pasid_request.size;
    request.flags = VFIO_IOMMU_PASID_FREE;
    request.free_pasid = checkPasid(pasid, 'pasid');
    this.#container.ioctl(VFIO_IOMMU_PASID_REQUEST, request.bytes);
  }

  /**
   * VFIO_IOMMU_BIND with BIND_GUEST_PGTBL, in VT-d's format. Closing the result unbinds it, and so does closing the
   * container. The table's memory stays the caller's; the IOMMU sets accessed and dirty bits in it.
   * @throws KernelError EINVAL when the PASID is not the container's, EBUSY when it has a table.
   */
  bindGuestPageTable(options: BindOptions): GuestPageTable {
    return new GuestPageTable(this.#container, options);
  }

  /**
   * VFIO_IOMMU_CACHE_INVALIDATE. Needed after each change of an entry that was present: until then, the IOMMU and the
   * devices go on with what they remember.
   * @throws RangeError for caches that cannot be invalidated at that granularity; KernelError EINVAL when nothing is
   * bound to the PASID.
   */
  invalidate(options: InvalidateOptions): void {
    const request = this.#invalidate;
    const granularity = granularities[options.granularity];
    if (granularity === undefined) throw expected("'domain', 'pasid' or 'address'", 'granularity', options.granularity);
    request.bytes.fill(0);
    request.argsz = vfio_iommu_type1_cache_invalidate.size;
    const info = request.cache_info;
    info.version = IOMMU_UAPI_VERSION;
    info.granularity = granularity;
    info.cache = checkCaches(options.caches, options.granularity);
    if (options.granularity === 'pasid') {
      info.pasid_info.flags = IOMMU_INV_PASID_FLAGS_PASID;
      info.pasid_info.pasid = BigInt(checkPasid(options.pasid, 'pasid'));
    } else if (options.granularity === 'address') {
      const { pasid, address, granuleSize = page, granules = 1n, leafOnly = false } = options;
      checkRange(address, granuleSize, granules);
      info.addr_info.flags = (pasid === undefined ? 0 : IOMMU_INV_ADDR_FLAGS_PASID) | (leafOnly ? IOMMU_INV_ADDR_FLAGS_LEAF : 0);
      info.addr_info.pasid = pasid === undefined ? 0n : BigInt(checkPasid(pasid, 'pasid'));
      info.addr_info.addr = address;
      info.addr_info.granule_size = granuleSize;
      info.addr_info.nb_granules = granules;
    }
    this.#container.ioctl(VFIO_IOMMU_CACHE_INVALIDATE, request.bytes);
  }
}

/** A guest's page table, bound to a PASID. Closing it unbinds it (VFIO_IOMMU_BIND with UNBIND_GUEST_PGTBL). */
export class GuestPageTable extends Resource {
  readonly pasid: number;
  readonly #container: Container;

  constructor(container: Container, options: BindOptions) {
    const { pasid, pageTable, addressWidth = 48, guestPasid, supervisorRequests = false, extendedAccess = false } = options;
    checkPasid(pasid, 'pasid');
    if (BigInt.asUintN(64, pageTable) !== pageTable || pageTable % page !== 0n)
      throw expected('a multiple of 4096 in 64 bits', 'pageTable', pageTable);
    if (addressWidth !== 48 && addressWidth !== 57) throw expected('48 or 57', 'addressWidth', addressWidth);
    if (guestPasid !== undefined) checkPasid(guestPasid, 'guestPasid');
    container.assertOpen();
    const { bytes, data } = bindRequest(VFIO_IOMMU_BIND_GUEST_PGTBL, pasid);
    data.flags = guestPasid === undefined ? 0n : BigInt(IOMMU_SVA_GPASID_VAL);
    data.gpasid = BigInt(guestPasid ?? 0);
    data.gpgd = pageTable;
    data.addr_width = addressWidth;
    data.vtd.flags = BigInt((supervisorRequests ? IOMMU_SVA_VTD_GPASID_SRE : 0) | (extendedAccess ? IOMMU_SVA_VTD_GPASID_EAFE : 0));
    container.ioctl(VFIO_IOMMU_BIND, bytes);
    super(`Guest page table of PASID ${pasid}`, container);
    this.pasid = pasid;
    this.#container = container;
  }

  protected override release(): void {
    // When the last group leaves, the kernel unbinds everything and forgets how to.
    if (this.#container.groups.length > 0)
      this.#container.ioctl(VFIO_IOMMU_BIND, bindRequest(VFIO_IOMMU_UNBIND_GUEST_PGTBL, this.pasid).bytes);
  }
}

/** Its bytes, and the part of them that says what is bound. */
function bindRequest(flags: number, pasid: number): { bytes: Uint8Array; data: ReturnType<typeof iommu_gpasid_bind_data.create> } {
  const { bytes } = vfio_iommu_type1_bind.create(iommu_gpasid_bind_data.size);
  const request = vfio_iommu_type1_bind.view(bytes.buffer);
  request.argsz = bytes.byteLength;
  request.flags = flags;
  const data = iommu_gpasid_bind_data.view(bytes.buffer, vfio_iommu_type1_bind.size);
  data.version = IOMMU_UAPI_VERSION;
  data.format = IOMMU_PASID_FORMAT_INTEL_VTD;
  data.hpasid = BigInt(pasid);
  return { bytes, data };
}

function checkPasid(pasid: number, argument: string): number {
  return checkedInteger(argument, pasid, lastPasid);
}

/** Not every cache can be invalidated at every granularity, and several only where each can. */
function checkCaches(caches: readonly CacheName[], granularity: InvalidateOptions['granularity']): number {
  const valid = invalidationValidity[granularities[granularity]] ?? 0;
  const names = (Object.keys(cacheBits) as CacheName[]).filter((name) => (cacheBits[name] & valid) !== 0);
  const wrong = caches.find((cache) => !names.includes(cache));
  if (wrong !== undefined || caches.length === 0)
    throw expected(`one or more of '${names.join("', '")}', what granularity '${granularity}' allows,`, 'caches', wrong ?? 'none');
  return caches.reduce((bits, cache) => bits | cacheBits[cache], 0);
}

function checkRange(address: bigint, granuleSize: bigint, granules: bigint): void {
  if (granuleSize < page || (granuleSize & (granuleSize - 1n)) !== 0n)
    throw expected('a power of two from 4096 on', 'granuleSize', granuleSize);
  if (granules <= 0n) throw expected('a positive number', 'granules', granules);
  if (address < 0n || address % granuleSize !== 0n) throw expected(`a multiple of granuleSize, ${granuleSize},`, 'address', address);
  if (address + granuleSize * granules - 1n > top) throw expected('a range that ends in 64 bits', 'granules', granules);
}
