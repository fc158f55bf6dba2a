/** The type1 IOMMU's rules. The order of checks is that of the handlers in the kernel's vfio_iommu_type1.c. */
import { buildChain } from '../../abi/chain.js';
import { errno } from '../../abi/errno.js';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '../../abi/vfio/container.js';
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
} from '../../abi/vfio/type1.js';
import { IOMMU_UAPI_VERSION } from '../../abi/vfio/vsva-2020.js';
import type { Argument } from '../argument.js';
import type { DmaMapping } from '../dma.js';
import type { Interval } from '../interval-map.js';
import type { IommuDriver, IommuDriverKind } from '../iommu-driver.js';
import type { IommuGroup } from '../iommu-group.js';
import type { Platform } from '../platform.js';
import { checkBitmap, type Bitmap } from './dirty.js';
import { dmaAvailableCapability, iovaRangesCapability, migrationCapability, usableRanges } from './info.js';
import { isPinned, Type1Mappings } from './mappings.js';
import { GuestTranslation } from '../vsva-2020/guest-translation.js';
import { guestIoctl, nestingCapability } from '../vsva-2020/requests.js';

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

/** iommu_enable_nesting: of the drivers here it is Arm's alone that does; in the proposal of 2020, VT-d's alone. */
function canNest({ iommu, vsva2020 }: Platform): boolean {
  return iommu.kind === (vsva2020 === undefined ? 'smmuv3' : 'intel');
}

class Type1 implements IommuDriver {
  readonly #platform: Platform;
  readonly #version2: boolean;
  readonly #nests: boolean;
  readonly #mappings: Type1Mappings;
  /** Groups with an IOMMU, and mediated devices' without. */
  readonly #groups = new Set<IommuGroup>();
  readonly #emulated = new Set<IommuGroup>();
  /** None while no group with an IOMMU has been there: then every IOVA will do. */
  #ranges: readonly Interval[] = [];
  /** The guest's stage, where the container's type has one. */
  readonly pasids: GuestTranslation | undefined;

