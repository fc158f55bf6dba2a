/** The kernel to imitate, and the IOMMU of the machine: what each has and lacks. */
import type { Request } from '../abi/ioctl.js';
import { IOMMU_FAULT_QUEUE_ALLOC } from '../abi/iommufd/fault.js';
import { IOMMU_IOAS_NOIOMMU_GET_PA } from '../abi/iommufd/ioas.js';
import * as rfc from '../abi/iommufd/rfc-2022.js';

/**
 * Releases of Linux; '6.12-vsva': 6.12 with the guest page table proposal of 2020 in place of what took its numbers; and
 * '6.12-iommufd-rfc': 6.12 with /dev/iommu as it was proposed in 2022.
 */
export type KernelVersion = '6.1' | '6.12' | '7.3' | '6.12-vsva' | '6.12-iommufd-rfc';
export type IommuKind = 'intel' | 'amd' | 'virtio' | 'smmuv3' | 'spapr' | 'none';

/** What differs between kernel versions, each by the change that made it. */
export interface KernelProfile {
  readonly version: KernelVersion;
  /** There is /dev/iommu, of 6.2, and with it nodes of devices, of 6.6. */
  readonly hasIommufd: boolean;
  /** Elements of a capability chain begin at multiples of it, and answers about an IOMMU or a device have a last word to fill them up, since 6.6. */
  readonly capabilityAlignment: 4 | 8;
  /** The sample driver mtty tells of its migration, logs DMA and masks its interrupt, since 6.8. */
  readonly mttyMigrates: boolean;
  /** CHECK_EXTENSION knows VFIO_TYPE1_NESTING_IOMMU; its code went in 6.13. */
  readonly nesting: boolean;
  /** A range that wraps around the end of the address space is EOVERFLOW, and one may end exactly there. Before: EINVAL. */
  readonly checksOverflow: boolean;
  /** The ERR interrupt exists on conventional PCI devices too. */
  readonly errorInterruptWithoutExpress: boolean;
  /** Reads and writes of a BAR reach the device in pieces of at most that many bytes: 8 since 6.10. */
  readonly widestAccess: 4 | 8;
  /** And those of a display's old addresses: 8 in 6.12, and not any more in 7.3. */
  readonly widestVgaAccess: 4 | 8;
  /** MSI-X vectors can be added while others are enabled, since 6.5. */
  readonly growsMsix: boolean;
  /** A negative fd other than -1 is EINVAL for ERR and REQ. Before: it changes nothing. */
  readonly refusesNegativeEventfds: boolean;
  /** The device feature DMA_BUF, of 6.19. */
  readonly exportsDmaBufs: boolean;
  /** The requests of abi/vfio/vsva-2020.ts are answered; UNMAP_ALL and the migration capability, whose numbers they have, are not. */
  readonly vsva2020: boolean;
  /** GET_REGION_INFO is the VFIO core's, with the drivers' answers put together in one way. Before: each driver's own. */
  readonly regionInfoInCore: boolean;
  /** The device feature MIG_PRECOPY_INFOv2, of 7.1, with which the flags of `vfio_precopy_info` mean something. */
  readonly precopyInfoFlags: boolean;
  /** ATTACH and DETACH_IOMMUFD_PT take a PASID, since 6.15. */
  readonly attachesPasids: boolean;
  /** BIND_IOMMUFD takes the token of a virtual function and asks for it, since 6.17. */
  readonly bindsWithToken: boolean;
  readonly iommufd: IommufdProfile;
}

