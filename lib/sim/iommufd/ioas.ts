/** An I/O address space. The order of checks is that of the kernel's io_pagetable.c. */
import { errno } from '../../abi/errno.js';
import { IntervalMap, type Interval } from '../interval-map.js';
import type { DmaMapping } from '../dma.js';
import type { Platform } from '../platform.js';
import { DmaBufPages } from './file-pages.js';
import type { PagingDomain } from './hardware.js';
import { IommufdObject } from './objects.js';
import type { Pages, PinnedPages } from './pages.js';
import { holes, mergeSorted, Runs, usedSpans } from './spans.js';

export const top = 0xffff_ffff_ffff_ffffn;
export const pageSize = 4096n;
/** A chosen IOVA is aligned so that a large page of the processor can be one of the IOMMU, and no further. */
const largePage = 0x20_0000n;

/** A part of some pages, to be mapped. */
export interface Slice {
  readonly pages: Pages;
  /** Where in the pages it begins. */
  readonly offset: bigint;
  readonly length: bigint;
}

export interface Access {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** A mapping. */
interface IovaArea extends Interval, Access {
  readonly pages: Pages;
  readonly offset: bigint;
  /** How many in the kernel need it to stay. */
  locks: number;
  /** While a page table has it. */
  pin: PinnedPages | undefined;
  /** How often drivers have pinned some of it. */
  accesses: number;
}

/** What of a range is in one mapping. */
export interface AreaPart extends Interval {
  readonly area: Pick<IovaArea, 'accesses' | 'locks' | keyof Access>;
  readonly slice: Slice;
}

/** Access of a driver. */
interface Accessor {
  readonly alignment: bigint;
  /** What is pinned of the range is to be let go of. */
  notify(range: Interval): void;
}

/** What an unmapping did: the bytes, and 0 or -errno. It may have done some before it failed. */
export interface Unmapped {
  readonly bytes: bigint;
  readonly result: number;
}

interface Reserved extends Interval {
  readonly owner: object;
}

/** A page table that has what is mapped. */
interface Follower {
  readonly domain: PagingDomain;
  /** What was there is not mapped any more. */
  forget(range: Interval): void;
}

export class Ioas extends IommufdObject {
  readonly #areas = new IntervalMap<IovaArea>();
  /** What the mappings take, for whoever looks for room beside them. */
  readonly #used = new Runs();
  /** Where the kernel may choose IOVAs; empty: everywhere. Nothing else is held to it. */
  #allowed = new IntervalMap<Interval>();
  /** What devices cannot have mapped, in order; they may overlap. */
  #reserved: readonly Reserved[] = [];
  #largePages = true;
  /** Without a page table there are no pages to be aligned to, unless large ones are off. */
  #alignment = 1n;
  /** The page tables that follow it. */
  readonly #tables = new Set<Follower>();
  readonly #accesses = new Set<Accessor>();
  readonly #platform: Platform;

  constructor(platform: Platform) {
    super();
    this.#platform = platform;
  }

  /** The mapping a device's access to `iova` falls in. */
  at(iova: bigint): DmaMapping | undefined {
    const area = this.#areas.at(iova);
    return area?.pages.reachable && isPinned(area) ? area : undefined;
  }

  areaAt(iova: bigint): IovaArea | undefined {
    return this.#areas.at(iova);
  }

  /** The page table that has the addresses of what is mapped. */
  get storage(): PagingDomain | undefined {
    const [first] = this.#tables;
    return first?.domain;
  }

  /** iopt_table_add_domain: 0 or -errno. From now on, what is mapped is pinned. */
  addTable(table: Follower): number {
    const { pageSize: granule, aperture } = table.domain;
    const aligned = this.#align(granule > this.#alignment ? granule : this.#alignment);
    if (aligned !== 0) return aligned;
    const refused = this.#reserveOutside(aperture, table);
    const result = refused === 0 ? this.#fill([...this.#areas.within(0n, top)], table) : refused;
    if (result === 0) {
      this.#tables.add(table);
      return 0;
    }
    this.unreserve(table);
    this.#align(this.#leastAlignment);
    return result;
  }

