import type { Request } from '../abi/ioctl.js';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_alloc,
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_noiommu_get_pa,
  iommu_ioas_map_file,
  iommu_ioas_unmap,
} from '../abi/iommufd/ioas.js';
import { IOMMU_OPTION, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, IOMMU_OPTION_OP_SET, iommu_option } from '../abi/iommufd/object.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checked64, checkedInteger, checkedPowerOfTwo, expected, forElement, KernelError, ofElement } from '../kernel/error.js';
import { RequestList } from '../kernel/request-list.js';
import { Resource, together } from '../kernel/resource.js';
import { Spare } from '../kernel/spare.js';
import type { AddressSpace, IovaRange, MapOptions, MappedRange } from '../memory/address-space.js';
import type { AllocateOptions, DmaOptions } from '../memory/allocate-options.js';
import { allocateBuffer, allocateBufferAsync, type DmaBuffer } from '../memory/buffer.js';
import { IovaAllocator, noIovaFor } from '../memory/iova-allocator.js';
import { destroyObject } from './destroy.js';
import { allowRanges, askRanges } from './iova-ranges.js';
import type { PhysicalRun } from '../memory/physical-space.js';
import { PageTable, type PageTableOptions } from './page-table.js';
import type { BoundDevice } from './virtual-device.js';

export interface CopyOptions {
  /** Where the other address space has the memory mapped. */
  readonly from: bigint;
  /** Bytes. They may lie in several mappings without a gap, and in parts of them. */
  readonly size: bigint;
  /** Where to map it here. Default: the kernel chooses. */
  readonly iova?: bigint;
  /** Devices may read it. Default: true. */
  readonly read?: boolean;
  /** Devices may write it, if they may there. Default: true. */
  readonly write?: boolean;
}

export interface MapFileOptions extends DmaOptions {
  /** Of memory, as `MemoryFile` is or memfd_create(2) gives it; or of a dma-buf over a BAR. */
  readonly fd: number;
  /** Where in the file it begins, in bytes. Default: 0. */
  readonly start?: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Where devices see it. Default: one that is free, up to `below`. */
  readonly iova?: bigint;
}

type IoasMap = Omit<ReturnType<typeof iommu_ioas_map.create>, 'bytes'>;
type IoasUnmap = Omit<ReturnType<typeof iommu_ioas_unmap.create>, 'bytes'>;

/** Where something is to be mapped. */
interface Place extends Pick<DmaOptions, 'below' | 'alignment'> {
  readonly iova?: bigint;
  readonly size: bigint;
}

const top = 0xffff_ffff_ffff_ffffn;
/** Of memory of this process, which is mapped in whole pages. */
const page = 4096n;
const mostFd = 0x7fff_ffff;

/**
 * An I/O address space of /dev/iommu: what devices attached to it see of memory. It owns the memory allocated from it.
 * Closing it unmaps everything and destroys it (IOMMU_DESTROY).
 */
export class Ioas extends Resource implements AddressSpace {
  /** Its id in the open file. */
  readonly id: number;
  readonly #descriptor: Descriptor;
  readonly #map = new Spare(() => iommu_ioas_map.create());
  readonly #unmap = new Spare(() => iommu_ioas_unmap.create());
  readonly #maps = new Spare(() => new RequestList(this.#descriptor, IOMMU_IOAS_MAP, iommu_ioas_map));
  readonly #unmaps = new Spare(() => new RequestList(this.#descriptor, IOMMU_IOAS_UNMAP, iommu_ioas_unmap));
  /** How many mappings are being made on other threads. */
  #underWay = 0;
  #destroyed = false;
  /** For what the kernel does not align as it was asked. */
  readonly #aligned = new IovaAllocator();

  private constructor(owner: Resource, descriptor: Descriptor, id: number) {
    super(`IOAS ${id} of ${descriptor.path}`, owner);
    this.id = id;
    this.#descriptor = descriptor;
  }

