/** Nested page tables of the mock: four words, and no translation. */
import { errno } from '../../../lib/abi/errno.js';
import type { Invalidated, NestedDomain, VirtualIommuHost } from '../../../lib/sim/iommufd/hardware.js';
import type { UserData, UserDataArray } from '../../../lib/sim/iommufd/user-data.js';
import {
  IOMMU_HWPT_DATA_SELFTEST,
  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  MOCK_NESTED_DOMAIN_IOTLB_ID_MAX,
  MOCK_NESTED_DOMAIN_IOTLB_NUM,
  iommu_hwpt_invalidate_selftest,
  iommu_hwpt_selftest,
} from './abi.js';
import { driver } from './driver.js';

/** Nothing is translated by it: it has a cache of four words, to see that they are invalidated. */
export class MockNestedDomain implements NestedDomain {
  readonly driver = driver;
  readonly iotlb: number[];
  /** The virtual IOMMU it was made on. */
  readonly host: VirtualIommuHost | undefined;

  private constructor(word: number, host: VirtualIommuHost | undefined) {
    this.host = host;
    this.iotlb = Array<number>(MOCK_NESTED_DOMAIN_IOTLB_NUM).fill(word);
  }

  static create(data: UserData, host?: VirtualIommuHost): MockNestedDomain | number {
    if (data.type !== IOMMU_HWPT_DATA_SELFTEST) return -errno.EOPNOTSUPP;
    const configuration = data.copy(IOMMU_HWPT_DATA_SELFTEST, iommu_hwpt_selftest, 'iotlb');
    return typeof configuration === 'number' ? configuration : new MockNestedDomain(configuration.iotlb, host);
  }

  at(): undefined {
    return undefined;
  }

  invalidate(entries: UserDataArray): Invalidated {
    if (entries.type !== IOMMU_HWPT_INVALIDATE_DATA_SELFTEST) return { handled: 0, result: -errno.EINVAL };
    for (let index = 0; index < entries.count; index += 1) {
      const result = this.#invalidate(entries.at(index));
      if (result !== 0) return { handled: index, result };
    }
    return { handled: entries.count, result: 0 };
  }

  #invalidate(data: UserData): number {
    const entry = data.copy(IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, iommu_hwpt_invalidate_selftest, 'iotlb_id');
    if (typeof entry === 'number') return entry;
    if ((entry.flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return -errno.EOPNOTSUPP;
    if (entry.iotlb_id > MOCK_NESTED_DOMAIN_IOTLB_ID_MAX) return -errno.EINVAL;
    if (entry.flags === 0) this.iotlb[entry.iotlb_id] = 0;
    else this.iotlb.fill(0);
    return 0;
  }
}