  removeTable(table: Follower): void {
    if (!this.#tables.delete(table)) return;
    this.unreserve(table);
    if (this.#tables.size === 0) for (const area of this.#areas.within(0n, top)) this.#unpin(area);
    this.#align(this.#leastAlignment);
  }

  /** iopt_add_access: 0 or -errno. */
  addAccess(access: Accessor): number {
    this.#accesses.add(access);
    const result = this.#align(this.#leastAlignment);
    if (result !== 0) this.#accesses.delete(access);
    return result;
  }

  removeAccess(access: Accessor): void {
    this.#accesses.delete(access);
    this.#align(this.#leastAlignment);
  }

  #reserveOutside({ start, last }: Interval, owner: object): number {
    const below = start === 0n ? 0 : this.reserve({ start: 0n, last: start - 1n }, owner);
    return below !== 0 || last === top ? below : this.reserve({ start: last + 1n, last: top }, owner);
  }

  get #leastAlignment(): bigint {
    let least = this.#largePages ? 1n : pageSize;
    for (const { domain } of this.#tables) if (domain.pageSize > least) least = domain.pageSize;
    for (const { alignment } of this.#accesses) if (alignment > least) least = alignment;
    return least;
  }

  /** iopt_calculate_iova_alignment: 0, or -errno where something mapped is not aligned so. */
  #align(alignment: bigint): number {
    if (alignment > this.#alignment) {
      for (const { start, last, offset } of this.#areas.within(0n, top))
        if (((start | (last + 1n - start) | (offset % pageSize)) & (alignment - 1n)) !== 0n) return -errno.EADDRINUSE;
    }
    this.#alignment = alignment;
    return 0;
  }

  /** A page table gets what is mapped. 0 or -errno. */
  #fill(areas: readonly IovaArea[], table: Follower): number {
    if (this.#tables.size > 0) return areas.every((area) => takes(table, area)) ? 0 : -errno.EINVAL;
    return this.#pinAll(areas) || this.#refused(areas, [table]);
  }

  /** -EINVAL where a page table cannot have one of them, which are unpinned then. */
  #refused(areas: readonly IovaArea[], tables: Iterable<Follower>): number {
    if ([...tables].every((table) => areas.every((area) => takes(table, area)))) return 0;
    for (const area of areas) this.#unpin(area);
    return -errno.EINVAL;
  }

  /** All or none: 0 or -errno. */
  #pinAll(areas: readonly IovaArea[]): number {
    for (const [index, area] of areas.entries()) {
      const refused = this.#pin(area);
      if (refused === 0) continue;
      for (const done of areas.slice(0, index)) this.#unpin(done);
      return refused;
    }
    return 0;
  }

  /** A page table has no entry for what nobody may read or write. */
  #pin(area: IovaArea): number {
    const pin = area.pages.pin(area.offset, area.last - area.start + 1n, this.#platform);
    if (typeof pin === 'number') return pin;
    if (!area.readable && !area.writable) {
      pin.release();
      return -errno.EINVAL;
    }
    area.pin = pin;
    return 0;
  }

  #unpin(area: IovaArea): void {
    area.pin?.release();
    area.pin = undefined;
  }

  get alignment(): bigint {
    return this.#alignment;
  }

  get largePages(): boolean {
    return this.#largePages;
  }

  /** Whether this is the range of one mapping. */
  maps(iova: bigint, length: bigint): boolean {
    const area = this.#areas.at(iova);
    return area !== undefined && area.start === iova && area.last === iova + length - 1n;
  }

  /** How many page tables follow it. */
  get tables(): number {
    return this.#tables.size;
  }

