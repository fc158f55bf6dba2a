/** The type1 IOMMU's rules. The order of checks is that of the handlers in the kernel's vfio_iommu_type1.c. */
import { buildChain } from '../abi/chain.js';
import { errno } from '../abi/errno.js';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '../abi/vfio/container.js';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iommu_type1_info_cap_migration,
  vfio_iommu_type1_info_dma_avail,
  vfio_iova_range,
} from '../abi/vfio/type1.js';
import type { Argument } from './argument.js';
import type { DmaMapping } from './dma.js';
import { IntervalMap, type Interval } from './interval-map.js';
import type { IommuDriver, IommuDriverKind } from './iommu-driver.js';
import type { IommuGroup } from './iommu-group.js';
import type { Platform } from './platform.js';
import type { IommuProfile } from './profile.js';
import type { Pin } from './user-memory.js';

/** One MAP_DMA. */
interface Type1Mapping extends Interval {
  readonly readable: boolean;
  readonly writable: boolean;
  /** The caller's memory. It is looked at, and pinned, only while a group with an IOMMU is there to reach it. */
  readonly vaddr: bigint;
  pin: Pin | undefined;
  /** UNMAP with the VADDR flag took its address away, until MAP gives a new one. */
  addressInvalid: boolean;
}

/** The smallest page, and every larger size there could be: no IOMMU is there to have sizes of its own. */
const anyPageSize = 0xffff_ffff_ffff_f000n;
const top = 0xffff_ffff_ffff_ffffn;
/** The kernel's limit on dirty bitmaps, as it reports it: one bit for each of 2^31 pages. */
const largestDirtyBitmap = 256n << 20n;

/** What type1 answers about itself while no container uses it, and how one begins to. */
export function type1Kind(platform: Platform): IommuDriverKind {
  return {
    forNoIommu: false,
    checkExtension(extension) {
      switch (extension) {
        case VFIO_TYPE1_IOMMU:
        case VFIO_TYPE1v2_IOMMU:
        case VFIO_UNMAP_ALL:
          return 1;
        case VFIO_TYPE1_NESTING_IOMMU:
          return platform.kernel.nesting ? 1 : 0;
        default:
          return 0;
      }
    },
    open(type) {
      const known = type === VFIO_TYPE1_IOMMU || type === VFIO_TYPE1v2_IOMMU || type === VFIO_TYPE1_NESTING_IOMMU;
      return known ? new Type1(type, platform) : -errno.EINVAL;
    },
  };
}

class Type1 implements IommuDriver {
  readonly #platform: Platform;
  readonly #version2: boolean;
  readonly #mappings = new IntervalMap<Type1Mapping>();
  /** Groups with an IOMMU, and mediated devices' without. */
  readonly #groups = new Set<IommuGroup>();
  readonly #emulated = new Set<IommuGroup>();
  /** None while no group with an IOMMU has been there: then every IOVA will do. */
  #ranges: readonly Interval[] = [];
  /** How many more mappings it takes: the module parameter dma_entry_limit less those that are. */
  #available: number;
  #invalidAddresses = 0;

  constructor(type: number, platform: Platform) {
    this.#version2 = type !== VFIO_TYPE1_IOMMU;
    this.#platform = platform;
    this.#available = platform.entryLimit;
  }

