/** No header has these names, so nothing but this table of what the proposal says can judge the declarations. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import { refuseOversized } from '../../lib/abi/requests.js';
import type { FixedArray, Placed, Scalar, StructType } from '../../lib/abi/struct.js';
import * as vsva from '../../lib/abi/vfio/vsva-2020.js';

/** Size, alignment, and the offset of each field. */
const layouts: [StructType, number, number, Record<string, number>][] = [
  [vsva.iommu_fault_unrecoverable, 32, 8, { reason: 0, flags: 4, pasid: 8, perm: 12, addr: 16, fetch_addr: 24 }],
  [vsva.iommu_fault_page_request, 40, 8, { flags: 0, pasid: 4, grpid: 8, perm: 12, addr: 16, private_data: 24 }],
  [vsva.iommu_fault, 64, 8, { type: 0, padding: 4, event: 8, prm: 8, padding2: 8 }],
  [vsva.iommu_page_response, 20, 4, { version: 0, flags: 4, pasid: 8, grpid: 12, code: 16 }],
  [vsva.iommu_inv_addr_info, 40, 8, { flags: 0, archid: 4, pasid: 8, addr: 16, granule_size: 24, nb_granules: 32 }],
  [vsva.iommu_inv_pasid_info, 16, 8, { flags: 0, archid: 4, pasid: 8 }],
  [vsva.iommu_cache_invalidate_info, 48, 8, { version: 0, cache: 4, granularity: 5, padding: 6, pasid_info: 8, addr_info: 8 }],
  [vsva.iommu_gpasid_bind_data_vtd, 16, 8, { flags: 0, pat: 8, emt: 12 }],
  [
    vsva.iommu_gpasid_bind_data,
    72,
    8,
    { version: 0, format: 4, flags: 8, gpgd: 16, hpasid: 24, gpasid: 32, addr_width: 40, padding: 44, vtd: 56 },
  ],
  [vsva.vfio_iommu_type1_info_cap_nesting, 16, 4, { header: 0, nesting_capabilities: 8, stage1_format: 12 }],
  [vsva.vfio_iommu_type1_pasid_request, 20, 4, { argsz: 0, flags: 4, alloc_pasid: 8, free_pasid: 8 }],
  [vsva.vfio_iommu_type1_bind, 8, 4, { argsz: 0, flags: 4, data: 8 }],
  [vsva.vfio_iommu_type1_cache_invalidate, 56, 8, { argsz: 0, flags: 4, cache_info: 8 }],
];

