/** The kernel to imitate, and the IOMMU of the machine: what each has and lacks. */

export type KernelVersion = '6.12' | '7.3';
export type IommuKind = 'intel' | 'amd' | 'virtio';

/** What differs between kernel versions, each by the change that made it. */
export interface KernelProfile {
  readonly version: KernelVersion;
  /** CHECK_EXTENSION knows VFIO_TYPE1_NESTING_IOMMU; its code went in 6.13. */
  readonly nesting: boolean;
  /** A range that wraps around the end of the address space is EOVERFLOW, and one may end exactly there. Before: EINVAL. */
  readonly checksOverflow: boolean;
  /** The ERR interrupt exists on conventional PCI devices too. */
  readonly errorInterruptWithoutExpress: boolean;
  /** GET_REGION_INFO is the VFIO core's, with the drivers' answers put together in one way. Before: each driver's own. */
  readonly regionInfoInCore: boolean;
  /** The device feature MIG_PRECOPY_INFOv2, of 7.1, with which the flags of `vfio_precopy_info` mean something. */
  readonly precopyInfoFlags: boolean;
}

export const kernels: Readonly<Record<KernelVersion, KernelProfile>> = {
  '6.12': {
    version: '6.12',
    nesting: true,
    checksOverflow: false,
    errorInterruptWithoutExpress: false,
    regionInfoInCore: false,
    precopyInfoFlags: false,
  },
  '7.3': {
    version: '7.3',
    nesting: false,
    checksOverflow: true,
    errorInterruptWithoutExpress: true,
    regionInfoInCore: true,
    precopyInfoFlags: true,
  },
};

export interface ReservedRegion {
  readonly start: bigint;
  readonly last: bigint;
  /** As /sys/kernel/iommu_groups/N/reserved_regions names it. */
  readonly type: 'direct' | 'direct-relaxable' | 'reserved' | 'msi';
}

export interface IommuProfile {
  readonly kind: IommuKind;
  /** Bitmap of page sizes in bytes, as the domain reports it. */
  readonly pageSizes: bigint;
  /** The last IOVA the page tables reach. */
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
export function iommuProfile(kind: IommuKind, { version }: KernelProfile): IommuProfile {
  switch (kind) {
    case 'intel':
      return {
        kind,
        pageSizes: 0x4020_1000n,
        apertureLast: 0x7f_ffff_ffffn,
        reserved: [x86MsiWindow],
        isolatesInterrupts: true,
        enforcesCoherency: false,
      };
    case 'amd':
      return {
        kind,
        // The driver's page tables were rewritten in between, and give fewer levels.
        ...(version === '6.12'
          ? { pageSizes: 0x000f_ff7f_ffff_f000n, apertureLast: top }
          : { pageSizes: 0x0000_7f7f_ffff_f000n, apertureLast: 0xffff_ffff_ffffn }),
        reserved: [x86MsiWindow, { start: 0xfd_0000_0000n, last: 0xff_ffff_ffffn, type: 'reserved' }],
        isolatesInterrupts: true,
        enforcesCoherency: true,
      };
    case 'virtio':
      return {
        kind,
        pageSizes: 0xffff_ffff_ffff_f000n,
        apertureLast: top,
        reserved: [x86MsiWindow],
        isolatesInterrupts: false,
        enforcesCoherency: true,
      };
  }
}

export const iommuKinds: readonly IommuKind[] = ['intel', 'amd', 'virtio'];
