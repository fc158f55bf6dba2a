/** Page tables of guests in the forms that IOMMUs have, and what is to be dropped of them. */
import {
  IOMMU_HWPT_DATA_AMD_GUEST,
  IOMMU_HWPT_DATA_ARM_SMMUV3,
  IOMMU_HWPT_DATA_VTD_S1,
  IOMMU_VTD_INV_FLAGS_LEAF,
  IOMMU_VTD_S1_EAFE,
  IOMMU_VTD_S1_SRE,
  IOMMU_VTD_S1_WPE,
  iommu_hwpt_amd_guest,
  iommu_hwpt_arm_smmuv3,
  iommu_hwpt_vtd_s1,
  iommu_hwpt_vtd_s1_invalidate,
} from '../abi/iommufd/hwpt.js';
import { checked64, checkedInteger, expected } from '../kernel/error.js';
import type { DriverData } from './driver-data.js';

/** VT-d's first stage, which looks as the processor's page tables do. */
export interface VtdGuestTable {
  readonly kind: 'vtd';
  /** Where its top level lies, in the guest's memory: an IOVA of the page table it nests on. */
  readonly root: bigint;
  /** Bits of the addresses that it translates: 48 for four levels, 57 for five. */
  readonly addressWidth: 48 | 57;
  /** Devices may ask as supervisor. Default: false. */
  readonly supervisorRequests?: boolean;
  /** The hardware sets the extended access bit of entries that it uses. Default: false. */
  readonly extendedAccess?: boolean;
  /** Supervisor requests do not write what is read-only. Default: false. */
  readonly writeProtect?: boolean;
}

/** ARM's: the first two words of a stream table entry. It nests on a virtual IOMMU. */
export interface SmmuGuestTable {
  readonly kind: 'smmuv3';
  readonly streamTableEntry: readonly [bigint, bigint];
}

/** AMD's: a device table entry. It nests on a virtual IOMMU. */
export interface AmdGuestTable {
  readonly kind: 'amd';
  readonly deviceTableEntry: readonly [bigint, bigint, bigint, bigint];
}

/** Any other: a struct, and its type among IOMMU_HWPT_DATA_. */
export interface OtherGuestTable {
  readonly kind: 'other';
  readonly type: number;
  readonly data: DriverData;
}

export type GuestTable = VtdGuestTable | SmmuGuestTable | AmdGuestTable | OtherGuestTable;

/** The struct and its type. */
export function encodeGuestTable(table: GuestTable): { readonly type: number; readonly data: DriverData } {
  switch (table.kind) {
    case 'vtd': {
      const { root, addressWidth, supervisorRequests = false, extendedAccess = false, writeProtect = false } = table;
      if (addressWidth !== 48 && addressWidth !== 57) throw expected('48 or 57', 'addressWidth', addressWidth);
      const data = iommu_hwpt_vtd_s1.create();
      data.flags = BigInt(
        (supervisorRequests ? IOMMU_VTD_S1_SRE : 0) | (extendedAccess ? IOMMU_VTD_S1_EAFE : 0) | (writeProtect ? IOMMU_VTD_S1_WPE : 0),
      );
      data.pgtbl_addr = checked64('root', root);
      data.addr_width = addressWidth;
      return { type: IOMMU_HWPT_DATA_VTD_S1, data };
    }
    case 'smmuv3': {
      const data = iommu_hwpt_arm_smmuv3.create();
      data.ste.set(words('streamTableEntry', table.streamTableEntry, 2));
      return { type: IOMMU_HWPT_DATA_ARM_SMMUV3, data };
    }
    case 'amd': {
      const data = iommu_hwpt_amd_guest.create();
      data.dte.set(words('deviceTableEntry', table.deviceTableEntry, 4));
      return { type: IOMMU_HWPT_DATA_AMD_GUEST, data };
    }
    case 'other':
      return { type: checkedInteger('type', table.type), data: table.data };
    default:
      throw expected("one of 'vtd', 'smmuv3', 'amd', 'other'", 'kind', (table as { kind: unknown }).kind);
  }
}

function words(name: string, values: readonly bigint[], count: number): readonly bigint[] {
  if (values.length !== count) throw expected(`${count} words`, name, values.length);
  return values.map((value) => checked64(name, value));
}

/** Addresses whose translation changed in a page table of VT-d. */
export interface VtdInvalidation {
  /** The first, a multiple of 4096. Default: 0. */
  readonly iova?: bigint;
  /** Bytes, a multiple of 4096. Default: everything, from 0 on. */
  readonly size?: bigint;
  /** Only entries of the lowest level changed. Default: false. */
  readonly leafOnly?: boolean;
}

const page = 4096n;
const everything = 0xffff_ffff_ffff_ffffn;

export function encodeVtdInvalidation({ iova = 0n, size, leafOnly = false }: VtdInvalidation): DriverData {
  if (checked64('iova', iova) % page !== 0n) throw expected('a multiple of 4096', 'iova', iova);
  if (size === undefined && iova !== 0n) throw expected('0 without a size', 'iova', iova);
  if (size !== undefined && (checked64('size', size) === 0n || size % page !== 0n))
    throw expected('a positive multiple of 4096', 'size', size);
  const entry = iommu_hwpt_vtd_s1_invalidate.create();
  entry.addr = iova;
  entry.npages = size === undefined ? everything : size / page;
  entry.flags = leafOnly ? IOMMU_VTD_INV_FLAGS_LEAF : 0;
  return entry;
}