  checkExtension(extension: number): number {
    switch (extension) {
      case VFIO_UPDATE_VADDR:
        return this.#emulated.size === 0 ? 1 : 0;
      case VFIO_DMA_CC_IOMMU:
        // Of no domain at all, each enforces it.
        return this.#groups.size === 0 || this.#platform.iommu.enforcesCoherency ? 1 : 0;
      default:
        return type1Kind(this.#platform).checkExtension(extension);
    }
  }

  /** Not while a mapping's address is unknown, and not where a device could forge interrupts. */
  attach(group: IommuGroup): number {
    if (this.#invalidAddresses > 0) return -errno.EBUSY;
    if (group.kind === 'emulated') {
      this.#emulated.add(group);
      return 0;
    }
    const result = this.#groups.size === 0 ? this.#meetIommu() : this.#refusal();
    if (result === 0) this.#groups.add(group);
    return result;
  }

  #refusal(): number {
    const { iommu, allowUnsafeInterrupts } = this.#platform;
    return iommu.isolatesInterrupts || allowUnsafeInterrupts ? 0 : -errno.EPERM;
  }

  /** With the last group that has an IOMMU go its limits, and mappings that stay are memory nobody looks at. */
  detach(group: IommuGroup): void {
    this.#emulated.delete(group);
    if (!this.#groups.delete(group) || this.#groups.size > 0) return;
    this.#ranges = [{ start: 0n, last: top }];
    unpin(this.#all());
  }

  /** The first group with an IOMMU: what was mapped before it came must lie where the IOMMU can have it, and be there. */
  #meetIommu(): number {
    const ranges = usableRanges(this.#platform.iommu);
    const mappings = this.#all();
    if (mappings.some(({ start, last }) => !ranges.some((range) => start >= range.start && last <= range.last))) return -errno.EINVAL;
    const refused = this.#refusal();
    if (refused !== 0) return refused;
    for (const mapping of mappings) {
      mapping.pin = this.#pin(mapping.vaddr, mapping.last - mapping.start + 1n);
      if (mapping.pin !== undefined) continue;
      unpin(mappings);
      return -errno.EFAULT;
    }
    this.#ranges = ranges;
    return 0;
  }

  #pin(vaddr: bigint, size: bigint): Pin | undefined {
    return this.#platform.memory.pin(vaddr, size);
  }

  #all(): Type1Mapping[] {
    return [...this.#mappings.within(0n, top)];
  }

  ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_IOMMU_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_IOMMU_MAP_DMA.number:
        return this.#mapDma(argument);
      case VFIO_IOMMU_UNMAP_DMA.number:
        return this.#unmapDma(argument);
      default:
        return -errno.ENOTTY;
    }
  }

  /** The mapping a device's access to `iova` falls in. */
  at(iova: bigint): DmaMapping | undefined {
    const mapping = this.#mappings.at(iova);
    return mapping !== undefined && isPinned(mapping) ? mapping : undefined;
  }

  release(): void {
    for (const mapping of this.#all()) this.#remove(mapping);
  }

  #getInfo(argument: Argument): number {
    const info = argument.struct(vfio_iommu_type1_info, VFIO_IOMMU_GET_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_IOMMU_GET_INFO.minimum) return -errno.EINVAL;
    const room = info.argsz;
    const chain = buildChain(this.#capabilities(), vfio_iommu_type1_info.size, 8);
    info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info.iova_pgsizes = this.#pageSizes;
    if (room < vfio_iommu_type1_info.size + chain.byteLength) {
      info.argsz = vfio_iommu_type1_info.size + chain.byteLength;
    } else {
      info.cap_offset = vfio_iommu_type1_info.size;
      if (!argument.copyTo(chain, vfio_iommu_type1_info.size)) return -errno.EFAULT;
    }
    return argument.copyTo(info.bytes.subarray(0, room)) ? 0 : -errno.EFAULT;
  }

  #capabilities(): Uint8Array[] {
    return [this.#migration(), this.#dmaAvailable(), ...(this.#ranges.length > 0 ? [this.#iovaRanges()] : [])];
  }

  #migration(): Uint8Array {
    const capability = vfio_iommu_type1_info_cap_migration.create();
    capability.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION;
    capability.header.version = 1;
    capability.pgsize_bitmap = this.#pageSize;
    capability.max_dirty_bitmap_size = largestDirtyBitmap;
    return capability.bytes;
  }