  /** `Iommufd.createIoas` is the way to it. @internal */
  static create(owner: Resource, descriptor: Descriptor): Ioas {
    const alloc = iommu_ioas_alloc.create();
    alloc.size = iommu_ioas_alloc.size;
    descriptor.ioctl(IOMMU_IOAS_ALLOC, alloc.bytes);
    return new Ioas(owner, descriptor, alloc.out_ioas_id);
  }

  /** One that the kernel made; `Iommufd.compatibilityIoas` is the way to it. @internal */
  static adopt(owner: Resource, descriptor: Descriptor, id: number): Ioas {
    return new Ioas(owner, descriptor, id);
  }

  /** The fd of the file it has its id in. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * A page table of the IOMMU that a device is behind, for it or others to be attached to: with it, what this address space
   * can have mapped is what that IOMMU reaches. Attaching to the address space itself is enough where nothing of the options
   * is wanted. IOMMU_HWPT_ALLOC. Linux 6.6.
   * @throws KernelError EOPNOTSUPP where the IOMMU, or the kernel, lacks one of the options; EADDRINUSE where something is
   * mapped that it does not reach.
   */
  createPageTable(device: BoundDevice, options?: PageTableOptions): PageTable {
    return PageTable.create({ owner: this, descriptor: this.#descriptor, on: this.id, device }, options);
  }

  /** The IOVAs that may be mapped now; attaching a device takes some away. IOMMU_IOAS_IOVA_RANGES. Linux 6.2. */
  ranges(): readonly IovaRange[] {
    this.assertOpen();
    return askRanges(this.#descriptor, this.id).ranges;
  }

  /** What IOVAs, addresses and sizes are to be multiples of, in bytes: 1 while no device is attached. */
  alignment(): bigint {
    this.assertOpen();
    return askRanges(this.#descriptor, this.id).alignment;
  }

  /** One size: the alignment, which is all that the kernel says. It may well use larger pages. */
  pageSizes(): readonly bigint[] {
    return [this.alignment()];
  }

  /**
   * Limits where the kernel chooses IOVAs, and promises devices that are attached later that they need reach no other. What
   * is mapped at a fixed IOVA is not held to it. Replaces what was allowed before; no ranges: everything.
   * IOMMU_IOAS_ALLOW_IOVAS. Linux 6.2.
   * @throws KernelError EINVAL for ranges that overlap or have one address; EADDRINUSE where a device cannot have them.
   */
  allowRanges(ranges: readonly IovaRange[]): void {
    this.assertOpen();
    allowRanges(this.#descriptor, this.id, ranges);
  }

  /**
   * Lets devices reach memory, at an IOVA of the kernel's choice if none is given; never at 0 then. Returns the IOVA. The kernel
   * aligns it as the memory is, up to 2 MiB; where `alignment` is more, it is one that is free inside `ranges()`. The
   * caller keeps the memory where it is until it is unmapped; `allocate()` does so by itself. IOMMU_IOAS_MAP. Linux 6.2.
   * @throws KernelError EEXIST where something is mapped; EINVAL off the alignment or outside `ranges()`; ENOSPC; RangeError
   * when the lowest IOVA that is free is not below `below`.
   */
  map(options: MapOptions): bigint {
    return this.#place(options, (iova) => this.#mapAt(options, iova));
  }

  /**
   * IOMMU_IOAS_MAP on another thread. The kernel chooses the IOVA only where it is sure to choose well: mapping a second time would
   * take as long again.
   */
  async mapAsync(options: MapOptions): Promise<bigint> {
    const { iova, size, below = top, alignment = 1n } = options;
    if (iova !== undefined || (below === top && alignment === 1n)) return this.#mapAtAsync(options, iova);
    checkedPowerOfTwo('alignment', alignment);
    const request = { size: checked64('size', size), alignment, ranges: this.ranges(), below };
    return this.#aligned.allocateMappedAsync(request, (at) => this.#mapAtAsync(options, at));
  }

  mapMany(list: readonly MapOptions[]): bigint[] {
    this.assertOpen();
    if (list.length === 0) return [];
    return together((undo) => {
      const maps = this.#maps.take();
      maps.fill(list, (map, options) => this.#fillMap(map, options, options.iova));
      const done = maps.make();
      const iovas = list.slice(0, done).map(({ iova }, index) => iova ?? maps.at(index).iova);
      let moving: number | undefined;
      const isMapped = (_: MappedRange, index: number): boolean => index !== moving;
      undo({ close: () => this.unmapMany(iovas.map((iova, index) => ({ iova, size: list[index]!.size })).filter(isMapped)) });
      if (done < list.length) throw ofElement(done, maps.refusal(done));
      for (const [index, options] of list.entries()) {
        const iova = iovas[index]!;
        if (isPlaced(options, iova)) continue;
        moving = index;
        iovas[index] = forElement(index, () => this.#placeAgain(options, iova, (at) => this.#mapAt(options, at)));
        moving = undefined;
      }
      this.#maps.giveBack(maps);
      return iovas;
    });
  }

  #mapAt(options: MapOptions, at: bigint | undefined): bigint {
    const map = this.#map.take();
    this.#fillMap(map, options, at);
    this.#ioctl(IOMMU_IOAS_MAP, map.bytes);
    const iova = at ?? map.iova;
    this.#map.giveBack(map);
    return iova;
  }

  /** While something is being mapped the kernel does not destroy the address space: if it is closed, that is for the end. */
  async #mapAtAsync(options: MapOptions, at: bigint | undefined): Promise<bigint> {
    this.assertOpen();
    const map = iommu_ioas_map.create();
    this.#fillMap(map, options, at);
    this.#underWay += 1;
    try {
      await this.#descriptor.ioctlAsync(IOMMU_IOAS_MAP, map.bytes);
    } finally {
      this.#underWay -= 1;
      if (this.closed && this.#underWay === 0 && !this.#descriptor.closed) this.#destroy();
    }
    this.assertOpen();
    return map.iova;
  }

  /** Every field each time, since the struct is used again. */
  #fillMap(map: IoasMap, { address, size, alignment = 1n, read = true, write = true }: MapOptions, iova: bigint | undefined): void {
    checkedPowerOfTwo('alignment', alignment);
    map.size = iommu_ioas_map.size;
    map.flags = mapFlags(iova, read, write);
    map.ioas_id = this.id;
    map.__reserved = 0;
    map.user_va = checked64('address', address);
    map.length = checked64('size', size);
    map.iova = checked64('iova', iova ?? 0n);
  }

  /**
   * Lets devices reach memory that is a file, whether or not it is mapped in this process. It stays as long as it is mapped
   * for them, even when its fd is closed; another process that has the fd can replace this one (`Iommufd.changeProcess`).
   * Returns the IOVA. IOMMU_IOAS_MAP_FILE. Linux 6.13; dma-bufs over BARs (`device.exportBar`) since 6.19.
   * @throws KernelError EBADF; EINVAL past the end of the file, or for a file of another kind, once a device is attached;
   * otherwise as `map`.
   */
  mapFile(options: MapFileOptions): bigint {
    const { fd, start = 0n, size, alignment = 1n, read = true, write = true } = options;
    checkedInteger('fd', fd, mostFd);
    checkedPowerOfTwo('alignment', alignment);
    return this.#place(options, (at) => {
      const map = iommu_ioas_map_file.create();
      map.size = iommu_ioas_map_file.size;
      map.flags = mapFlags(at, read, write);
      map.ioas_id = this.id;
      map.fd = fd;
      map.start = checked64('start', start);
      map.length = checked64('size', size);
      map.iova = checked64('iova', at ?? 0n);
      this.#ioctl(IOMMU_IOAS_MAP_FILE, map.bytes);
      return map.iova;
    });
  }

  /** Has it mapped where it was asked for, or else where `map`, without an IOVA, has the kernel choose. */
  #place(place: Place, map: (iova: bigint | undefined) => bigint): bigint {
    const mapped = map(place.iova);
    return isPlaced(place, mapped) ? mapped : this.#placeAgain(place, mapped, map);
  }

  /** Where the kernel's choice is none. */
  #placeAgain({ size, below = top, alignment = 1n }: Place, mapped: bigint, map: (iova: bigint) => bigint): bigint {
    this.#unmapRange(mapped, size);
    // The lowest that is free: none is lower.
    if (mapped + size - 1n > below) throw noIovaFor(size, below);
    return this.#aligned.allocateMapped({ size, alignment, ranges: this.ranges(), below }, map);
  }

  /**
   * Maps what another address space of the same file has mapped; the pages are pinned once. Returns the IOVA.
   * IOMMU_IOAS_COPY. Linux 6.2.
   * @throws KernelError ENOENT where not all of it is mapped there; EPERM for writing where devices may only read it there.
   */
  copyFrom(other: Ioas, { from, size, iova, read = true, write = true }: CopyOptions): bigint {
    other.assertOpen();
    if (other.#descriptor !== this.#descriptor)
      throw expected(`an address space of the same ${this.#descriptor.path}`, 'other', other.label);
    const copy = iommu_ioas_copy.create();
    copy.size = iommu_ioas_copy.size;
    copy.flags = mapFlags(iova, read, write);
    copy.dst_ioas_id = this.id;
    copy.src_ioas_id = other.id;
    copy.length = checked64('size', size);
    copy.dst_iova = checked64('iova', iova ?? 0n);
    copy.src_iova = checked64('from', from);
    this.#ioctl(IOMMU_IOAS_COPY, copy.bytes);
    return copy.dst_iova;
  }

  /**
   * Takes all mappings inside the range away; returns the bytes that were. IOMMU_IOAS_UNMAP. Linux 6.2.
   * @throws KernelError ENOENT where nothing is mapped, or where the range cuts through a mapping: those before are gone then.
   */
  unmap({ iova, size }: { iova: bigint; size: bigint }): bigint {
    this.assertOpen();
    return this.#unmapRange(checked64('iova', iova), checkedLength(size));
  }

  unmapMany(list: readonly MappedRange[]): bigint {
    this.assertOpen();
    if (list.length === 0) return 0n;
    const unmaps = this.#unmaps.take();
    unmaps.fill(list, (unmap, { iova, size }) => this.#fillUnmap(unmap, checked64('iova', iova), checkedLength(size)));
    const done = unmaps.make();
    for (const { iova, size } of list.slice(0, done)) this.#aligned.release(iova, size);
    if (done < list.length) throw ofElement(done, unmaps.refusal(done));
    const bytes = list.reduce((sum, _, index) => sum + unmaps.at(index).length, 0n);
    this.#unmaps.giveBack(unmaps);
    return bytes;
  }

  /** Takes every mapping away; returns the bytes that were: 0 where nothing was. */
  unmapAll(): bigint {
    this.assertOpen();
    return this.#unmapRange(0n, top);
  }

  /** Also while the address space is being closed and its buffers go. */
  #unmapRange(iova: bigint, length: bigint): bigint {
    const unmap = this.#unmap.take();
    this.#fillUnmap(unmap, iova, length);
    this.#descriptor.ioctl(IOMMU_IOAS_UNMAP, unmap.bytes);
    const unmapped = unmap.length;
    this.#unmap.giveBack(unmap);
    this.#aligned.release(iova, length);
    return unmapped;
  }

  #fillUnmap(unmap: IoasUnmap, iova: bigint, length: bigint): void {
    unmap.size = iommu_ioas_unmap.size;
    unmap.ioas_id = this.id;
    unmap.iova = iova;
    unmap.length = length;
  }

  /**
   * New zeroed memory, mapped at an IOVA that the kernel chooses: the lowest that is free, allowed and aligned as the memory
   * is. `size` in bytes is rounded up to the page. Undone when the buffer or the address space is closed.
   * @throws RangeError when the IOVA is not below `below`; KernelError ENOSPC when none is free.
   */
  allocate(size: number, options: AllocateOptions = {}): DmaBuffer {
    const alignment = this.alignment();
    return allocateBuffer(this, this.#descriptor.kernel, size, alignment > page ? alignment : page, options, {
      map: (memory) => this.map({ ...options, ...memory }),
      unmap: (buffer) => this.#free(buffer.iova, buffer.size),
    });
  }

