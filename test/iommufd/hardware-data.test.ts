/** The structs of IOMMUs that the lab does not have, in words and back. */
import { describe, expect, it } from 'vitest';
import * as hwpt from '../../lib/abi/iommufd/hwpt.js';
import { encodeGuestTable, encodeVtdInvalidation, type GuestTable } from '../../lib/iommufd/guest-tables.js';
import { decodeHardware } from '../../lib/iommufd/hardware-information.js';

describe('what an IOMMU tells of itself', () => {
  it('is the registers of SMMUv3', () => {
    const data = hwpt.iommu_hw_info_arm_smmuv3.create();
    data.flags = hwpt.IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI;
    data.idr.set([1, 2, 3, 4, 5, 6]);
    Object.assign(data, { iidr: 7, aidr: 8 });
    expect(decodeHardware(hwpt.IOMMU_HW_INFO_TYPE_ARM_SMMUV3, data.bytes)).toEqual({
      kind: 'smmuv3',
      idr: [1, 2, 3, 4, 5, 6],
      iidr: 7,
      aidr: 8,
      repeatsInvalidations: true,
    });
    data.flags = 0;
    expect(decodeHardware(hwpt.IOMMU_HW_INFO_TYPE_ARM_SMMUV3, data.bytes)).toMatchObject({ repeatsInvalidations: false });
  });

  it('is the size of queues beside it, of Tegra241', () => {
    const data = hwpt.iommu_hw_info_tegra241_cmdqv.create();
    Object.assign(data, { version: 1, log2vcmdqs: 2, log2vsids: 3 });
    expect(decodeHardware(hwpt.IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV, data.bytes)).toEqual({
      kind: 'tegra241-cmdqv',
      version: 1,
      log2Queues: 2,
      log2StreamIds: 3,
    });
  });

  it('is the feature registers of AMD', () => {
    const data = hwpt.iommu_hw_info_amd.create();
    Object.assign(data, { efr: 0x1234_5678_9abc_def0n, efr2: 9n });
    expect(decodeHardware(hwpt.IOMMU_HW_INFO_TYPE_AMD, data.bytes)).toEqual({
      kind: 'amd',
      features: 0x1234_5678_9abc_def0n,
      features2: 9n,
    });
  });

  it('stays bytes where the type is not known, and is no answer where they are too few', () => {
    expect(decodeHardware(0xdead, new Uint8Array(4))).toBeUndefined();
    for (const type of [hwpt.IOMMU_HW_INFO_TYPE_INTEL_VTD, hwpt.IOMMU_HW_INFO_TYPE_ARM_SMMUV3, hwpt.IOMMU_HW_INFO_TYPE_AMD])
      expect(() => decodeHardware(type, new Uint8Array(8))).toThrow(/malformed: iommu_hw_info_\w+ in 8 bytes/);
  });
});

describe("a guest's page table", () => {
  it('of VT-d has its root, its width and its flags', () => {
    const flags = { supervisorRequests: true, extendedAccess: true, writeProtect: true };
    const { type, data } = encodeGuestTable({ kind: 'vtd', root: 0x1234_5000n, addressWidth: 57, ...flags });
    const struct = hwpt.iommu_hwpt_vtd_s1.copy(data.bytes);
    expect([type, struct.pgtbl_addr, struct.addr_width]).toEqual([hwpt.IOMMU_HWPT_DATA_VTD_S1, 0x1234_5000n, 57]);
    expect(struct.flags).toBe(BigInt(hwpt.IOMMU_VTD_S1_SRE | hwpt.IOMMU_VTD_S1_EAFE | hwpt.IOMMU_VTD_S1_WPE));
  });

  it('of SMMUv3 and of AMD is words of their tables', () => {
    const smmu = encodeGuestTable({ kind: 'smmuv3', streamTableEntry: [1n, 2n] });
    expect([smmu.type, ...hwpt.iommu_hwpt_arm_smmuv3.copy(smmu.data.bytes).ste]).toEqual([hwpt.IOMMU_HWPT_DATA_ARM_SMMUV3, 1n, 2n]);
    const amd = encodeGuestTable({ kind: 'amd', deviceTableEntry: [1n, 2n, 3n, 4n] });
    expect([amd.type, ...hwpt.iommu_hwpt_amd_guest.copy(amd.data.bytes).dte]).toEqual([hwpt.IOMMU_HWPT_DATA_AMD_GUEST, 1n, 2n, 3n, 4n]);
  });

  it('is refused where it is none', () => {
    const refused =
      (table: unknown): (() => unknown) =>
      () =>
        encodeGuestTable(table as GuestTable);
    expect(refused({ kind: 'vtd', root: 0n, addressWidth: 39 })).toThrow('Expected 48 or 57 for addressWidth but received 39');
    expect(refused({ kind: 'vtd', root: -1n, addressWidth: 48 })).toThrow('for root but received -1');
    expect(refused({ kind: 'smmuv3', streamTableEntry: [1n] })).toThrow('Expected 2 words for streamTableEntry but received 1');
    expect(refused({ kind: 'riscv' })).toThrow("Expected one of 'vtd', 'smmuv3', 'amd', 'other' for kind but received 'riscv'");
  });

  it('of VT-d is dropped whole, or from a page on', () => {
    const all = hwpt.iommu_hwpt_vtd_s1_invalidate.copy(encodeVtdInvalidation({}).bytes);
    expect([all.addr, all.npages, all.flags]).toEqual([0n, 0xffff_ffff_ffff_ffffn, 0]);
    const some = hwpt.iommu_hwpt_vtd_s1_invalidate.copy(encodeVtdInvalidation({ iova: 0x5000n, size: 0x3000n, leafOnly: true }).bytes);
    expect([some.addr, some.npages, some.flags]).toEqual([0x5000n, 3n, hwpt.IOMMU_VTD_INV_FLAGS_LEAF]);
    expect(() => encodeVtdInvalidation({ iova: 0x5000n })).toThrow('Expected 0 without a size for iova but received 20480');
    expect(() => encodeVtdInvalidation({ size: 0n })).toThrow('Expected a positive multiple of 4096 for size but received 0');
  });
});
