/** A guest's page table on VT-d: the first stage, whose addresses the second translates. The order of checks is that of intel/nested.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IOMMU_VTD_S1_EAFE,
  iommu_hwpt_vtd_s1,
  iommu_hwpt_vtd_s1_invalidate,
} from '../../abi/iommufd/hwpt.js';
import type { DmaMapping } from '../dma.js';
import { TranslationCache } from '../first-stage/translation-cache.js';
import { walk, type PageTable, type Translation } from '../first-stage/walk.js';
import type { Invalidated, NestedDomain, Stage2 } from './hardware.js';
import { nestedMapping } from './nested-mapping.js';
import type { UserData, UserDataArray } from './user-data.js';

const pageSize = 4096n;
const everything = 0xffff_ffff_ffff_ffffn;
/** Bits of an address that the walk translates, by levels. */
const levels: Readonly<Record<number, 4 | 5>> = { 48: 4, 57: 5 };
/** What is cached for accesses without a PASID. */
const noPasid = 0;

export class VtdNestedDomain implements NestedDomain {
  readonly driver: object;
  readonly #parent: Stage2;
  /** Undefined for an address width that there is not. */
  readonly #table: PageTable | undefined;
  readonly #cache = new TranslationCache();

  private constructor(
    driver: object,
    parent: Stage2,
    { flags, pgtbl_addr: root, addr_width }: ReturnType<typeof iommu_hwpt_vtd_s1.create>,
  ) {
    this.driver = driver;
    this.#parent = parent;
    const depth = levels[addr_width];
    this.#table = depth && {
      root,
      levels: depth,
      // Which nobody makes without a PASID.
      supervisorRequests: false,
      extendedAccess: (flags & BigInt(IOMMU_VTD_S1_EAFE)) !== 0n,
    };
  }

  /** The domain, or -errno. */
  static create(driver: object, parent: Stage2, data: UserData): VtdNestedDomain | number {
    const configuration = data.copy(IOMMU_HWPT_DATA_VTD_S1, iommu_hwpt_vtd_s1, '__reserved');
    return typeof configuration === 'number' ? configuration : new VtdNestedDomain(driver, parent, configuration);
  }

  /** What was given is looked at when a device is attached. */
  get usable(): boolean {
    return this.#table !== undefined;
  }

  at(iova: bigint): DmaMapping | undefined {
    const page = this.#page(iova, false);
    return page && nestedMapping(this.#parent, page, iova, (written) => this.#page(written, true));
  }

  /** As it is in the cache, however stale; a page that was not told of a write yet is walked for again. */
  #page(iova: bigint, write: boolean): Translation | undefined {
    const cached = this.#cache.at(noPasid, iova);
    if (cached !== undefined && (!write || cached.dirty)) return cached;
    const found = this.#table && walk(this.#parent, this.#table, iova, { write, privileged: false });
    if (found === undefined || 'reason' in found) return undefined;
    this.#cache.insert(noPasid, found);
    return found;
  }

  invalidate(entries: UserDataArray): Invalidated {
    if (entries.type !== IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) return { handled: 0, result: -errno.EINVAL };
    for (let index = 0; index < entries.count; index += 1) {
      const result = this.#invalidate(entries.at(index));
      if (result !== 0) return { handled: index, result };
    }
    return { handled: entries.count, result: 0 };
  }

  #invalidate(data: UserData): number {
    const entry = data.copy(IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, iommu_hwpt_vtd_s1_invalidate, '__reserved');
    if (typeof entry === 'number') return entry;
    const { addr, npages, flags, __reserved: reserved } = entry;
    if ((flags & ~IOMMU_VTD_INV_FLAGS_LEAF) !== 0 || reserved !== 0) return -errno.EOPNOTSUPP;
    if (addr % pageSize !== 0n || (npages === everything && addr !== 0n)) return -errno.EINVAL;
    if (npages === everything) this.#cache.drop(noPasid);
    else if (npages > 0n) this.#cache.dropRange(noPasid, addr, addr + npages * pageSize - 1n);
    return 0;
  }
}