/** What differs on /dev/iommu. */
export interface IommufdProfile {
  /** The request with the highest number. */
  readonly lastRequest: Request;
  /** IOAS_MAP_FILE, of 6.13. */
  readonly mapsFiles: boolean;
  /** IOAS_CHANGE_PROCESS, of 6.13. */
  readonly changesProcess: boolean;
  /** An address that the length wraps around is refused before a length that is none. Before 6.13: after it. */
  readonly checksAddressFirst: boolean;
  /** HWPT_ALLOC makes page tables for PASIDs, of 6.14, and ones with a queue for page requests that are not nested. */
  readonly pageTablesForPasids: boolean;
  /** VIOMMU_ALLOC, of 6.13; then HWPT_INVALIDATE takes their ids too. */
  readonly virtualIommus: boolean;
  /** Dirty bits stay to be read when tracking is off, as the page tables that drivers share since 6.19 have it. */
  readonly keepsDirtyBits: boolean;
  /** GET_HW_INFO takes the type that is wanted, since 6.17. */
  readonly choosesHardwareInformation: boolean;
  /** GET_HW_INFO tells of devices that cannot have addresses translated ahead, since 7.1. */
  readonly tellsMissingAts: boolean;
  /** mmap of /dev/iommu, of 6.17, which hardware queues of virtual IOMMUs need. */
  readonly maps: boolean;
  /** Devices without an IOMMU have nodes of their own, and IOAS_NOIOMMU_GET_PA; of 7.3. */
  readonly tellsPhysicalAddresses: boolean;
  /** The requests of abi/iommufd/rfc-2022.ts are answered, and no others but what those share with mainline. */
  readonly rfc2022: boolean;
}

const linux612: KernelProfile = {
  version: '6.12',
  hasIommufd: true,
  capabilityAlignment: 8,
  mttyMigrates: true,
  nesting: true,
  checksOverflow: false,
  errorInterruptWithoutExpress: false,
  growsMsix: true,
  refusesNegativeEventfds: true,
  widestAccess: 8,
  widestVgaAccess: 8,
  exportsDmaBufs: false,
  vsva2020: false,
  regionInfoInCore: false,
  precopyInfoFlags: false,
  attachesPasids: false,
  bindsWithToken: false,
  iommufd: {
    lastRequest: IOMMU_FAULT_QUEUE_ALLOC,
    mapsFiles: false,
    changesProcess: false,
    checksAddressFirst: false,
    pageTablesForPasids: false,
    virtualIommus: false,
    keepsDirtyBits: false,
    choosesHardwareInformation: false,
    tellsMissingAts: false,
    maps: false,
    tellsPhysicalAddresses: false,
    rfc2022: false,
  },
};

export const kernels: Readonly<Record<KernelVersion, KernelProfile>> = {
  '6.1': {
    ...linux612,
    version: '6.1',
    hasIommufd: false,
    capabilityAlignment: 4,
    mttyMigrates: false,
    growsMsix: false,
    refusesNegativeEventfds: false,
    widestAccess: 4,
    widestVgaAccess: 4,
  },
  '6.12': linux612,
  '7.3': {
    version: '7.3',
    hasIommufd: true,
    capabilityAlignment: 8,
    mttyMigrates: true,
    nesting: false,
    checksOverflow: true,
    errorInterruptWithoutExpress: true,
    growsMsix: true,
    refusesNegativeEventfds: true,
    widestAccess: 8,
    widestVgaAccess: 4,
    exportsDmaBufs: true,
    vsva2020: false,
    regionInfoInCore: true,
    precopyInfoFlags: true,
    attachesPasids: true,
    bindsWithToken: true,
    iommufd: {
      lastRequest: IOMMU_IOAS_NOIOMMU_GET_PA,
      mapsFiles: true,
      changesProcess: true,
      checksAddressFirst: true,
      pageTablesForPasids: true,
      virtualIommus: true,
      keepsDirtyBits: true,
      choosesHardwareInformation: true,
      tellsMissingAts: true,
      maps: true,
      tellsPhysicalAddresses: true,
      rfc2022: false,
    },
  },
  '6.12-vsva': { ...linux612, version: '6.12-vsva', vsva2020: true },
  '6.12-iommufd-rfc': {
    ...linux612,
    version: '6.12-iommufd-rfc',
    iommufd: { ...linux612.iommufd, lastRequest: rfc.IOMMU_VFIO_IOAS, rfc2022: true },
  },
};

export interface ReservedRegion {
  readonly start: bigint;
  readonly last: bigint;
  /** As /sys/kernel/iommu_groups/N/reserved_regions names it. */
  readonly type: 'direct' | 'direct-relaxable' | 'reserved' | 'msi';
}

