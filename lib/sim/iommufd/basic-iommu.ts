/** What the drivers of IOMMUs have in common. */
import { errno } from '../../abi/errno.js';
import { IOMMU_HWPT_ALLOC_DIRTY_TRACKING, IOMMU_HW_INFO_TYPE_NONE } from '../../abi/iommufd/hwpt.js';
import type { IommuFeature, IommuProfile, ReservedRegion } from '../profile.js';
import { DirtyPages } from './dirty-pages.js';
import type { DeviceIommu, HardwareInformation, NestedDomain, PagingDomain } from './hardware.js';
import type { UserData } from './user-data.js';

/** Of a device that has PASIDs. */
export const pasidBits = 20;

/** A driver that knows page tables that follow an address space, and nothing else. */
export class BasicIommu implements DeviceIommu {
  readonly driver: object;
  readonly isolatesInterrupts: boolean;
  readonly reserved: readonly ReservedRegion[];
  readonly translatesForDevice = false;
  readonly leavesPasidsToGuests = false;
  readonly #profile: IommuProfile;
  protected readonly isVirtual: boolean;

  constructor(profile: IommuProfile, isVirtual: boolean) {
    this.isVirtual = isVirtual;
    this.driver = profile;
    this.isolatesInterrupts = profile.isolatesInterrupts;
    this.reserved = profile.reserved;
    this.#profile = profile;
  }

  protected has(feature: IommuFeature): boolean {
    return this.#profile.features.has(feature);
  }

  protected get enforcesCoherency(): boolean {
    return this.#profile.enforcesCoherency;
  }

  protected get addressBits(): number {
    return this.#profile.apertureLast.toString(2).length;
  }

  protected get pageSizes(): bigint {
    return this.#profile.pageSizes;
  }

  get tracksDirtyPages(): boolean {
    return this.has('dirtyTracking');
  }

  get maxPasidLog2(): number {
    return this.has('pasids') ? pasidBits : 0;
  }

  get knowsPasids(): boolean {
    return this.has('pasids');
  }

  /** Devices ask for pages where they have PASIDs. */
  get requestsPages(): boolean {
    return this.has('pasids');
  }

  hardwareInformation(_type: number): HardwareInformation | number {
    return { type: IOMMU_HW_INFO_TYPE_NONE, data: new Uint8Array() };
  }

  allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    return flags === 0 && data === undefined ? this.domain(0) : -errno.EOPNOTSUPP;
  }

  protected domain(flags: number): PagingDomain {
    const { pageSizes, apertureLast } = this.#profile;
    const pageSize = pageSizes & -pageSizes;
    const dirtyPages = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) === 0 ? undefined : new DirtyPages(pageSize);
    return { driver: this.driver, pageSize, aperture: { start: 0n, last: apertureLast }, dirtyPages };
  }

  attach(_domain: PagingDomain | NestedDomain): number {
    return 0;
  }

  /** A virtual function shares the page requests of its physical one, which is not known to be the same user's. */
  enablePageRequests(): number {
    return this.isVirtual && this.requestsPages ? -errno.EINVAL : 0;
  }
}
