/** The mock's IOMMU: half a page of the processor is its page. */
import { errno } from '../../../lib/abi/errno.js';
import {
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_NONE,
} from '../../../lib/abi/iommufd/hwpt.js';
import { DirtyPages } from '../../../lib/sim/iommufd/dirty-pages.js';
import type {
  DeviceIommu,
  HardwareInformation,
  MakeVirtualIommu,
  NestedDomain,
  PagingDomain,
  Stage2,
} from '../../../lib/sim/iommufd/hardware.js';
import type { UserData } from '../../../lib/sim/iommufd/user-data.js';
import type { KernelProfile } from '../../../lib/sim/profile.js';
import {
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_TEST_PASID_RESERVED,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  MOCK_APERTURE_LAST,
  MOCK_APERTURE_START,
  MOCK_FLAGS_DEVICE_NO_DIRTY,
  MOCK_FLAGS_DEVICE_PASID,
  MOCK_IOMMUPT_DEFAULT,
  MOCK_IOMMUPT_HUGE,
  MOCK_PAGE_SIZE,
  MOCK_PASID_WIDTH,
  iommu_hwpt_selftest,
  iommu_test_hw_info,
} from './abi.js';

import { driver } from './driver.js';
import { MockNestedDomain } from './nested.js';
import { MockVirtualDevice, MockVirtualIommu } from './virtual.js';

/** Three levels. */
const hugeApertureLast = 0x3f_ffff_ffffn;
const pageSize = 4096n;

export class MockIommu implements DeviceIommu {
  readonly driver = driver;
  readonly isolatesInterrupts = true;
  readonly leavesPasidsToGuests = true;
  readonly reserved = [];
  readonly tracksDirtyPages: boolean;
  readonly translatesForDevice = false;
  readonly maxPasidLog2: number;
  /** Without the flag it has one, 0. */
  readonly knowsPasids = true;
  readonly requestsPages = true;
  readonly virtual = new MockVirtualDevice();
  readonly #newer: boolean;
  #failsNext = false;

  /** `flags` are MOCK_FLAGS_DEVICE_ ones. */
  constructor(flags: number, { version }: KernelProfile) {
    this.#newer = version === '7.3';
    this.tracksDirtyPages = (flags & MOCK_FLAGS_DEVICE_NO_DIRTY) === 0;
    this.maxPasidLog2 = (flags & MOCK_FLAGS_DEVICE_PASID) === 0 ? 0 : MOCK_PASID_WIDTH;
  }

  hardwareInformation(type: number): HardwareInformation | number {
    if (this.#newer && type !== IOMMU_HW_INFO_TYPE_DEFAULT && type !== IOMMU_HW_INFO_TYPE_SELFTEST) return -errno.EOPNOTSUPP;
    const data = iommu_test_hw_info.create();
    data.test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL;
    return { type: IOMMU_HW_INFO_TYPE_SELFTEST, data: data.bytes };
  }

  allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    const known = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | (this.#newer ? IOMMU_HWPT_ALLOC_PASID : 0);
    const tracks = (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) !== 0;
    if ((flags & ~known) !== 0 || (tracks && !this.tracksDirtyPages)) return -errno.EOPNOTSUPP;
    let kind = MOCK_IOMMUPT_DEFAULT;
    if (data !== undefined) {
      if (!this.#newer || (data.type !== IOMMU_HWPT_DATA_SELFTEST && data.type !== IOMMU_HWPT_DATA_NONE)) return -errno.EOPNOTSUPP;
      const configuration = data.copy(IOMMU_HWPT_DATA_SELFTEST, iommu_hwpt_selftest, 'iotlb');
      if (typeof configuration === 'number') return configuration;
      kind = configuration.pagetable_type;
    }
    if (kind !== MOCK_IOMMUPT_DEFAULT && kind !== MOCK_IOMMUPT_HUGE) return -errno.EOPNOTSUPP;
    const granule = BigInt(MOCK_PAGE_SIZE);
    const dirtyPages = tracks ? new DirtyPages(granule) : undefined;
    return kind === MOCK_IOMMUPT_HUGE
      ? { driver, pageSize, aperture: { start: 0n, last: hugeApertureLast }, dirtyPages }
      : {
          driver,
          pageSize: granule,
          aperture: { start: BigInt(MOCK_APERTURE_START), last: BigInt(MOCK_APERTURE_LAST) },
          dirtyPages,
        };
  }

  allocateNested(_parent: Stage2, flags: number, data: UserData): NestedDomain | number {
    if ((flags & ~(this.#newer ? IOMMU_HWPT_ALLOC_PASID : 0)) !== 0) return -errno.EOPNOTSUPP;
    // The older struct has one word.
    return !this.#newer && data.length > 4 ? -errno.EINVAL : MockNestedDomain.create(data);
  }

  virtualIommus(type: number): MakeVirtualIommu | undefined {
    return type === IOMMU_VIOMMU_TYPE_SELFTEST ? MockVirtualIommu.create : undefined;
  }

  attach(domain: PagingDomain | NestedDomain, pasid: number): number {
    if (pasid !== 0) return pasid === IOMMU_TEST_PASID_RESERVED ? this.#attachReserved() : 0;
    if ('dirtyPages' in domain && domain.dirtyPages !== undefined && !this.tracksDirtyPages) return -errno.EINVAL;
    return this.virtual.attach(this, domain instanceof MockNestedDomain ? domain.host : undefined);
  }

  enablePageRequests(): number {
    return 0;
  }

  detach(pasid: number): void {
    if (pasid === IOMMU_TEST_PASID_RESERVED) this.#failsNext = false;
  }

  /** Every second time is refused, to see that what was attached before stays. */
  #attachReserved(): number {
    this.#failsNext = !this.#failsNext;
    return this.#failsNext ? 0 : -errno.ENOMEM;
  }
}
