/** Two stages of translation for accesses that carry a PASID: the guest's page table, then the container's mappings. */
import {
  IOMMU_FAULT_PERM_PRIV,
  IOMMU_FAULT_PERM_READ,
  IOMMU_FAULT_PERM_WRITE,
  IOMMU_FAULT_REASON_BAD_PASID_ENTRY,
  IOMMU_FAULT_REASON_OOR_ADDRESS,
  IOMMU_FAULT_REASON_PASID_INVALID,
  IOMMU_FAULT_REASON_PERMISSION,
  IOMMU_FAULT_REASON_PTE_FETCH,
  IOMMU_FAULT_REASON_WALK_EABT,
  IOMMU_PAGE_RESP_SUCCESS,
} from '../../abi/vfio/vsva-2020.js';
import type { CacheContents, DmaFault, PasidAccess, PasidTranslation, Piece } from '../dma.js';
import type { ReportedFault } from './fault-channel.js';
import type { Vsva2020 } from './machine.js';
import { lastPasid } from './pasids.js';
import { permits, walk, type GuestMemory, type PageTable, type Translation, type WalkFault } from '../first-stage/walk.js';
import { TranslationCache } from '../first-stage/translation-cache.js';

type Pieces = readonly Piece[];
interface Fault extends Omit<WalkFault, 'reason'> {
  /** One of IOMMU_FAULT_REASON_. */
  readonly reason: number;
}
interface Miss extends Fault {
  readonly address: bigint;
}

const reasons: Readonly<Record<WalkFault['reason'], number>> = {
  'no page': IOMMU_FAULT_REASON_PTE_FETCH,
  'not permitted': IOMMU_FAULT_REASON_PERMISSION,
  'table not reachable': IOMMU_FAULT_REASON_WALK_EABT,
};

const pageMask = ~0xfffn;

export class GuestTranslation implements PasidTranslation {
  readonly #machine: Vsva2020;
  readonly #memory: GuestMemory;
  readonly #bound = new Map<number, PageTable>();
  readonly #pasidCache = new Map<number, PageTable>();
  readonly #iotlb = new TranslationCache();
  readonly #deviceIotlbs = new Map<string, TranslationCache>();

  constructor(machine: Vsva2020, memory: GuestMemory) {
    this.#machine = machine;
    this.#memory = memory;
  }

  isBound(pasid: number): boolean {
    return this.#bound.has(pasid);
  }

  bind(pasid: number, table: PageTable): void {
    this.#bound.set(pasid, table);
  }

