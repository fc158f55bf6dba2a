/** Page tables of the hardware: what devices are attached to. */
import type { DmaMapping } from '../dma.js';
import type { Interval } from '../interval-map.js';
import type { NestedDomain, PagingDomain, Stage2 } from './hardware.js';
import type { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';
import type { PageRequestQueue } from './page-request.js';

/** A page table of either kind: a HWPT. */
export abstract class HardwarePageTable extends IommufdObject {
  /** It was made to be attached with PASIDs, or beside page tables that are. */
  readonly forPasids: boolean;

  /** Where page requests of its devices go. */
  #faultQueue: PageRequestQueue | undefined;

  constructor(forPasids: boolean) {
    super();
    this.forPasids = forPasids;
  }

  get faultQueue(): PageRequestQueue | undefined {
    return this.#faultQueue;
  }

  /** Page requests of its devices go there; the queue stays as long as it does. */
  reportTo(queue: PageRequestQueue): void {
    this.#faultQueue = queue;
    queue.users += 1;
  }

  abstract readonly domain: PagingDomain | NestedDomain;
  /** The page table that follows an address space: this one, or the one it is nested on. */
  abstract readonly paging: PageTable;
  /** The kernel made it, and it goes with its last device. */
  abstract readonly automatic: boolean;
  /** The mapping a device's access to `iova` falls in. */
  abstract at(iova: bigint): DmaMapping | undefined;

  override release(): void {
    if (this.#faultQueue !== undefined) this.#faultQueue.users -= 1;
  }
}

export interface PageTableOptions {
  readonly automatic?: boolean;
  readonly nestParent?: boolean;
  readonly forPasids?: boolean;
}

/** A page table that follows an address space: of the kernel's own making, or asked for. */
export class PageTable extends HardwarePageTable implements Stage2 {
  readonly ioas: Ioas;
  readonly domain: PagingDomain;
  readonly automatic: boolean;
  /** Others can be nested on it. */
  readonly nestParent: boolean;

  constructor(ioas: Ioas, domain: PagingDomain, { automatic = false, nestParent = false, forPasids = false }: PageTableOptions = {}) {
    super(forPasids);
    this.ioas = ioas;
    this.domain = domain;
    this.automatic = automatic;
    this.nestParent = nestParent;
    ioas.users += 1;
  }

  get paging(): PageTable {
    return this;
  }

  at(iova: bigint): DmaMapping | undefined {
    const mapping = this.ioas.at(iova);
    const { dirtyPages } = this.domain;
    if (mapping === undefined || dirtyPages?.tracking !== true) return mapping;
    const { pin, start } = mapping;
    const write = (offset: number, bytes: Uint8Array): void => {
      dirtyPages.mark(start + BigInt(offset), bytes.byteLength);
      pin.write(offset, bytes);
    };
    return {
      ...mapping,
      start,
      last: mapping.last,
      pin: { read: (offset, into) => pin.read(offset, into), write, release: () => pin.release() },
    };
  }

  /** What was unmapped is dirty no more. */
  forget(range: Interval): void {
    this.domain.dirtyPages?.clear(range);
  }

  override release(): void {
    this.ioas.removeTable(this);
    this.ioas.users -= 1;
    super.release();
  }
}

/** A page table of a guest, nested on another. */
export class NestedPageTable extends HardwarePageTable {
  readonly paging: PageTable;
  readonly domain: NestedDomain;
  readonly automatic = false;
  readonly #base: IommufdObject;

  /** `base` is what it was made of, and what it keeps from being destroyed: the parent, or a virtual IOMMU on it. */
  constructor(parent: PageTable, base: IommufdObject, domain: NestedDomain, forPasids: boolean) {
    super(forPasids);
    this.paging = parent;
    this.domain = domain;
    this.#base = base;
    base.users += 1;
  }

  at(iova: bigint): DmaMapping | undefined {
    return this.domain.at(iova);
  }

  override release(): void {
    this.#base.users -= 1;
    super.release();
  }
}