const constants = {
  IOMMU_UAPI_VERSION: 1,
  IOMMU_UAPI_BIND_GPASID: 0,
  IOMMU_UAPI_CACHE_INVAL: 1,
  IOMMU_UAPI_PAGE_RESP: 2,
  NR_IOMMU_UAPI_TYPE: 3,
  IOMMU_UAPI_CAP_MASK: 7,
  IOMMU_FAULT_PERM_READ: 1,
  IOMMU_FAULT_PERM_WRITE: 2,
  IOMMU_FAULT_PERM_EXEC: 4,
  IOMMU_FAULT_PERM_PRIV: 8,
  IOMMU_FAULT_DMA_UNRECOV: 1,
  IOMMU_FAULT_PAGE_REQ: 2,
  IOMMU_FAULT_REASON_UNKNOWN: 0,
  IOMMU_FAULT_REASON_PASID_FETCH: 1,
  IOMMU_FAULT_REASON_BAD_PASID_ENTRY: 2,
  IOMMU_FAULT_REASON_PASID_INVALID: 3,
  IOMMU_FAULT_REASON_WALK_EABT: 4,
  IOMMU_FAULT_REASON_PTE_FETCH: 5,
  IOMMU_FAULT_REASON_PERMISSION: 6,
  IOMMU_FAULT_REASON_ACCESS: 7,
  IOMMU_FAULT_REASON_OOR_ADDRESS: 8,
  IOMMU_FAULT_UNRECOV_PASID_VALID: 1,
  IOMMU_FAULT_UNRECOV_ADDR_VALID: 2,
  IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID: 4,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID: 1,
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE: 2,
  IOMMU_FAULT_PAGE_REQUEST_PRIV_DATA: 4,
  IOMMU_PAGE_RESP_SUCCESS: 0,
  IOMMU_PAGE_RESP_INVALID: 1,
  IOMMU_PAGE_RESP_FAILURE: 2,
  IOMMU_PAGE_RESP_PASID_VALID: 1,
  IOMMU_INV_GRANU_DOMAIN: 0,
  IOMMU_INV_GRANU_PASID: 1,
  IOMMU_INV_GRANU_ADDR: 2,
  IOMMU_INV_GRANU_NR: 3,
  IOMMU_INV_ADDR_FLAGS_PASID: 1,
  IOMMU_INV_ADDR_FLAGS_ARCHID: 2,
  IOMMU_INV_ADDR_FLAGS_LEAF: 4,
  IOMMU_INV_PASID_FLAGS_PASID: 1,
  IOMMU_INV_PASID_FLAGS_ARCHID: 2,
  IOMMU_CACHE_INV_TYPE_IOTLB: 1,
  IOMMU_CACHE_INV_TYPE_DEV_IOTLB: 2,
  IOMMU_CACHE_INV_TYPE_PASID: 4,
  IOMMU_CACHE_INV_TYPE_NR: 3,
  IOMMU_SVA_VTD_GPASID_SRE: 1,
  IOMMU_SVA_VTD_GPASID_EAFE: 2,
  IOMMU_SVA_VTD_GPASID_PCD: 4,
  IOMMU_SVA_VTD_GPASID_PWT: 8,
  IOMMU_SVA_VTD_GPASID_EMTE: 16,
  IOMMU_SVA_VTD_GPASID_CD: 32,
  IOMMU_SVA_VTD_GPASID_EMT_MASK: 60,
  IOMMU_PASID_FORMAT_INTEL_VTD: 1,
  IOMMU_SVA_GPASID_VAL: 1,
  VFIO_NESTING_IOMMU_UAPI: 9,
  VFIO_IOMMU_TYPE1_INFO_CAP_NESTING: 2,
  VFIO_IOMMU_PASID_REQS: 1,
  VFIO_IOMMU_PASID_ALLOC: 1,
  VFIO_IOMMU_PASID_FREE: 2,
  VFIO_PASID_REQUEST_MASK: 3,
  VFIO_IOMMU_BIND_GUEST_PGTBL: 1,
  VFIO_IOMMU_UNBIND_GUEST_PGTBL: 2,
  VFIO_IOMMU_BIND_MASK: 3,
};

describe('the declarations', () => {
  it.each(layouts.map((row) => [row[0].name, row] as const))('%s lies as proposed', (_name, [type, size, alignment, offsets]) => {
    expect([type.size, type.alignment]).toEqual([size, alignment]);
    expect(Object.fromEntries(type.layout.map(({ name, offset }) => [name, offset]))).toEqual(offsets);
  });

  it('every struct, constant and request is in a table here', () => {
    const structs = Object.entries(vsva).filter(([, value]) => typeof value === 'object' && 'kind' in value);
    expect(structs.map(([name]) => name).sort()).toEqual(layouts.map(([type]) => type.name).sort());
    expect(Object.fromEntries(Object.entries(vsva).filter(([, value]) => typeof value === 'number'))).toEqual(constants);
    expect(vsva.proposedRequests.map(({ name, number, on, minimum }) => [name, number, on, minimum])).toEqual([
      ['VFIO_IOMMU_PASID_REQUEST', 0x3b7a, 'container', 8],
      ['VFIO_IOMMU_BIND', 0x3b7b, 'container', 8],
      ['VFIO_IOMMU_CACHE_INVALIDATE', 0x3b7c, 'container', 8],
    ]);
  });

  it('the validity table of invalidations is the proposal’s', () => {
    const [iotlb, device, pasid] = [1, 2, 4];
    expect(vsva.invalidationValidity).toEqual({ 0: iotlb | pasid, 1: device | iotlb | pasid, 2: device | iotlb });
  });

  it('none of it is among what headers are held to, and the numbers it shares are those of mainline', () => {
    expect(Object.keys(abi).filter((name) => name in vsva)).toEqual([]);
    expect(vsva.VFIO_NESTING_IOMMU_UAPI).toBe(abi.VFIO_UNMAP_ALL);
    expect(vsva.VFIO_IOMMU_TYPE1_INFO_CAP_NESTING).toBe(abi.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
    const taken = abi.requests.map(({ number }) => number);
    expect(vsva.proposedRequests.filter(({ number }) => taken.includes(number))).toEqual([]);
  });

  it('an argsz that promises more than the buffer holds is refused before any kernel sees it', () => {
    for (const { name, number } of vsva.proposedRequests) {
      const bytes = new Uint8Array(new Uint32Array([100, 1]).buffer);
      expect(() => refuseOversized(number, bytes)).toThrow(`Expected an argsz of at most 8 bytes, the size of the buffer, for ${name}`);
    }
  });
});

const scalarValue = ({ ctype }: Scalar): fc.Arbitrary<number | bigint> =>
  ctype === '__u64'
    ? fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    : fc.nat({ max: { __u8: 0xff, __u16: 0xffff }[ctype as '__u8'] ?? 0xffff_ffff });
const arrayValue = ({ element, length }: FixedArray): fc.Arbitrary<(number | bigint)[]> =>
  fc.array(scalarValue(element), { minLength: length, maxLength: length });

/** A value for every field; of a union, for one member, which is named with it. */
function members(type: StructType): Placed[][] {
  const shared = new Set(type.layout.flatMap(({ field }) => (field.sharing === undefined ? [] : [field.sharing])));
  const plain = type.layout.filter(({ name, field }) => !shared.has(name) && field.sharing === undefined);
  const united = type.layout.filter(({ name, field }) => shared.has(name) || field.sharing !== undefined);
  return united.length === 0 ? [plain] : united.map((member) => [...plain, member]);
}
function record(placed: readonly Placed[]): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(
    Object.fromEntries(
      placed.flatMap(({ name, field }): [string, fc.Arbitrary<unknown>][] => {
        if (field.kind === 'scalar') return [[name, scalarValue(field)]];
        if (field.kind === 'array') return [[name, arrayValue(field)]];
        if (field.kind === 'struct') return [[name, fc.oneof(...members(field).map(record))]];
        return [];
      }),
    ),
  );
}
function write(view: Record<string, any>, values: Record<string, any>): void {
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) view[name].set(value);
    else if (typeof value === 'object') write(view[name], value);
    else view[name] = value;
  }
}
function read(view: Record<string, any>, like: Record<string, any>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(like).map(([name, value]) => {
      if (Array.isArray(value)) return [name, [...view[name]]];
      return [name, typeof value === 'object' ? read(view[name], value) : view[name]];
    }),
  );
}

