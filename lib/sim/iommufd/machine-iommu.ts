/** The machine's IOMMU, as the kernel's driver for it shows it to /dev/iommu. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
  iommu_hw_info_amd,
  iommu_hw_info_vtd,
} from '../../abi/iommufd/hwpt.js';
import type { Platform } from '../platform.js';
import type { IommuFeature, IommuProfile } from '../profile.js';
import { BasicIommu, pasidBits } from './basic-iommu.js';
import type { DeviceIommu, HardwareInformation, MakeVirtualIommu, NestedDomain, PagingDomain, Stage2 } from './hardware.js';
import { SmmuIommu } from './smmu/iommu.js';
import type { UserData } from './user-data.js';
import { VtdNestedDomain } from './vtd-nested.js';

/** Of a device, which may be a virtual function of another. */
export function machineIommu({ iommu, kernel }: Platform, isVirtual: boolean): DeviceIommu {
  const newer = kernel.iommufd.pageTablesForPasids;
  switch (iommu.kind) {
    case 'intel':
      return new IntelIommu(iommu, isVirtual, newer);
    case 'amd':
      return newer ? new AmdIommu(iommu, isVirtual) : new OlderAmdIommu(iommu, isVirtual);
    case 'smmuv3':
      return newer ? new SmmuIommu(iommu, isVirtual) : new BasicIommu(iommu, isVirtual);
    default:
      return new BasicIommu(iommu, isVirtual);
  }
}

/** Capability bits of VT-d, as QEMU's unit has them, and those that come with a feature. */
const vtd = {
  capabilities: 0x00d2_0080_2200_0086n,
  extended: 0xf0_0f4an,
  fiveLevels: 1n << 60n,
  snoops: 1n << 7n,
  largePages: 1n << 56n,
  nesting: (1n << 26n) | (1n << 31n) | (1n << 34n) | (1n << 47n),
  scalable: (1n << 43n) | (1n << 46n) | (1n << 48n),
  dirtyTracking: 1n << 45n,
  pasids: (1n << 40n) | (BigInt(pasidBits - 1) << 35n),
} as const;

class IntelIommu extends BasicIommu {
  readonly #newer: boolean;

  constructor(profile: IommuProfile, isVirtual: boolean, newer: boolean) {
    super(profile, isVirtual);
    this.#newer = newer;
  }

  override hardwareInformation(type: number): HardwareInformation | number {
    if (type !== IOMMU_HW_INFO_TYPE_DEFAULT && type !== IOMMU_HW_INFO_TYPE_INTEL_VTD) return -errno.EOPNOTSUPP;
    const bits = (feature: IommuFeature, value: bigint): bigint => (this.has(feature) ? value | vtd.scalable : 0n);
    const information = iommu_hw_info_vtd.create();
    information.flags = IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17;
    information.cap_reg = vtd.capabilities | this.#reach | (this.has('nesting') ? vtd.fiveLevels | vtd.largePages : 0n);
    information.ecap_reg =
      (this.enforcesCoherency ? vtd.snoops : 0n) |
      vtd.extended |
      bits('nesting', vtd.nesting) |
      bits('dirtyTracking', vtd.dirtyTracking) |
      bits('pasids', vtd.pasids);
    return { type: IOMMU_HW_INFO_TYPE_INTEL_VTD, data: information.bytes };
  }

  /** How wide addresses are, the table levels that takes, and the large pages. */
  get #reach(): bigint {
    const { addressBits, pageSizes } = this;
    const levels = addressBits > 48 ? 3n : addressBits > 39 ? 2n : 1n;
    const large = (pageSizes >> 21n) & 1n,
      huge = (pageSizes >> 30n) & 1n;
    return (BigInt(addressBits - 1) << 16n) | (1n << (8n + levels)) | (large << 34n) | (huge << 35n);
  }

  override allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    const known =
      (this.has('nesting') ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
      (this.has('dirtyTracking') ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
      (this.#newer ? IOMMU_HWPT_ALLOC_PASID : 0);
    if ((flags & ~known) !== 0 || data !== undefined) return -errno.EOPNOTSUPP;
    return { ...this.domain(flags), writableOnly: (flags & IOMMU_HWPT_ALLOC_NEST_PARENT) !== 0 };
  }

  /** There is a parent only where there is nesting. */
  allocateNested(parent: Stage2, _flags: number, data: UserData): NestedDomain | number {
    return data.type === IOMMU_HWPT_DATA_VTD_S1 ? VtdNestedDomain.create(this.driver, parent, data) : -errno.EOPNOTSUPP;
  }

  override attach(domain: PagingDomain | NestedDomain): number {
    return domain instanceof VtdNestedDomain && !domain.usable ? -errno.EINVAL : 0;
  }

  /** Older kernels do not ask whether a virtual function has page requests to share. */
  override enablePageRequests(): number {
    if (this.isVirtual && !this.#newer) return -errno.EINVAL;
    return this.requestsPages ? super.enablePageRequests() : -errno.ENODEV;
  }
}

/** Bits of AMD's extended features: page tables of guests and their PASIDs, dirty bits. */
const amd = {
  base: (1n << 0n) | (1n << 3n) | (1n << 6n),
  guest: (1n << 4n) | (1n << 48n),
  guestTableByPointer: 1n << 3n,
  dirtyTracking: (1n << 49n) | (1n << 52n),
  pasids: (1n << 4n) | (BigInt(pasidBits - 1) << 32n),
} as const;

class AmdIommu extends BasicIommu {
  /** Without any of the features, it is the one of QEMU, of which the driver tells nothing. */
  override hardwareInformation(type: number): HardwareInformation | number {
    const [nesting, dirtyTracking, pasids] = [this.has('nesting'), this.has('dirtyTracking'), this.has('pasids')];
    if (!nesting && !dirtyTracking && !pasids) return super.hardwareInformation(type);
    if (type !== IOMMU_HW_INFO_TYPE_DEFAULT && type !== IOMMU_HW_INFO_TYPE_AMD) return -errno.EOPNOTSUPP;
    const information = iommu_hw_info_amd.create();
    information.efr = amd.base | (nesting ? amd.guest : 0n) | (dirtyTracking ? amd.dirtyTracking : 0n) | (pasids ? amd.pasids : 0n);
    information.efr2 = nesting ? amd.guestTableByPointer : 0n;
    return { type: IOMMU_HW_INFO_TYPE_AMD, data: information.bytes };
  }

  /** A page table of the format for PASIDs is neither a parent nor has it dirty bits. */
  override allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    const known =
      flags === IOMMU_HWPT_ALLOC_PASID && this.has('pasids')
        ? IOMMU_HWPT_ALLOC_PASID
        : (this.has('nesting') ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) | (this.has('dirtyTracking') ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0);
    return (flags & ~known) !== 0 || data !== undefined ? -errno.EOPNOTSUPP : this.domain(flags);
  }

  /** Of every type, and they have nothing yet but devices and queues for events. Where nothing nests, Linux is built without. */
  virtualIommus(): MakeVirtualIommu | undefined {
    return this.has('nesting') ? () => ({}) : undefined;
  }
}

/** It nested nothing yet; that was asked of the function that makes page tables, which refused it. */
class OlderAmdIommu extends BasicIommu {
  override allocatePaging(flags: number, data: UserData | undefined): PagingDomain | number {
    const known = this.has('dirtyTracking') ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0;
    return (flags & ~known) !== 0 || data !== undefined ? -errno.EOPNOTSUPP : this.domain(flags);
  }

  allocateNested(): number {
    return -errno.EOPNOTSUPP;
  }
}