  constructor(type: number, platform: Platform) {
    this.#version2 = type !== VFIO_TYPE1_IOMMU;
    this.#platform = platform;
    this.#mappings = new Type1Mappings(platform);
    this.#nests = type === VFIO_TYPE1_NESTING_IOMMU;
    this.pasids = this.#nests && platform.vsva2020 !== undefined ? new GuestTranslation(platform.vsva2020, this) : undefined;
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
    if (this.#mappings.invalidAddresses > 0) return -errno.EBUSY;
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
    if (this.#nests && !canNest(this.#platform)) return -errno.EINVAL;
    return iommu.isolatesInterrupts || allowUnsafeInterrupts ? 0 : -errno.EPERM;
  }

  /** With the last group that has an IOMMU go its limits, and mappings that stay are memory nobody looks at. */
  detach(group: IommuGroup): void {
    // A device that left keeps no translation and waits for no page.
    for (const { address } of group.slots) this.pasids?.forget(address);
    this.#emulated.delete(group);
    if (!this.#groups.delete(group) || this.#groups.size > 0) return;
    this.#ranges = [{ start: 0n, last: top }];
    this.#mappings.unpinAll();
  }

  /** The first group with an IOMMU: what was mapped before it came must lie where the IOMMU can have it, and be there. */
  #meetIommu(): number {
    const ranges = usableRanges(this.#platform.iommu);
    const fits = ({ start, last }: Interval): boolean => ranges.some((range) => start >= range.start && last <= range.last);
    if (!this.#mappings.all().every(fits)) return -errno.EINVAL;
    const refused = this.#refusal();
    if (refused !== 0) return refused;
    const unpinnable = this.#mappings.pinAll();
    if (unpinnable !== 0) return unpinnable;
    this.#ranges = ranges;
    return 0;
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
    for (const mapping of this.#mappings.all()) this.#mappings.remove(mapping);
  }

  #getInfo(argument: Argument): number {
    const info = argument.struct(vfio_iommu_type1_info, VFIO_IOMMU_GET_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < VFIO_IOMMU_GET_INFO.minimum) return -errno.EINVAL;
    const room = info.argsz;
    const { capabilityAlignment } = this.#platform.kernel;
    const chain = buildChain(this.#capabilities(), vfio_iommu_type1_info.size, capabilityAlignment);
    info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info.iova_pgsizes = this.#pageSizes;
    if (room < vfio_iommu_type1_info.size + chain.byteLength) {
      info.argsz = vfio_iommu_type1_info.size + chain.byteLength;
    } else {
      info.cap_offset = vfio_iommu_type1_info.size;
      if (!argument.copyTo(chain, vfio_iommu_type1_info.size)) return -errno.EFAULT;
    }
    // The struct's last word is there to fill it up, and older kernels do not write it.
    const answered = Math.min(room, vfio_iommu_type1_info.size - (8 - capabilityAlignment));
    return argument.copyTo(info.bytes.subarray(0, answered)) ? 0 : -errno.EFAULT;
  }

  #capabilities(): Uint8Array[] {
    const ranges = this.#ranges.length > 0 ? [iovaRangesCapability(this.#ranges)] : [];
    return [...this.#secondCapability(), dmaAvailableCapability(this.#mappings.available), ...ranges];
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
    const wraps = iova + size - 1n > top || vaddr + size - 1n > top;
    if (wraps && this.#platform.kernel.checksOverflow) return -errno.EOVERFLOW;

    const readable = (map.flags & VFIO_DMA_MAP_FLAG_READ) !== 0;
    const writable = (map.flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0;
    const newAddress = (map.flags & VFIO_DMA_MAP_FLAG_VADDR) !== 0;
    if (newAddress === (readable || writable)) return -errno.EINVAL;
    if (size === 0n || ((size | iova | vaddr) & (this.#pageSize - 1n)) !== 0n || wraps) return -errno.EINVAL;

    const last = iova + size - 1n;
    if (newAddress) return this.#mappings.readdress(iova, last);
    if (this.#mappings.overlapping(iova, last) !== undefined) return -errno.EEXIST;
    if (this.#mappings.available === 0) return -errno.ENOSPC;
    if (this.#ranges.length > 0 && !this.#ranges.some((range) => iova >= range.start && last <= range.last)) return -errno.EINVAL;
    const requested = { start: iova, last, readable, writable, vaddr };
    return this.#mappings.add(requested, { pinned: this.#groups.size > 0, pageSize: this.#pageSize });
  }

  /** vfio_iommu_type1_unmap_dma, then vfio_dma_do_unmap. */
  #unmapDma(argument: Argument): number {
    const unmap = argument.struct(vfio_iommu_type1_dma_unmap, VFIO_IOMMU_UNMAP_DMA.minimum);
    if (unmap === undefined) return -errno.EFAULT;
    const all = this.#platform.vsva2020 === undefined ? VFIO_DMA_UNMAP_FLAG_ALL : 0;
    const known = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | all | VFIO_DMA_UNMAP_FLAG_VADDR;
    if (unmap.argsz < VFIO_IOMMU_UNMAP_DMA.minimum || (unmap.flags & ~known) !== 0) return -errno.EINVAL;
    let bitmap: Bitmap | undefined;
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
  #unmap({ flags, iova, size }: { flags: number; iova: bigint; size: bigint }, bitmap: Bitmap | undefined): bigint | number {
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
    if (bitmap !== undefined && (!this.#mappings.tracksDirty || bitmap.pgsize !== this.#pageSize)) return -errno.EINVAL;
    const last = everything ? top : iova + size - 1n;
    if (this.#version2 && !everything && this.#mappings.bisects(iova, last)) return -errno.EINVAL;
    // Before it checked for overflow, the kernel computed the range's end as 0 here and found nothing below it.
    if (!everything && last === top && !this.#platform.kernel.checksOverflow) return 0n;

    // Version 1 takes a whole mapping when the range covers its start, and stops at one that begins before.
    const stops = !this.#version2 && (this.#mappings.at(iova)?.start ?? iova) < iova;
    const covered = stops ? [] : [...this.#mappings.within(iova, last)];
    if ((flags & VFIO_DMA_UNMAP_FLAG_VADDR) !== 0) {
      if (!this.#mappings.invalidate(covered)) return -errno.EINVAL;
    } else {
      for (const mapping of covered) {
        const written = bitmap === undefined ? 0 : this.#mappings.report(mapping, iova, bitmap);
        if (written !== 0) return written;
        this.#mappings.remove(mapping);
      }
    }
    return covered.reduce((total, mapping) => total + mapping.last - mapping.start + 1n, 0n);
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
        return this.#mappings.startTracking(this.#pageSize) ? 0 : -errno.EINVAL;
      case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
        this.#mappings.stopTracking();
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
    const wraps = iova + size - (this.#platform.kernel.checksOverflow ? 1n : 0n) > top;
    if (wraps) return this.#platform.kernel.checksOverflow ? -errno.EOVERFLOW : -errno.EINVAL;
    const refused = checkBitmap(size, bitmap);
    if (refused !== 0) return refused;
    const offPage = ((iova | size) & (this.#pageSize - 1n)) !== 0n;
    if (bitmap.pgsize !== this.#pageSize || offPage || !this.#mappings.tracksDirty) return -errno.EINVAL;
    const last = iova + size - 1n;
    if (this.#mappings.bisects(iova, last)) return -errno.EINVAL;
    for (const mapping of this.#mappings.within(iova, last)) {
      const written = this.#mappings.report(mapping, iova, bitmap);
      if (written !== 0) return written;
      mapping.bitmap?.clear();
    }
    return 0;
  }
}