  /** Nothing of the table is used once it is unbound, whatever was cached, and nobody waits for its pages. */
  unbind(pasid: number): void {
    this.#bound.delete(pasid);
    this.dropPasids(pasid);
    this.dropTranslations(pasid);
    this.dropDeviceTranslations(pasid);
    for (const channel of this.#machine.channels) channel.drain(this, pasid);
  }

  /** A device leaves. */
  forget(device: string): void {
    this.#deviceIotlbs.delete(device);
    this.#machine.channel(device).drain(this);
  }

  release(): void {
    for (const pasid of [...this.#bound.keys()]) this.unbind(pasid);
  }

  dropPasids(pasid?: number): void {
    if (pasid === undefined) this.#pasidCache.clear();
    else this.#pasidCache.delete(pasid);
  }

  dropTranslations(pasid?: number): void {
    this.#iotlb.drop(pasid);
  }

  dropDeviceTranslations(pasid?: number): void {
    for (const cache of this.#deviceIotlbs.values()) cache.drop(pasid);
  }

  dropRange(pasid: number | undefined, start: bigint, last: bigint): void {
    this.#iotlb.dropRange(pasid, start, last);
  }

  dropDeviceRange(pasid: number | undefined, start: bigint, last: bigint): void {
    for (const cache of this.#deviceIotlbs.values()) cache.dropRange(pasid, start, last);
  }

  cached(device: string): CacheContents {
    return {
      pasids: this.#pasidCache.size,
      translations: this.#iotlb.size,
      deviceTranslations: this.#deviceIotlbs.get(device)?.size ?? 0,
    };
  }

  translate(access: PasidAccess): Pieces | DmaFault['reason'] {
    const found = this.#pieces(access);
    return 'reason' in found ? this.#lost(access, found) : found;
  }

  /** Retried as often as the answer is that the page is there now: each time it is not, the device asks again. */
  translateOnDemand(access: PasidAccess, done: (found: Pieces | DmaFault['reason']) => void): void {
    const found = this.#pieces(access);
    if (!('reason' in found)) return done(found);
    if (!found.recoverable) return done(this.#lost(access, found));
    this.#machine.channel(access.device).request(reported(access, found), this, (code) => {
      if (code === IOMMU_PAGE_RESP_SUCCESS) this.translateOnDemand(access, done);
      else done(describe(access, found));
    });
  }

  #lost(access: PasidAccess, miss: Miss): DmaFault['reason'] {
    this.#machine.channel(access.device).report(reported(access, miss), miss.reason, miss.fetchAddress);
    return describe(access, miss);
  }

  /** The memory behind the whole access, or the first page's fault. */
  #pieces(access: PasidAccess): Pieces | Miss {
    const pieces: Piece[] = [];
    const end = access.iova + BigInt(access.size);
    for (let at = access.iova; at < end; ) {
      const page = this.#page(access, at);
      if ('reason' in page) return { ...page, address: at & pageMask };
      const stop = page.last + 1n < end ? page.last + 1n : end;
      while (at < stop) {
        const guestAddress = page.output + (at - page.start);
        const mapping = this.#memory.at(guestAddress);
        if (mapping === undefined) return { reason: IOMMU_FAULT_REASON_OOR_ADDRESS, address: at & pageMask, recoverable: false };
        const permitted = access.direction === 'read' ? mapping.readable : mapping.writable;
        if (!permitted) return { reason: IOMMU_FAULT_REASON_PERMISSION, address: at & pageMask, recoverable: false };
        const room = mapping.last - guestAddress + 1n;
        const size = stop - at < room ? stop - at : room;
        pieces.push({ mapping, offset: Number(guestAddress - mapping.start), size: Number(size) });
        at += size;
      }
    }
    return pieces;
  }

  /**
   * The device's own cache, the IOMMU's, then the walk. A cached page that permits too little, or whose table was not
   * told of a write yet, is walked for again, as hardware does; one that permits the access is used however stale it is.
   */
  #page(access: PasidAccess, address: bigint): Translation | Fault {
    const { pasid, device } = access;
    const wanted = { write: access.direction === 'write', privileged: access.privileged };
    const ownCache = access.ats ? this.#deviceIotlb(device) : undefined;
    const usable = (page: Translation | undefined): page is Translation =>
      page !== undefined && permits(page, wanted) && (!wanted.write || page.dirty);
    const own = ownCache?.at(pasid, address);
    if (usable(own)) return own;
    let page = this.#iotlb.at(pasid, address);
    if (!usable(page)) {
      if (pasid > lastPasid) return { reason: IOMMU_FAULT_REASON_PASID_INVALID, recoverable: false };
      const table = this.#pasidCache.get(pasid) ?? this.#bound.get(pasid);
      if (table === undefined) return { reason: IOMMU_FAULT_REASON_BAD_PASID_ENTRY, recoverable: false };
      this.#pasidCache.set(pasid, table);
      const found = walk(this.#memory, table, address, wanted);
      if ('reason' in found) return { ...found, reason: reasons[found.reason] };
      page = found;
      this.#iotlb.insert(pasid, page);
    }
    ownCache?.insert(pasid, page);
    return page;
  }

  #deviceIotlb(device: string): TranslationCache {
    const cache = this.#deviceIotlbs.get(device) ?? new TranslationCache();
    this.#deviceIotlbs.set(device, cache);
    return cache;
  }
}

function reported({ pasid, direction, privileged }: PasidAccess, { address }: Miss): ReportedFault {
  const permission = direction === 'read' ? IOMMU_FAULT_PERM_READ : IOMMU_FAULT_PERM_WRITE;
  return { pasid, permission: permission | (privileged ? IOMMU_FAULT_PERM_PRIV : 0), address };
}

/** The fault in the words of the machine's own record. */
function describe({ direction }: PasidAccess, { reason }: Miss): DmaFault['reason'] {
  switch (reason) {
    case IOMMU_FAULT_REASON_PASID_INVALID:
    case IOMMU_FAULT_REASON_BAD_PASID_ENTRY:
      return 'PASID not bound';
    case IOMMU_FAULT_REASON_WALK_EABT:
      return 'page table not reachable';
    case IOMMU_FAULT_REASON_PERMISSION:
      return direction === 'read' ? 'not readable' : 'not writable';
    default:
      return 'not mapped';
  }
}
