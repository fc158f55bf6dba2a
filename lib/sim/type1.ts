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
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../abi/vfio/type1.js';
import { IOMMU_UAPI_VERSION } from '../abi/vfio/vsva-2020.js';
import type { Argument } from './argument.js';
import type { DmaMapping } from './dma.js';
import { IntervalMap, type Interval } from './interval-map.js';
import type { IommuDriver, IommuDriverKind } from './iommu-driver.js';
import type { Pin } from './user-memory.js';
import type { IommuGroup } from './iommu-group.js';
import type { Platform } from './platform.js';
import { checkBitmap, MappingBitmap, mostDirtyPages, pagesOf } from './type1-dirty.js';
import { dmaAvailableCapability, iovaRangesCapability, migrationCapability, usableRanges } from './type1-info.js';
import { GuestTranslation } from './vsva-2020/guest-translation.js';
import { guestIoctl, nestingCapability } from './vsva-2020/requests.js';

/** One MAP_DMA. */
interface Type1Mapping extends Interval {
  readonly readable: boolean;
  readonly writable: boolean;
  /** The caller's memory. It is looked at, and pinned, only while a group with an IOMMU is there to reach it. */
  readonly vaddr: bigint;
  pin: Pin | undefined;
  /** UNMAP with the VADDR flag took its address away, until MAP gives a new one. */
  addressInvalid: boolean;
  /** While dirty pages are tracked. */
  bitmap: MappingBitmap | undefined;
}

/** The smallest page, and every larger size there could be: no IOMMU is there to have sizes of its own. */
const anyPageSize = 0xffff_ffff_ffff_f000n;
const top = 0xffff_ffff_ffff_ffffn;