  /** What is mapped, each once however often. */
  pages(): ReadonlySet<Pages> {
    return new Set([...this.#areas.within(0n, top)].map(({ pages }) => pages));
  }

  /** What is not reserved. */
  ranges(): Interval[] {
    return [...holes(this.#reserved, 0n, top)];
  }

  /** iopt_set_allow_iova: 0 or -errno. */
  allow(allowed: IntervalMap<Interval>): number {
    for (const range of allowed.within(0n, top)) if (this.#reservedIn(range)) return -errno.EADDRINUSE;
    this.#allowed = allowed;
    return 0;
  }

  /** iopt_reserve_iova: 0 or -errno. */
  reserve({ start, last }: Interval, owner: object): number {
    if (this.#areas.overlapping(start, last) !== undefined || this.#allowed.overlapping(start, last) !== undefined)
      return -errno.EADDRINUSE;
    this.#reserved = [...this.#reserved, { start, last, owner }].sort((a, b) => (a.start < b.start ? -1 : 1));
    return 0;
  }

  unreserve(owner: object): void {
    this.#reserved = this.#reserved.filter((reserved) => reserved.owner !== owner);
  }

  #reservedIn({ start, last }: Interval): boolean {
    return this.#reserved.some((reserved) => reserved.start <= last && reserved.last >= start);
  }

  /** iopt_disable_large_pages and iopt_enable_large_pages: 0 or -errno. */
  useLargePages(use: boolean): number {
    if (use === this.#largePages) return 0;
    if (!use && this.#tables.size > 0 && this.#areas.size > 0) return -errno.EINVAL;
    this.#largePages = use;
    const result = this.#align(this.#leastAlignment);
    if (result !== 0) this.#largePages = !use;
    return result;
  }

  /** iopt_map_pages: the slices one behind the other, at `fixed` or where the kernel chooses. The IOVA, or -errno. */
  map(slices: readonly Slice[], length: bigint, fixed: bigint | undefined, access: Access): bigint | number {
    const [first] = slices;
    if ((length & (this.#alignment - 1n)) !== 0n || first === undefined) return -errno.EINVAL;
    const iova = fixed ?? this.#choose(first.pages.address + first.offset, length);
    if (typeof iova === 'number') return iova;
    const refused = fixed === undefined ? 0 : this.#check(fixed, length);
    if (refused !== 0) return refused;
    for (const { pages, offset } of slices) {
      if (access.writable && !pages.writable) return -errno.EPERM;
      if ((offset & (pageSize - 1n) & (this.#alignment - 1n)) !== 0n) return -errno.EINVAL;
    }
    let start = iova;
    const areas: IovaArea[] = [];
    for (const { pages, offset, length: part } of slices) {
      areas.push({ start, last: start + part - 1n, pages, offset, ...access, locks: 0, pin: undefined, accesses: 0 });
      start += part;
    }
    const unfilled = this.#tables.size > 0 ? this.#pinAll(areas) || this.#refused(areas, this.#tables) : 0;
    if (unfilled !== 0) return unfilled;
    for (const area of areas) {
      area.pages.retain();
      this.#areas.insert(area);
      this.#used.add(area);
    }
    return iova;
  }

  /** iopt_check_iova. */
  #check(iova: bigint, length: bigint): number {
    const last = iova + length - 1n;
    if ((iova & (this.#alignment - 1n)) !== 0n) return -errno.EINVAL;
    if (last > top) return -errno.EOVERFLOW;
    if (this.#reservedIn({ start: iova, last })) return -errno.EINVAL;
    return this.#areas.overlapping(iova, last) === undefined ? 0 : -errno.EEXIST;
  }

  /** iopt_alloc_iova: the lowest place, in what is allowed, with the alignment that the memory has. Never 0. */
  #choose(address: bigint, length: bigint): bigint | number {
    if (length >= top / 2n) return -errno.EOVERFLOW;
    const pageOffset = address % pageSize;
    const wanted = lesser(lesser(powerOfTwoFrom(length), largePage), address === 0n ? largePage : address & -address);
    if (wanted < this.#alignment) return -errno.EINVAL;
    const fit = ({ start, last }: Interval): bigint | undefined => {
      const aligned = ((start + wanted - 1n) & -wanted) | pageOffset;
      return aligned < last && last - aligned >= length - 1n ? aligned : undefined;
    };
    const everywhere = [{ start: 0n, last: top }];
    const allowed = this.#allowed.size === 0 ? everywhere : this.#allowed.within(0n, top);
    for (const span of usedSpans(allowed, pageSize, top - pageSize)) {
      const from = fit(span);
      if (from === undefined) continue;
      for (const hole of holes(mergeSorted(this.#reserved, this.#used.within(from, span.last)), from, span.last)) {
        const found = fit(hole);
        if (found !== undefined) return found;
      }
    }
    return -errno.ENOSPC;
  }

  /** What of each mapping is in the range. */
  *parts({ start, last }: Interval): Generator<AreaPart, void> {
    for (const area of this.#areas.within(start, last)) {
      const [from, to] = [area.start > start ? area.start : start, lesser(area.last, last)];
      const slice = { pages: area.pages, offset: area.offset + from - area.start, length: to - from + 1n };
      yield { start: from, last: to, area, slice };
    }
  }

  /** iopt_get_pages: what is mapped there without a gap, or -errno. */
  slices(iova: bigint, length: bigint): Slice[] | number {
    if (length === 0n) return -errno.EINVAL;
    const last = iova + length - 1n;
    if (last > top) return -errno.EOVERFLOW;
    const found: Slice[] = [];
    let next = iova;
    for (const part of this.parts({ start: iova, last })) {
      if (part.start > next) return -errno.ENOENT;
      found.push(part.slice);
      next = part.last + 1n;
    }
    return next > last ? found : -errno.ENOENT;
  }

  /** The last address up to `last` that is mapped without a gap from `iova` on; below `iova`, where nothing is. */
  mappedUntil(iova: bigint, last: bigint): bigint {
    let next = iova;
    for (const area of this.#areas.within(iova, last)) {
      if (area.start > next) break;
      next = area.last + 1n;
    }
    return lesser(next - 1n, last);
  }

  /**
   * iopt_unmap_iova_range. It goes from mapping to mapping: what comes before one that the range cuts through is unmapped
   * all the same.
   */
  unmap(start: bigint, last: bigint): Unmapped {
    let bytes = 0n;
    for (const area of this.#areas.within(start, last)) {
      if (area.locks > 0) return { bytes, result: -errno.EBUSY };
      if (area.start < start || area.last > last) return { bytes, result: -errno.ENOENT };
      this.#evict(area);
      this.#areas.remove(area);
      this.#used.remove(area);
      this.#unpin(area);
      area.pages.drop();
      for (const table of this.#tables) table.forget(area);
      bytes += area.last - area.start + 1n;
    }
    return { bytes, result: 0 };
  }

  /** Has drivers let go of a mapping. A driver that did not would be EDEADLK, and there is none. */
  #evict(area: IovaArea): void {
    if (area.accesses > 0) for (const access of [...this.#accesses]) access.notify(area);
  }

  /** iopt_area_split, of the mapping `last` is in: one that ends there, and the rest. 0 or -errno. */
  cutBehind(last: bigint): number {
    const area = this.#areas.at(last);
    if (area === undefined || last === area.start || last === area.last) return 0;
    const size = last + 1n - area.start;
    if (area.pages instanceof DmaBufPages) return -errno.EOPNOTSUPP;
    if ((((last + 1n) | (area.offset + size)) & (this.#alignment - 1n)) !== 0n || area.accesses > 0) return -errno.EINVAL;
    const [pin, restPin] = area.pin?.split(size) ?? [];
    this.#areas.remove(area);
    area.pages.retain();
    this.#areas.insert({ ...area, last, pin });
    this.#areas.insert({ ...area, start: last + 1n, offset: area.offset + size, pin: restPin });
    return 0;
  }

  override release(): void {
    this.unmap(0n, top);
  }
}

function takes({ domain }: Follower, { writable }: IovaArea): boolean {
  return writable || domain.writableOnly !== true;
}

function isPinned(area: IovaArea): area is IovaArea & DmaMapping {
  return area.pin !== undefined;
}

function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function powerOfTwoFrom(length: bigint): bigint {
  return 1n << BigInt((length - 1n).toString(2).length - (length === 1n ? 1 : 0));
}
