/** The machine's IOMMU, as its driver shows it to /dev/iommu. */
import { errno } from '../../abi/errno.js';
import type { IommuProfile, ReservedRegion } from '../profile.js';
import type { DeviceIommu, HardwareInformation, PagingDomain } from './hardware.js';

export class MachineIommu implements DeviceIommu {
  readonly driver: object;
  readonly isolatesInterrupts: boolean;
  readonly reserved: readonly ReservedRegion[];
  readonly tracksDirtyPages = false;
  readonly translatesForDevice = false;
  readonly maxPasidLog2 = 0;
  readonly leavesPasidsToGuests = false;
  readonly #profile: IommuProfile;

  constructor(profile: IommuProfile) {
    this.driver = profile;
    this.isolatesInterrupts = profile.isolatesInterrupts;
    this.reserved = profile.reserved;
    this.#profile = profile;
  }

  hardwareInformation(): HardwareInformation | number {
    return -errno.EOPNOTSUPP;
  }

  allocatePaging(flags: number): PagingDomain | number {
    if (flags !== 0) return -errno.EOPNOTSUPP;
    const { pageSizes, apertureLast } = this.#profile;
    return { driver: this.driver, pageSize: pageSizes & -pageSizes, aperture: { start: 0n, last: apertureLast } };
  }

  attach(): number {
    return 0;
  }

  enablePageRequests(): number {
    return this.#profile.kind === 'intel' ? -errno.ENODEV : 0;
  }
}