/** What type1 answers about itself while no container uses it, and how one begins to. */
export function type1Kind(platform: Platform): IommuDriverKind {
  return {
    forNoIommu: false,
    checkExtension(extension) {
      switch (extension) {
        case VFIO_TYPE1_IOMMU:
        case VFIO_TYPE1v2_IOMMU:
          return 1;
        case VFIO_UNMAP_ALL:
          // The proposal of 2020 answers its version to this number, which is 1 too.
          return platform.vsva2020 === undefined ? 1 : IOMMU_UAPI_VERSION;
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
  /** The guest's stage, where the container's type has one. */
  readonly pasids: GuestTranslation | undefined;
  /** How many more mappings it takes: the module parameter dma_entry_limit less those that are. */
  #available: number;
  #invalidAddresses = 0;
  /** DIRTY_PAGES started it. */
  #tracksDirty = false;

  constructor(type: number, platform: Platform) {
    this.#version2 = type !== VFIO_TYPE1_IOMMU;
    this.#platform = platform;
    this.#available = platform.entryLimit;
    const nests = type === VFIO_TYPE1_NESTING_IOMMU && platform.vsva2020 !== undefined;
    this.pasids = nests ? new GuestTranslation(platform.vsva2020, this) : undefined;
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
    // VT-d's is the only format of guest page tables there is.
    if (this.pasids !== undefined && iommu.kind !== 'intel') return -errno.EINVAL;
    return iommu.isolatesInterrupts || allowUnsafeInterrupts ? 0 : -errno.EPERM;
  }

  /** With the last group that has an IOMMU go its limits, and mappings that stay are memory nobody looks at. */
  detach(group: IommuGroup): void {
    // A device that left keeps no translation and waits for no page.
    for (const { address } of group.slots) this.pasids?.forget(address);
    this.#emulated.delete(group);
    if (!this.#groups.delete(group) || this.#groups.size > 0) return;
    this.#ranges = [{ start: 0n, last: top }];
    for (const mapping of this.#all()) this.#unpin(mapping);
  }

  /** The first group with an IOMMU: what was mapped before it came must lie where the IOMMU can have it, and be there. */
  #meetIommu(): number {
    const ranges = usableRanges(this.#platform.iommu);
    const mappings = this.#all();
    if (mappings.some(({ start, last }) => !ranges.some((range) => start >= range.start && last <= range.last))) return -errno.EINVAL;
    const refused = this.#refusal();
    if (refused !== 0) return refused;
    for (const mapping of mappings) {
      const pinned = this.#pin(mapping);
      if (pinned === 0) continue;
      for (const each of mappings) this.#unpin(each);
      return pinned;
    }
    this.#ranges = ranges;
    return 0;
  }

  /** Pins and counts the memory of a mapping: 0 or -errno. */
  #pin(mapping: Type1Mapping): number {
    const size = mapping.last - mapping.start + 1n;
    const pin = this.#platform.memory.pin(mapping.vaddr, size);
    if (pin === undefined) return -errno.EFAULT;
    if (!this.#platform.lockedMemory.take(size)) {
      pin.release();
      return -errno.ENOMEM;
    }
    mapping.pin = pin;
    return 0;
  }

  #unpin(mapping: Type1Mapping): void {
    if (mapping.pin === undefined) return;
    mapping.pin.release();
    mapping.pin = undefined;
    this.#platform.lockedMemory.give(mapping.last - mapping.start + 1n);
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
      case VFIO_IOMMU_DIRTY_PAGES.number:
        return this.#dirtyPages(argument);
      default:
        if (this.#platform.vsva2020 === undefined) return -errno.ENOTTY;
        return guestIoctl(this.#platform.vsva2020, this.pasids, request, argument);
    }
  }

  /** The mapping a device's access to `iova` falls in. */
  at(iova: bigint): DmaMapping | undefined {
    const mapping = this.#mappings.at(iova);
    return mapping !== undefined && isPinned(mapping) ? mapping : undefined;
  }

  release(): void {
    this.pasids?.release();
    if (this.pasids !== undefined) this.#platform.vsva2020?.pasids.freeAll(this.pasids);
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
    const ranges = this.#ranges.length > 0 ? [iovaRangesCapability(this.#ranges)] : [];
    return [...this.#secondCapability(), dmaAvailableCapability(this.#available), ...ranges];
  }

  /** Capability 2: migration, or on a kernel with the proposal of 2020 what a nesting container can. */
  #secondCapability(): Uint8Array[] {
    if (this.#platform.vsva2020 === undefined) return [migrationCapability(this.#pageSize)];
    return this.pasids === undefined ? [] : [nestingCapability()];
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
    const mapping: Type1Mapping = {
      ...{ start: iova, last, readable, writable, vaddr },
      ...{ pin: undefined, addressInvalid: false, bitmap: undefined },
    };
    const pinned = this.#groups.size > 0 ? this.#pin(mapping) : 0;
    if (pinned !== 0) return pinned;
    this.#available -= 1;
    this.#mappings.insert(mapping);
    if (!this.#tracksDirty || this.#giveBitmap(mapping)) return 0;
    this.#remove(mapping);
    return -errno.EINVAL;
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
    const all = this.#platform.vsva2020 === undefined ? VFIO_DMA_UNMAP_FLAG_ALL : 0;
    const known = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | all | VFIO_DMA_UNMAP_FLAG_VADDR;
    if (unmap.argsz < VFIO_IOMMU_UNMAP_DMA.minimum || (unmap.flags & ~known) !== 0) return -errno.EINVAL;
    let bitmap: ReturnType<typeof vfio_bitmap.create> | undefined;
    if ((unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0) {
      const { minimum } = VFIO_IOMMU_UNMAP_DMA;
      if ((unmap.flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR)) !== 0) return -errno.EINVAL;
      if (unmap.argsz < minimum + vfio_bitmap.size) return -errno.EINVAL;
      const bytes = argument.copyFrom(vfio_bitmap.size, minimum);
      if (bytes === undefined) return -errno.EFAULT;
      bitmap = vfio_bitmap.copy(bytes);
      const refused = checkBitmap(unmap.size, bitmap);
      if (refused !== 0) return refused;
    }
    const unmapped = this.#unmap(unmap, bitmap);
    if (typeof unmapped === 'number') return unmapped;
    unmap.size = unmapped;
    return argument.copyTo(unmap.bytes) ? 0 : -errno.EFAULT;
  }

  /** The bytes that were unmapped, or -errno. */
  #unmap(
    { flags, iova, size }: { flags: number; iova: bigint; size: bigint },
    bitmap: ReturnType<typeof vfio_bitmap.create> | undefined,
  ): bigint | number {
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
    if (bitmap !== undefined && (!this.#tracksDirty || bitmap.pgsize !== this.#pageSize)) return -errno.EINVAL;
    const last = everything ? top : iova + size - 1n;
    if (this.#version2 && !everything && this.#bisects(iova, last)) return -errno.EINVAL;
    // Before it checked for overflow, the kernel computed the range's end as 0 here and found nothing below it.
    if (!everything && last === top && !this.#platform.kernel.checksOverflow) return 0n;

    // Version 1 takes a whole mapping when the range covers its start, and stops at one that begins before.
    const stops = !this.#version2 && (this.#mappings.at(iova)?.start ?? iova) < iova;
    const covered = stops ? [] : [...this.#mappings.within(iova, last)];
    if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) {
      if (!this.#invalidate(covered)) return -errno.EINVAL;
    } else {
      for (const mapping of covered) {
        const written = bitmap === undefined ? 0 : this.#report(mapping, iova, bitmap.data);
        if (written !== 0) return written;
        this.#remove(mapping);
      }
    }
    return covered.reduce((total, mapping) => total + mapping.last - mapping.start + 1n, 0n);
  }

  /** Whether a mapping lies across either end of the range. */
  #bisects(iova: bigint, last: bigint): boolean {
    const [first, final] = [this.#mappings.at(iova), this.#mappings.at(last)];
    return (first !== undefined && first.start !== iova) || (final !== undefined && final.last !== last);
  }

  /** vfio_iommu_type1_dirty_pages. */
  #dirtyPages(argument: Argument): number {
    if (!this.#version2) return -errno.EACCES;
    const { minimum } = VFIO_IOMMU_DIRTY_PAGES;
    const dirty = argument.struct(vfio_iommu_type1_dirty_bitmap, minimum);
    if (dirty === undefined) return -errno.EFAULT;
    if (dirty.argsz < minimum) return -errno.EINVAL;
    switch (dirty.flags) {
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
        if (!this.#tracksDirty && ![...this.#all()].every((mapping) => this.#giveBitmap(mapping))) return -errno.EINVAL;
        this.#tracksDirty = true;
        return 0;
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
        for (const mapping of this.#all()) mapping.bitmap = undefined;
        this.#tracksDirty = false;
        return 0;
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
        return this.#getBitmap(argument, minimum, dirty.argsz - minimum);
      default:
        return -errno.EINVAL;
    }
  }

  #getBitmap(argument: Argument, at: number, room: number): number {
    if (room < vfio_iommu_type1_dirty_bitmap_get.size) return -errno.EINVAL;
    const bytes = argument.copyFrom(vfio_iommu_type1_dirty_bitmap_get.size, at);
    if (bytes === undefined) return -errno.EFAULT;
    const { iova, size, bitmap } = vfio_iommu_type1_dirty_bitmap_get.copy(bytes);
    // Newer kernels have a word of its own for a range that wraps, and take one that ends at the very top.
    const wraps = this.#platform.kernel.checksOverflow ? size !== 0n && iova + size - 1n > top : iova + size > top;
    if (wraps) return this.#platform.kernel.checksOverflow ? -errno.EOVERFLOW : -errno.EINVAL;
    const refused = checkBitmap(size, bitmap);
    if (refused !== 0) return refused;
    const offPage = ((iova | size) & (this.#pageSize - 1n)) !== 0n;
    if (bitmap.pgsize !== this.#pageSize || offPage || size === 0n || !this.#tracksDirty) return -errno.EINVAL;
    const last = iova + size - 1n;
    if (this.#bisects(iova, last)) return -errno.EINVAL;
    for (const mapping of this.#mappings.within(iova, last)) {
      const written = this.#report(mapping, iova, bitmap.data);
      if (written !== 0) return written;
      mapping.bitmap?.clear();
    }
    return 0;
  }

  /** False for a mapping that has too many pages for a bitmap. */
  #giveBitmap(mapping: Type1Mapping): boolean {
    const pages = pagesOf(mapping, this.#pageSize);
    if (pages > mostDirtyPages) return false;
    mapping.bitmap = new MappingBitmap(pages);
    return true;
  }

  /** Devices behind an IOMMU of this kind do not tell what they wrote, so all they could have written is dirty. */
  #report(mapping: Type1Mapping, base: bigint, data: bigint): number {
    if (mapping.pin !== undefined) mapping.bitmap?.setAll();
    return mapping.bitmap?.writeTo(this.#platform.memory, data, (mapping.start - base) / this.#pageSize) ?? 0;
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
    this.#unpin(mapping);
    this.#available += 1;
  }
}

function isPinned(mapping: Type1Mapping): mapping is Type1Mapping & DmaMapping {
  return mapping.pin !== undefined;
}