  #dmaAvailable(): Uint8Array {
    const capability = vfio_iommu_type1_info_dma_avail.create();
    capability.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
    capability.header.version = 1;
    capability.avail = this.#available;
    return capability.bytes;
  }

  #iovaRanges(): Uint8Array {
    const capability = vfio_iommu_type1_info_cap_iova_range.create(this.#ranges.length * vfio_iova_range.size);
    capability.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
    capability.header.version = 1;
    capability.nr_iovas = this.#ranges.length;
    capability.iova_ranges.forEach((range, index) => {
      range.start = this.#ranges[index]?.start ?? 0n;
      range.end = this.#ranges[index]?.last ?? 0n;
    });
    return capability.bytes;
  }

  get #pageSize(): bigint {
    return this.#pageSizes & -this.#pageSizes;
  }

  get #pageSizes(): bigint {
    return this.#groups.size > 0 ? this.#platform.iommu.pageSizes : anyPageSize;
  }

  /** vfio_iommu_type1_map_dma, then vfio_dma_do_map. */
  #mapDma(argument: Argument): number {
    const map = argument.struct(vfio_iommu_type1_dma_map, VFIO_IOMMU_MAP_DMA.minimum);
    if (map === undefined) return -errno.EFAULT;
    const known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;
    if (map.argsz < VFIO_IOMMU_MAP_DMA.minimum || (map.flags & ~known) !== 0) return -errno.EINVAL;
    const { vaddr, iova, size } = map;
    const wraps = size !== 0n && (iova + size - 1n > top || vaddr + size - 1n > top);
    if (wraps && this.#platform.kernel.checksOverflow) return -errno.EOVERFLOW;

    const readable = (map.flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
    const writable = (map.flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
    const newAddress = (map.flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if (newAddress === (readable || writable)) return -errno.EINVAL;
    if (size === 0n || ((size | iova | vaddr) & (this.#pageSize - 1n)) !== 0n || wraps) return -errno.EINVAL;

    const last = iova + size - 1n;
    const existing = this.#mappings.overlapping(iova, last);
    if (newAddress) return this.#readdress(existing, iova, last);
    if (existing !== undefined) return -errno.EEXIST;
    if (this.#available === 0) return -errno.ENOSPC;
    if (this.#ranges.length > 0 && !this.#ranges.some((range) => iova >= range.start && last <= range.last)) return -errno.EINVAL;
    const pin = this.#groups.size > 0 ? this.#pin(vaddr, size) : undefined;
    if (pin === undefined && this.#groups.size > 0) return -errno.EFAULT;
    this.#available -= 1;
    this.#mappings.insert({ start: iova, last, readable, writable, vaddr, pin, addressInvalid: false });
    return 0;
  }

  /** The pages stay those that were pinned: the caller promises that the new address leads to the same ones. */
  #readdress(mapping: Type1Mapping | undefined, iova: bigint, last: bigint): number {
    if (mapping === undefined) return -errno.ENOENT;
    if (!mapping.addressInvalid || mapping.start !== iova || mapping.last !== last) return -errno.EINVAL;
    mapping.addressInvalid = false;
    this.#invalidAddresses -= 1;
    return 0;
  }

  /** vfio_iommu_type1_unmap_dma, then vfio_dma_do_unmap. */
  #unmapDma(argument: Argument): number {
    const unmap = argument.struct(vfio_iommu_type1_dma_unmap, VFIO_IOMMU_UNMAP_DMA.minimum);
    if (unmap === undefined) return -errno.EFAULT;
    const known = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
    if (unmap.argsz < VFIO_IOMMU_UNMAP_DMA.minimum || (unmap.flags & ~known) !== 0) return -errno.EINVAL;
    if ((unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0) {
      const refused = checkDirtyBitmap(unmap, argument);
      if (refused !== 0) return refused;
    }
    const unmapped = this.#unmap(unmap);
    if (typeof unmapped === 'number') return unmapped;
    unmap.size = unmapped;
    return argument.copyTo(unmap.bytes) ? 0 : -errno.EFAULT;
  }

  /** The bytes that were unmapped, or -errno. */
  #unmap({ flags, iova, size }: { flags: number; iova: bigint; size: bigint }): bigint | number {
    const everything = (flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
    // A mediated device could not wait for a new address.
    if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0 && this.#emulated.size > 0) return -errno.EBUSY;
    if ((iova & (this.#pageSize - 1n)) !== 0n) return -errno.EINVAL;
    if (everything) {
      if (iova !== 0n || size !== 0n) return -errno.EINVAL;
    } else {
      if (size === 0n || (size & (this.#pageSize - 1n)) !== 0n) return -errno.EINVAL;
      if (iova + size - 1n > top) return this.#platform.kernel.checksOverflow ? -errno.EOVERFLOW : -errno.EINVAL;
    }
    // The bitmap is that of dirty page tracking, which no request that is answered here can have started.
    if ((flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0) return -errno.EINVAL;
    const last = everything ? top : iova + size - 1n;
    if (this.#version2 && !everything) {
      const first = this.#mappings.at(iova);
      if (first !== undefined && first.start !== iova) return -errno.EINVAL;
      const final = this.#mappings.at(last);
      if (final !== undefined && final.last !== last) return -errno.EINVAL;
    }
    // Before it checked for overflow, the kernel computed the range's end as 0 here and found nothing below it.
    if (!everything && last === top && !this.#platform.kernel.checksOverflow) return 0n;

    // Version 1 takes a whole mapping when the range covers its start, and stops at one that begins before.
    const stops = !this.#version2 && (this.#mappings.at(iova)?.start ?? iova) < iova;
    const covered = stops ? [] : [...this.#mappings.within(iova, last)];
    if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) === 0) for (const mapping of covered) this.#remove(mapping);
    else if (!this.#invalidate(covered)) return -errno.EINVAL;
    return covered.reduce((total, mapping) => total + mapping.last - mapping.start + 1n, 0n);
  }

  /** Takes the addresses of all of them, or of none where one has lost it already. */
  #invalidate(mappings: readonly Type1Mapping[]): boolean {
    if (mappings.some((mapping) => mapping.addressInvalid)) return false;
    for (const mapping of mappings) mapping.addressInvalid = true;
    this.#invalidAddresses += mappings.length;
    return true;
  }

  #remove(mapping: Type1Mapping): void {
    this.#mappings.remove(mapping);
    if (mapping.addressInvalid) this.#invalidAddresses -= 1;
    mapping.pin?.release();
    this.#available += 1;
  }
}

function unpin(mappings: readonly Type1Mapping[]): void {
  for (const mapping of mappings) {
    mapping.pin?.release();
    mapping.pin = undefined;
  }
}

function isPinned(mapping: Type1Mapping): mapping is Type1Mapping & DmaMapping {
  return mapping.pin !== undefined;
}

/** What UNMAP_DMA looks at in the `vfio_bitmap` behind its struct, before it looks at the range. 0 or -errno. */
function checkDirtyBitmap(unmap: { readonly argsz: number; readonly flags: number; readonly size: bigint }, argument: Argument): number {
  const { minimum } = VFIO_IOMMU_UNMAP_DMA;
  if ((unmap.flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR)) !== 0) return -errno.EINVAL;
  if (unmap.argsz < minimum + vfio_bitmap.size) return -errno.EINVAL;
  const bytes = argument.copyFrom(vfio_bitmap.size, minimum);
  if (bytes === undefined) return -errno.EFAULT;
  const { pgsize, size } = vfio_bitmap.copy(bytes);
  const pages = pgsize === 0n ? 0n : unmap.size / (pgsize & -pgsize);
  const needed = ((pages + 63n) / 64n) * 8n;
  return pages > 0n && size >= needed && size > 0n && size <= largestDirtyBitmap ? 0 : -errno.EINVAL;
}

/** The aperture without what the platform keeps for itself, except what devices can be moved off (direct-relaxable). */
function usableRanges(iommu: IommuProfile): Interval[] {
  let ranges: Interval[] = [{ start: 0n, last: iommu.apertureLast }];
  for (const hole of iommu.reserved) {
    if (hole.type === 'direct-relaxable') continue;
    ranges = ranges.flatMap((range) => {
      if (hole.start > range.last || hole.last < range.start) return [range];
      const parts: Interval[] = [];
      if (range.start < hole.start) parts.push({ start: range.start, last: hole.start - 1n });
      if (range.last > hole.last) parts.push({ start: hole.last + 1n, last: range.last });
      return parts;
    });
  }
  return ranges;
}
