import type { DmaBuffer } from './buffer.js';

/** IOVAs from `start` to `last`, inclusive. */
/** What a device can be attached to: an object of an open /dev/iommu. An `Ioas` is one. */
export interface AttachPoint {
  /** The open file. */
  readonly fd: number;
  /** The object's id in it. */
  readonly id: number;
}

export interface IovaRange {
  readonly start: bigint;
  readonly last: bigint;
}

export interface MapOptions {
  /** Where devices see the memory: a multiple of the IOMMU's smallest page. */
  readonly iova: bigint;
  /** Where the kernel sees it: `kernel.addressOf(memory)`, on a page boundary. */
  readonly address: bigint;
  /** Bytes, a multiple of the page. */
  readonly size: bigint;
  /** The device may read it. Default: true. */
  readonly read?: boolean;
  /** The device may write it. Default: true. */
  readonly write?: boolean;
}

export interface AllocateOptions {
  /** The highest IOVA the device can drive. Default: no limit of its own. */
  readonly below?: bigint;
  /** The device may read it. Default: true. */
  readonly read?: boolean;
  /** The device may write it. Default: true. */
  readonly write?: boolean;
}

/** What devices see of memory: one translation from IOVAs to pages, shared by the devices attached to it. */
export interface AddressSpace {
  /** The IOVAs that may be mapped, in order. They change when a device joins: read them again. */
  ranges(): readonly IovaRange[];
  /** Lets devices reach memory. */
  map(options: MapOptions): void;
  /** Takes all mappings inside the range away. Returns the bytes that were unmapped. */
  unmap(range: { iova: bigint; size: bigint }): bigint;
  /** New memory that devices and this process share. */
  allocate(size: number, options?: AllocateOptions): DmaBuffer;
}
