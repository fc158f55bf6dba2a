import type { AllocateOptions, DmaOptions } from './allocate-options.js';
import type { DmaBuffer } from './buffer.js';
import type { DirtyTracking } from './dirty-tracking.js';

/** What a device can be attached to: an object of an open /dev/iommu. An `Ioas` is one. */
export interface AttachPoint {
  /** The open file. */
  readonly fd: number;
  /** The object's id in it. */
  readonly id: number;
}

/** IOVAs from `start` to `last`, inclusive. */
export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

export interface MapOptions extends DmaOptions {
  /** Where devices see the memory: a multiple of the smallest page. Default: one that is free, up to `below`. */
  readonly iova?: bigint;
  /** Where the kernel sees it: `kernel.addressOf(memory)`, on a page boundary. */
  readonly address: bigint;
  /** Bytes, a multiple of the page. */
  readonly size: bigint;
}

/** IOVAs that are mapped, or whole mappings of them. */
export interface MappedRange {
  readonly iova: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/**
 * What devices see of memory: one translation from IOVAs to pages, shared by the devices attached to it. A `Container`
 * and an `Ioas` are address spaces; a driver need not know which it has.
 */
export interface AddressSpace {
  /** The IOVAs that may be mapped, in order. They change when a device joins: read them again. */
  ranges(): readonly IovaRange[];
  /**
   * The sizes of pages that the kernel says it maps with, in bytes, smallest first. IOVAs, addresses and sizes are
   * multiples of the first. They change when a device joins.
   */
  pageSizes(): readonly bigint[];
  /**
   * Lets devices reach memory, which the caller keeps where it is until it is unmapped. Returns the IOVA.
   * @throws RangeError when it is to choose an IOVA and none up to `below` is free; KernelError.
   */
  map(options: MapOptions): bigint;
  /**
   * Takes all mappings inside the range away. Returns the bytes that were unmapped. What `allocate` mapped is unmapped by
   * closing it.
   * @throws KernelError where the range cuts through a mapping; from an `Ioas`, also where nothing is mapped.
   */
  unmap(range: { iova: bigint; size: bigint }): bigint;
  /**
   * `map` of each of a list: all of them, or none. A `Container` and an `Ioas` cross into the kernel once for it. Returns the
   * IOVAs. Where some have an IOVA and others are to be given one, the latter may be given what the former want.
   * @throws what `map` throws, with a message that says which of the list it was; a KernelError's `index` says it too. Those
   * before it are unmapped again.
   */
  mapMany(list: readonly MapOptions[]): bigint[];
  /**
   * `unmap` of each of a list. Returns the bytes that were unmapped in all.
   * @throws as `unmap`, and with the place in the list as `mapMany`. Those before it stay unmapped.
   */
  unmapMany(list: readonly MappedRange[]): bigint;
  /**
   * New zeroed memory that devices and this process share, mapped at a free IOVA. `size` in bytes is rounded up to pages.
   * @throws CodedError ERR_VFIO_NO_HUGE_PAGES when the machine has not enough of any `pageSize`; KernelError EINVAL of mmap when
   * there is no such `numaNode`.
   */
  allocate(size: number, options?: AllocateOptions): DmaBuffer;
  /**
   * `map` on another thread, for memory of gigabytes, whose pages the kernel takes seconds to pin: the event loop goes on meanwhile.
   * The memory stays where it is, mapped in this process or not, until it resolves. The same address space answers other requests
   * only after that, and they wait in this thread. If it is closed meanwhile, that happens after it, too, and this rejects.
   * @throws what `map` throws; ClosedError.
   */
  mapAsync(options: MapOptions): Promise<bigint>;
  /**
   * `allocate` with `mapAsync`. Its pages are made on another thread, too, but for huge pages of one `numaNode`.
   * @throws what `allocate` throws; ClosedError.
   */
  allocateAsync(size: number, options?: AllocateOptions): Promise<DmaBuffer>;
  /** Remembers which pages devices may have written, until that is closed. Not every address space can. */
  trackDirtyPages?(): DirtyTracking;
}
