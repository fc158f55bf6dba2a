import {
  IOMMU_GET_HW_INFO,
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_CAP_PCI_PASID_PRIV,
  IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_AMD,
  IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
  IOMMU_HW_INFO_TYPE_INTEL_VTD,
  IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV,
  IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
  iommu_hw_info,
  iommu_hw_info_amd,
  iommu_hw_info_arm_smmuv3,
  iommu_hw_info_tegra241_cmdqv,
  iommu_hw_info_vtd,
} from '../abi/iommufd/hwpt.js';
import { BadAnswerError } from '../abi/chain.js';
import type { StructType } from '../abi/struct.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checkedInteger } from '../kernel/error.js';
import { hold } from '../kernel/hold.js';

/** Intel VT-d: its registers as they are; the specification names their bits. */
export interface VtdHardware {
  readonly kind: 'vtd';
  readonly capability: bigint;
  readonly extendedCapability: bigint;
  /** Nothing may be read-only in a page table that others nest on (erratum 772415). */
  readonly parentsAreWritable: boolean;
}

/** ARM SMMUv3: its identification registers. */
export interface SmmuHardware {
  readonly kind: 'smmuv3';
  /** IDR0 to IDR5. */
  readonly idr: readonly number[];
  readonly iidr: number;
  readonly aidr: number;
  /** Invalidations are to be sent twice. */
  readonly repeatsInvalidations: boolean;
}

/** What NVIDIA's Tegra241 has beside SMMUv3: command queues of its own for guests. */
export interface TegraHardware {
  readonly kind: 'tegra241-cmdqv';
  readonly version: number;
  /** Queues of a virtual interface, as a power of two. */
  readonly log2Queues: number;
  /** Stream ids of a virtual interface, as a power of two. */
  readonly log2StreamIds: number;
}

/** AMD: its extended feature registers. */
export interface AmdHardware {
  readonly kind: 'amd';
  readonly features: bigint;
  readonly features2: bigint;
}

export interface HardwareInformation {
  /** One of IOMMU_HW_INFO_TYPE_. */
  readonly type: number;
  /** What the driver tells, as it is: none of type 0. */
  readonly bytes: Uint8Array;
  /** The same in words, for types that are known here. */
  readonly hardware: VtdHardware | SmmuHardware | TegraHardware | AmdHardware | undefined;
  /** Page tables can track what devices write. Linux 6.7. */
  readonly dirtyTracking: boolean;
  /** PASIDs that are on for the device, as a power of two: 0 without any. Linux 6.12. */
  readonly maxPasidLog2: number;
  /** With a PASID, the device can ask to execute, and as supervisor. */
  readonly pasidExecute: boolean;
  readonly pasidPrivileged: boolean;
  /** The device cannot have its addresses translated ahead (ATS). Kernels before 7.1 do not tell, and it is false. */
  readonly lacksAts: boolean;
}

/** A kernel that has more to tell each time it is asked is not one. */
const mostRounds = 8;

/** IOMMU_GET_HW_INFO of the device with that id; `type` chooses where a driver has several. */
export function hardwareInformation(descriptor: Descriptor, device: number, type?: number): HardwareInformation {
  let room = 64;
  for (let round = 0; round < mostRounds; round += 1) {
    const memory = new ArrayBuffer(room);
    const request = iommu_hw_info.create();
    request.size = iommu_hw_info.size;
    request.dev_id = device;
    request.flags = type === undefined ? 0 : IOMMU_HW_INFO_FLAG_INPUT_TYPE;
    request.in_data_type = checkedInteger('type', type ?? 0);
    request.data_len = room;
    request.data_uptr = descriptor.kernel.addressOf(memory);
    hold(memory, () => descriptor.ioctl(IOMMU_GET_HW_INFO, request.bytes));
    if (request.data_len <= room) return decode(request, new Uint8Array(memory, 0, request.data_len));
    room = request.data_len;
  }
  throw new BadAnswerError(`IOMMU_GET_HW_INFO has more data each time, now ${room} bytes`, new Uint8Array());
}

function decode(answer: ReturnType<typeof iommu_hw_info.create>, bytes: Uint8Array): HardwareInformation {
  const has = (capability: number): boolean => (answer.out_capabilities & BigInt(capability)) !== 0n;
  return {
    type: answer.out_data_type,
    bytes,
    hardware: decodeHardware(answer.out_data_type, bytes),
    dirtyTracking: has(IOMMU_HW_CAP_DIRTY_TRACKING),
    maxPasidLog2: answer.out_max_pasid_log2,
    pasidExecute: has(IOMMU_HW_CAP_PCI_PASID_EXEC),
    pasidPrivileged: has(IOMMU_HW_CAP_PCI_PASID_PRIV),
    lacksAts: has(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED),
  };
}

/** In words. @throws BadAnswerError when there are fewer bytes than the type has. */
export function decodeHardware(type: number, bytes: Uint8Array): HardwareInformation['hardware'] {
  switch (type) {
    case IOMMU_HW_INFO_TYPE_INTEL_VTD: {
      const { flags, cap_reg: capability, ecap_reg: extendedCapability } = view(iommu_hw_info_vtd, bytes);
      return { kind: 'vtd', capability, extendedCapability, parentsAreWritable: (flags & IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17) !== 0 };
    }
    case IOMMU_HW_INFO_TYPE_ARM_SMMUV3: {
      const { flags, idr, iidr, aidr } = view(iommu_hw_info_arm_smmuv3, bytes);
      const repeatsInvalidations = (flags & IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI) !== 0;
      return { kind: 'smmuv3', idr: [...idr], iidr, aidr, repeatsInvalidations };
    }
    case IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: {
      const { version, log2vcmdqs: log2Queues, log2vsids: log2StreamIds } = view(iommu_hw_info_tegra241_cmdqv, bytes);
      return { kind: 'tegra241-cmdqv', version, log2Queues, log2StreamIds };
    }
    case IOMMU_HW_INFO_TYPE_AMD: {
      const { efr: features, efr2: features2 } = view(iommu_hw_info_amd, bytes);
      return { kind: 'amd', features, features2 };
    }
    default:
      return undefined;
  }
}

function view<T extends StructType>(type: T, bytes: Uint8Array): ReturnType<T['copy']> {
  if (bytes.byteLength < type.size) throw new BadAnswerError(`${type.name} in ${bytes.byteLength} bytes`, bytes);
  return type.copy(bytes) as ReturnType<T['copy']>;
}