/**
 * What an IOMMU can do beside plain translation: page tables of a guest nested on one of the host, dirty bits in its page
 * tables, and page tables for each PASID of a device.
 */
export type IommuFeature = 'nesting' | 'dirtyTracking' | 'pasids';

export const iommuFeatures: readonly IommuFeature[] = ['nesting', 'dirtyTracking', 'pasids'];

export interface IommuProfile {
  readonly kind: IommuKind;
  readonly features: ReadonlySet<IommuFeature>;
  /** Bitmap of page sizes in bytes, as the domain reports it. */
  readonly pageSizes: bigint;
  /** The last IOVA the page tables reach. Where windows are made, each has its own. */
  readonly apertureLast: bigint;
  readonly reserved: readonly ReservedRegion[];
  /** Interrupts of a device cannot be forged; without this SET_IOMMU is EPERM. */
  readonly isolatesInterrupts: boolean;
  /** CHECK_EXTENSION of VFIO_DMA_CC_IOMMU. */
  readonly enforcesCoherency: boolean;
}

const x86MsiWindow: ReservedRegion = { start: 0xfee0_0000n, last: 0xfeef_ffffn, type: 'msi' };
const top = 0xffff_ffff_ffff_ffffn;

/** As QEMU's emulated unit of that kind shows itself through the kernel's driver. */
export function emulatedIommu(kind: IommuKind, { version }: KernelProfile, features: ReadonlySet<IommuFeature>): IommuProfile {
  switch (kind) {
    case 'intel':
      return {
        ...{ kind, features },
        pageSizes: 0x4020_1000n,
        apertureLast: 0x7f_ffff_ffffn,
        reserved: [x86MsiWindow],
        isolatesInterrupts: true,
        enforcesCoherency: false,
      };
    case 'amd':
      return {
        ...{ kind, features },
        ...amdPageTables(version),
        reserved: [x86MsiWindow, { start: 0xfd_0000_0000n, last: 0xff_ffff_ffffn, type: 'reserved' }],
        isolatesInterrupts: true,
        enforcesCoherency: true,
      };
    case 'virtio':
      return {
        ...{ kind, features },
        pageSizes: 0xffff_ffff_ffff_f000n,
        apertureLast: top,
        reserved: [x86MsiWindow],
        isolatesInterrupts: false,
        enforcesCoherency: true,
      };
    case 'smmuv3':
      // Of an Arm machine; the window for interrupts is one that Linux chose.
      return {
        ...{ kind, features },
        pageSizes: 0x4020_1000n,
        apertureLast: 0xffff_ffff_ffffn,
        reserved: [{ start: 0x800_0000n, last: 0x80f_ffffn, type: 'msi' }],
        isolatesInterrupts: true,
        enforcesCoherency: false,
      };
    case 'spapr':
      // As the kernel knows a POWER9 machine on bare metal; QEMU emulates none with VFIO.
      return {
        kind,
        features,
        pageSizes: 0x4021_1000n,
        apertureLast: top,
        reserved: [],
        isolatesInterrupts: true,
        enforcesCoherency: true,
      };
    case 'none':
      // Nothing is ever attached to it.
      return { kind, features, pageSizes: 0n, apertureLast: 0n, reserved: [], isolatesInterrupts: false, enforcesCoherency: false };
  }
}

/** The driver's page tables were rewritten before 7.3, and give fewer levels; before 6.12 it told of sizes beyond all addresses. */
function amdPageTables(version: KernelVersion): Pick<IommuProfile, 'pageSizes' | 'apertureLast'> {
  if (version === '7.3') return { pageSizes: 0x0000_7f7f_ffff_f000n, apertureLast: 0xffff_ffff_ffffn };
  return { pageSizes: version === '6.1' ? 0xffff_ff7f_ffff_f000n : 0x000f_ff7f_ffff_f000n, apertureLast: top };
}

export const iommuKinds: readonly IommuKind[] = ['intel', 'amd', 'virtio', 'smmuv3', 'spapr', 'none'];
