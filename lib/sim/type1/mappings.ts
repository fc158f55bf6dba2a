/** What a type1 container has mapped: how much it takes, the memory pinned behind it, and what of that became dirty. */
import { errno } from '../../abi/errno.js';
import type { DmaMapping } from '../dma.js';
import { IntervalMap, type Interval } from '../interval-map.js';
import type { Platform } from '../platform.js';
import { MappingBitmap, mostDirtyPages, pagesOf, type Bitmap } from './dirty.js';
import type { Pin } from '../user-memory.js';

/** One MAP_DMA, as it was asked for. */
interface RequestedMapping extends Interval {
  readonly readable: boolean;
  readonly writable: boolean;
  /** The caller's memory. It is looked at, and pinned, only while a group with an IOMMU is there to reach it. */
  readonly vaddr: bigint;
}

/** And as it is kept. */
export interface Type1Mapping extends RequestedMapping {
  pin: Pin | undefined;
  /** UNMAP with the VADDR flag took its address away, until MAP gives a new one. */
  addressInvalid: boolean;
  /** While dirty pages are tracked. */
  bitmap: MappingBitmap | undefined;
}

const top = 0xffff_ffff_ffff_ffffn;

/** They come with `add` and go with `remove`: these pin, count and track, which `insert` by itself does not. */
export class Type1Mappings extends IntervalMap<Type1Mapping> {
  readonly #platform: Platform;
  /** The module's parameter dma_entry_limit, as it was when the container got its type. */
  readonly #limit: number;
  #invalidAddresses = 0;
  #tracksDirty = false;

  constructor(platform: Platform) {
    super();
    this.#platform = platform;
    this.#limit = platform.entryLimit;
  }

  /** How many more fit. */
  get available(): number {
    return this.#limit - this.size;
  }

  /** How many wait for a new address. */
  get invalidAddresses(): number {
    return this.#invalidAddresses;
  }

  /** DIRTY_PAGES started it. */
  get tracksDirty(): boolean {
    return this.#tracksDirty;
  }

  all(): Type1Mapping[] {
    return [...this.within(0n, top)];
  }

  /** Whether a mapping lies across either end of the range. */
  bisects(start: bigint, last: bigint): boolean {
    const [first, final] = [this.at(start), this.at(last)];
    return (first !== undefined && first.start !== start) || (final !== undefined && final.last !== last);
  }

  /** 0 or -errno. `pinned`: whether a group with an IOMMU is there, so that its memory has to be. */
  add(requested: RequestedMapping, { pinned, pageSize }: { pinned: boolean; pageSize: bigint }): number {
    const mapping: Type1Mapping = { ...requested, pin: undefined, addressInvalid: false, bitmap: undefined };
    const refused = pinned ? this.#pin(mapping) : 0;
    if (refused !== 0) return refused;
    this.insert(mapping);
    if (!this.#tracksDirty || giveBitmap(mapping, pageSize)) return 0;
    this.remove(mapping);
    return -errno.EINVAL;
  }

  override remove(mapping: Type1Mapping): void {
    super.remove(mapping);
    if (mapping.addressInvalid) this.#invalidAddresses -= 1;
    this.#unpin(mapping);
  }

  /** Takes the addresses of all of them, or of none where one has lost it already. */
  invalidate(mappings: readonly Type1Mapping[]): boolean {
    if (mappings.some((mapping) => mapping.addressInvalid)) return false;
    for (const mapping of mappings) mapping.addressInvalid = true;
    this.#invalidAddresses += mappings.length;
    return true;
  }

  /** The pages stay those that were pinned: the caller promises that the new address leads to the same ones. */
  readdress(start: bigint, last: bigint): number {
    const mapping = this.overlapping(start, last);
    if (mapping === undefined) return -errno.ENOENT;
    if (!mapping.addressInvalid || mapping.start !== start || mapping.last !== last) return -errno.EINVAL;
    mapping.addressInvalid = false;
    this.#invalidAddresses -= 1;
    return 0;
  }

  /** Pins all, or none where the memory of one is not to be had: 0 or -errno. */
  pinAll(): number {
    for (const mapping of this.all()) {
      const refused = this.#pin(mapping);
      if (refused === 0) continue;
      this.unpinAll();
      return refused;
    }
    return 0;
  }

  unpinAll(): void {
    for (const mapping of this.all()) this.#unpin(mapping);
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

  /** False where a mapping has too many pages for a bitmap. What is tracked already goes on as it is. */
  startTracking(pageSize: bigint): boolean {
    if (!this.#tracksDirty) this.#tracksDirty = this.all().every((mapping) => giveBitmap(mapping, pageSize));
    return this.#tracksDirty;
  }

  stopTracking(): void {
    for (const mapping of this.all()) mapping.bitmap = undefined;
    this.#tracksDirty = false;
  }

  /**
   * Writes what is dirty of a mapping into the caller's bitmap, whose first page is the one at `base`: 0 or -errno.
   * Devices behind an IOMMU of this kind do not tell what they wrote, so all they could have written is dirty.
   */
  report(mapping: Type1Mapping, base: bigint, { data, pgsize }: Bitmap): number {
    if (mapping.pin !== undefined) mapping.bitmap?.setAll();
    return mapping.bitmap?.writeTo(this.#platform.memory, data, (mapping.start - base) / pgsize) ?? 0;
  }
}

/** False for a mapping that has too many pages for a bitmap. */
function giveBitmap(mapping: Type1Mapping, pageSize: bigint): boolean {
  const pages = pagesOf(mapping, pageSize);
  if (pages > mostDirtyPages) return false;
  mapping.bitmap = new MappingBitmap(pages);
  return true;
}

export function isPinned(mapping: Type1Mapping): mapping is Type1Mapping & DmaMapping {
  return mapping.pin !== undefined;
}
