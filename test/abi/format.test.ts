import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '../../lib/abi/index.js';
import { formatArgument, formatFlags, formatStruct, findRequests } from '../../lib/abi/format.js';
import { buildChain } from '../../lib/abi/chain.js';
import type { StructType } from '../../lib/abi/struct.js';

const structs = Object.values(abi).filter(
  (value): value is StructType => typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'struct',
);

describe('flags', () => {
  it('are named without their prefix, lowest first, and what has no name is hexadecimal', () => {
    expect(formatFlags(3, 'VFIO_DMA_MAP_FLAG_')).toBe('READ|WRITE');
    expect(formatFlags(0x8000_0001, 'VFIO_DMA_MAP_FLAG_')).toBe('READ|0x80000000');
    expect(formatFlags(0, 'VFIO_DMA_MAP_FLAG_')).toBe('0');
  });

  it('of a device feature are its operation and the name of its number', () => {
    expect(formatFlags(0x1_0002, 'VFIO_DEVICE_FEATURE_')).toBe('GET|MIG_DEVICE_STATE');
    expect(formatFlags(0x6_0000, 'VFIO_DEVICE_FEATURE_')).toBe('SET|PROBE|PCI_VF_TOKEN');
    expect(formatFlags(0x1_fff0, 'VFIO_DEVICE_FEATURE_')).toBe('GET|65520');
  });

  it('no two names of one field stand for the same bit', () => {
    const fields = structs.flatMap((type) => type.layout.map(({ name, field }) => ({ name: `${type.name}.${name}`, field })));
    for (const { name, field } of fields) {
      // A feature's low bits are a number.
      if (field.kind !== 'scalar' || field.prefixes === undefined || name === 'vfio_device_feature.flags') continue;
      for (let bit = 0; bit < 32; bit += 1)
        expect([name, formatFlags(2 ** bit, ...field.prefixes)]).toEqual([name, expect.not.stringContaining('|')]);
    }
  });
});

describe('a struct', () => {
  it('is its fields by name, with addresses in hexadecimal', () => {
    const map = abi.vfio_iommu_type1_dma_map.create();
    Object.assign(map, { argsz: 32, flags: 1, vaddr: 0x7f00_0000_0000n, iova: 0x1000n, size: 0x2000n });
    expect(formatStruct(abi.vfio_iommu_type1_dma_map, map.bytes)).toBe(
      '{argsz=32, flags=READ, vaddr=0x7f0000000000, iova=0x1000, size=0x2000}',
    );
  });

  it('ends where its length word says, or the bytes do', () => {
    const map = abi.vfio_iommu_type1_dma_map.create();
    map.argsz = 16;
    expect(formatStruct(abi.vfio_iommu_type1_dma_map, map.bytes)).toBe('{argsz=16, flags=0, vaddr=NULL}');
    expect(formatStruct(abi.vfio_iommu_type1_dma_map, map.bytes.slice(0, 8))).toBe('{argsz=16, flags=0}');
    expect(formatStruct(abi.vfio_iommu_type1_dma_map, new Uint8Array())).toBe('{}');
  });

  it('shows what lies behind it as what its flags say it is', () => {
    const irqs = abi.vfio_irq_set.create(8);
    Object.assign(irqs, { argsz: 28, flags: abi.VFIO_IRQ_SET_DATA_EVENTFD | abi.VFIO_IRQ_SET_ACTION_TRIGGER, index: 1, count: 2 });
    irqs.data.set([7, 0, 0, 0, 255, 255, 255, 255]);
    expect(formatStruct(abi.vfio_irq_set, irqs.bytes)).toBe(
      '{argsz=28, flags=DATA_EVENTFD|ACTION_TRIGGER, index=1, start=0, count=2, data=[7, -1]}',
    );
    const feature = abi.vfio_device_feature.create(8);
    Object.assign(feature, { argsz: 16, flags: abi.VFIO_DEVICE_FEATURE_SET | abi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE });
    feature.data.set([2, 0, 0, 0, 255, 255, 255, 255]);
    expect(formatStruct(abi.vfio_device_feature, feature.bytes)).toBe(
      '{argsz=16, flags=SET|MIG_DEVICE_STATE, data={device_state=2, data_fd=-1}}',
    );
  });

  it('of any bytes whatever can be said', () => {
    fc.assert(
      fc.property(fc.constantFrom(...structs), fc.uint8Array({ maxLength: 200 }), (type, bytes) => {
        expect(formatStruct(type, bytes)).toMatch(/^\{.*\}$/);
      }),
    );
  });
});

describe('an argument', () => {
  it('is said as the request takes it', () => {
    expect(formatArgument(abi.VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode('0000:00:03.0\0'))).toBe('"0000:00:03.0"');
    expect(formatArgument(abi.VFIO_GROUP_SET_CONTAINER, new Uint8Array([5, 0, 0, 0]))).toBe('[5]');
    expect(formatArgument(abi.VFIO_SET_IOMMU, 3)).toBe('3');
    expect(formatArgument(abi.VFIO_DEVICE_RESET, undefined)).toBe('');
    expect(formatArgument(abi.VFIO_DEVICE_GET_INFO, undefined)).toBe('NULL');
    expect(formatArgument(undefined, new Uint8Array([1, 0x23]))).toBe('[01 23]');
  });

  it('has the elements of its chain behind it', () => {
    const element = abi.vfio_iommu_type1_info_cap_iova_range.create(16);
    Object.assign(element.header, { id: abi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1 });
    element.nr_iovas = 1;
    Object.assign(element.iova_ranges[0]!, { start: 0n, end: 0xffffn });
    const chain = buildChain([element.bytes], 24, 8);
    const info = abi.vfio_iommu_type1_info.create(chain.byteLength);
    info.bytes.set(chain, 24);
    Object.assign(info, { argsz: info.bytes.byteLength, flags: 3, iova_pgsizes: 0x1000n, cap_offset: 24 });
    expect(formatArgument(abi.VFIO_IOMMU_GET_INFO, info.bytes)).toBe(
      '{argsz=56, flags=PGSIZES|CAPS, iova_pgsizes=0x1000, cap_offset=24}' +
        ' + [vfio_iommu_type1_info_cap_iova_range{nr_iovas=1, iova_ranges=[{start=0, end=0xffff}]}]',
    );
    info.cap_offset = 2000;
    expect(formatArgument(abi.VFIO_IOMMU_GET_INFO, info.bytes)).toContain('malformed');
  });
});

describe('a number', () => {
  const names = (...[kind, { number }]: [Parameters<typeof findRequests>[0], abi.Request]): string[] =>
    findRequests(kind, number).map(({ name }) => name);

  it('is another request on another kind of file', () => {
    expect(names('container', abi.VFIO_IOMMU_MAP_DMA)).toEqual(['VFIO_IOMMU_MAP_DMA']);
    expect(names('device', abi.VFIO_IOMMU_MAP_DMA)).toEqual(['VFIO_DEVICE_PCI_HOT_RESET']);
  });

  it('of a container is one on /dev/iommu too, which can answer as a container', () => {
    expect(names('iommufd', abi.VFIO_SET_IOMMU)).toEqual(['VFIO_SET_IOMMU']);
  });

  it('can be two requests of a container', () => {
    expect(names('container', abi.VFIO_IOMMU_DIRTY_PAGES)).toEqual(['VFIO_IOMMU_DIRTY_PAGES', 'VFIO_IOMMU_SPAPR_REGISTER_MEMORY']);
  });
});