  async allocateAsync(size: number, options: AllocateOptions = {}): Promise<DmaBuffer> {
    const alignment = this.alignment();
    return allocateBufferAsync(this, this.#descriptor.kernel, size, alignment > page ? alignment : page, options, {
      map: (memory) => this.mapAsync({ ...options, ...memory }),
      unmap: (buffer) => this.#free(buffer.iova, buffer.size),
    });
  }

  /**
   * Where what is mapped at an IOVA lies in physical memory, and how many of `size` bytes go on there in one piece. For
   * devices without an IOMMU, which know no other addresses: it takes one to be attached, and CAP_SYS_RAWIO. The memory
   * stays there as long as it is mapped and the device attached. IOMMU_IOAS_NOIOMMU_GET_PA. Linux 7.3.
   * @throws KernelError ENOENT where nothing is mapped; EOPNOTSUPP while no device without an IOMMU is attached.
   */
  physicalAddress({ iova, size }: { readonly iova: bigint; readonly size: bigint }): PhysicalRun {
    const asked = iommu_ioas_noiommu_get_pa.create();
    asked.size = iommu_ioas_noiommu_get_pa.size;
    asked.ioas_id = this.id;
    asked.iova = checked64('iova', iova);
    asked.length = checked64('size', size);
    this.#ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, asked.bytes);
    return { address: asked.out_phys, size: asked.length };
  }

  /** Whoever unmapped everything, or destroyed it, unmapped the buffers too. */
  #free(iova: bigint, size: bigint): void {
    if (this.#destroyed) return;
    try {
      this.#unmapRange(iova, size);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'ENOENT') throw error;
    }
  }

  /** Whether large pages of the IOMMU are used. IOMMU_OPTION_HUGE_PAGES. Linux 6.2. */
  usesLargePages(): boolean {
    return this.#largePages(IOMMU_OPTION_OP_GET, 0n) === 1n;
  }

  /**
   * Turns large pages off, so that mappings are of single pages, or on again.
   * @throws KernelError EADDRINUSE where a mapping is not aligned to pages; EINVAL with mappings and a device.
   */
  useLargePages(use: boolean): void {
    this.#largePages(IOMMU_OPTION_OP_SET, use ? 1n : 0n);
  }

  #largePages(operation: number, value: bigint): bigint {
    const option = iommu_option.create();
    Object.assign(option, { size: iommu_option.size, option_id: IOMMU_OPTION_HUGE_PAGES, op: operation, object_id: this.id, val64: value });
    this.#ioctl(IOMMU_OPTION, option.bytes);
    return option.val64;
  }

  /** A destroyed address space's id may be another's by now. */
  #ioctl(request: Request, bytes: Uint8Array): void {
    this.assertOpen();
    this.#descriptor.ioctl(request, bytes);
  }

  protected override release(): void {
    if (this.#underWay === 0) this.#destroy();
  }

  #destroy(): void {
    this.#destroyed = true;
    destroyObject(this.#descriptor, this.id);
  }
}

/** All ones from 0 on would be everything, even nothing. */
function checkedLength(size: bigint): bigint {
  if (size === top) throw expected('a size below 2^64 - 1, or unmapAll() instead,', 'size', size);
  return checked64('size', size);
}

/** What was mapped there is where it may be: wherever it was to be, or low and aligned enough. */
function isPlaced({ iova, size, below = top, alignment = 1n }: Place, mapped: bigint): boolean {
  return iova !== undefined || (mapped + size - 1n <= below && (mapped & (alignment - 1n)) === 0n);
}

function mapFlags(iova: bigint | undefined, read: boolean, write: boolean): number {
  const direction = (read ? IOMMU_IOAS_MAP_READABLE : 0) | (write ? IOMMU_IOAS_MAP_WRITEABLE : 0);
  return direction | (iova === undefined ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA);
}