describe('round trips', () => {
  const cases = layouts.flatMap(([type]) =>
    members(type).map((placed) => [`${type.name} with ${placed.at(-1)?.name}`, type, placed] as const),
  );

  it.each(cases)('%s keeps what is written, in exactly the bytes of its fields', (_name, type, placed) => {
    fc.assert(
      fc.property(record(placed), (values) => {
        const view = type.create();
        write(view, values);
        expect(read(type.copy(view.bytes), values)).toEqual(values);
        const last = placed.reduce((end, { offset, field }) => Math.max(end, offset + ('size' in field ? field.size : 0)), 0);
        expect(view.bytes.subarray(last).every((byte: number) => byte === 0)).toBe(true);
      }),
    );
  });

  it('members of a union lie over each other', () => {
    const fault = vsva.iommu_fault.create();
    fault.prm.grpid = 7;
    fault.prm.private_data.set([1n, 2n]);
    expect([fault.event.pasid, fault.padding2[8], fault.padding2[24]]).toEqual([7, 7, 1]);
    const request = vsva.vfio_iommu_type1_pasid_request.create();
    request.free_pasid = 5;
    expect([request.alloc_pasid.min, request.alloc_pasid.max]).toEqual([5, 0]);
  });

  it('the tail of a bind is as long as what was put there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
        const bind = vsva.vfio_iommu_type1_bind.create(tail.length);
        bind.argsz = bind.bytes.byteLength;
        bind.data.set(tail);
        const again = vsva.vfio_iommu_type1_bind.copy(bind.bytes);
        expect(again.argsz).toBe(8 + tail.length);
        expect([...again.data]).toEqual([...tail]);
      }),
    );
  });

  it('a bind’s tail is bind data, at an offset where it can be viewed', () => {
    fc.assert(
      fc.property(record(members(vsva.iommu_gpasid_bind_data)[0]!), (values) => {
        const bind = vsva.vfio_iommu_type1_bind.create(vsva.iommu_gpasid_bind_data.size);
        write(vsva.iommu_gpasid_bind_data.view(bind.bytes.buffer, vsva.vfio_iommu_type1_bind.size), values);
        expect(read(vsva.iommu_gpasid_bind_data.copy(Uint8Array.from(bind.data)), values)).toEqual(values);
      }),
    );
  });
});
