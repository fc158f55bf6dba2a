/** /dev/iommu of kernel '6.12-iommufd-rfc', as the proposal of 2022 has it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_IOAS_ALLOC, iommu_ioas_alloc, iommu_ioas_copy, iommu_ioas_map, iommu_ioas_unmap } from '../../lib/abi/iommufd/ioas.js';
import * as mainline from '../../lib/abi/iommufd/object.js';
import * as rfc from '../../lib/abi/iommufd/rfc-2022.js';
import type { Request } from '../../lib/abi/ioctl.js';
import type { StructType } from '../../lib/abi/struct.js';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../../lib/abi/vfio/container.js';
import { Container } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { answer, Seam } from '../support/seam.js';
import { Type1Seam } from '../support/type1-seam.js';

const page = 0x1000n;
const base = 0x10_0000n;
const top = 0xffff_ffff_ffff_ffffn;
const place = { address: '0000:00:03.0', group: 0 };

let machine: Machine;
let seam: Seam;
let fd: number;
let memory: Mapping;
let type1: Type1Seam;

beforeEach(() => {
  machine = new Machine({ kernel: '6.12-iommufd-rfc', devices: [{ model: new Edu() }] });
  seam = new Seam(machine.kernel);
  fd = seam.open('/dev/iommu');
  memory = machine.kernel.mmap(-1, 16 * Number(page), 3, 0x22, 0) as Mapping;
  type1 = new Type1Seam(machine.kernel, fd, machine.kernel.addressOf(memory.memory!));
});
afterEach(() => {
  seam.closeAll();
  memory.unmap();
});

const ioctl = (number: number, argument?: number | Uint8Array): string => answer(machine.kernel.ioctl(fd, number, argument));
/** The answer, and the struct as it came back. */
function ask<T extends StructType>({ number }: Request, type: T, fields: object): [string, ReturnType<T['create']>] {
  const view = type.create() as ReturnType<T['create']>;
  Object.assign(view, { size: type.size, ...fields });
  return [ioctl(number, view.bytes), view];
}
const alloc = (): number => ask(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, {})[1].out_ioas_id;
const map = (ioas_id: number, iova: bigint, length = page): string =>
  ask(rfc.IOMMU_IOAS_MAP, iommu_ioas_map, { ioas_id, flags: 7, user_va: type1.address, length, iova })[0];
const unmap = (ioas_id: number, iova: bigint, length: bigint): string =>
  ask(rfc.IOMMU_IOAS_UNMAP, iommu_ioas_unmap, { ioas_id, iova, length })[0];
const vfioIoas = (op: number, ioas_id = 0, __reserved = 0): string => {
  const [result, view] = ask(rfc.IOMMU_VFIO_IOAS, mainline.iommu_vfio_ioas, { op, ioas_id, __reserved });
  return result === '0' ? `id ${view.ioas_id}` : result;
};

describe('requests', () => {
  it('those of mainline under numbers that were free then do not exist', () => {
    expect(ask(mainline.IOMMU_VFIO_IOAS, mainline.iommu_vfio_ioas, {})[0]).toBe('ENOTTY');
    expect(ask(mainline.IOMMU_OPTION, mainline.iommu_option, {})[0]).toBe('ENOTTY');
  });

  it('IOVA_RANGES gives as many as there is room for behind it, and says how many there are', () => {
    const ranges = (room: number, size: number): string[] => {
      const view = rfc.iommu_ioas_iova_ranges.create(room);
      Object.assign(view, { size, ioas_id: alloc() });
      const result = ioctl(rfc.IOMMU_IOAS_IOVA_RANGES.number, view.bytes);
      return [result, String(view.out_num_iovas), ...view.out_valid_iovas.map(({ start, last }) => `${start}-${last.toString(16)}`)];
    };
    expect(ranges(16, 32)).toEqual(['0', '1', '0-ffffffffffffffff']);
    expect(ranges(16, 16)).toEqual(['0', '1', '0-0']);
    expect(ranges(0, 15)[0]).toBe('EINVAL');
  });

  it('IOVA_RANGES takes room of zeros, an address space, and a reserved word of 0', () => {
    const ranges = (fields: { ioas_id?: number; __reserved?: number }, filled = 0): string => {
      const view = rfc.iommu_ioas_iova_ranges.create(16);
      Object.assign(view, { size: 32, ioas_id: alloc(), ...fields });
      view.bytes[31] = filled;
      return ioctl(rfc.IOMMU_IOAS_IOVA_RANGES.number, view.bytes);
    };
    expect([ranges({}), ranges({}, 1), ranges({ __reserved: 1 }), ranges({ ioas_id: 77 })]).toEqual(['0', 'E2BIG', 'EOPNOTSUPP', 'ENOENT']);
  });

  it('a struct that runs past the end of its memory is EFAULT', () => {
    const words = new Uint32Array(memory.memory!);
    const at = (bytes: number, size: number, { number }: Request): string => {
      const start = memory.memory!.byteLength - bytes;
      words[start / 4] = size;
      return ioctl(number, Number(type1.address) + start);
    };
    // The struct ends with the memory, and then the room for the answer does not; then the struct does not.
    expect([at(16, 32, rfc.IOMMU_IOAS_IOVA_RANGES), at(8, 16, rfc.IOMMU_IOAS_IOVA_RANGES)]).toEqual(['EFAULT', 'EFAULT']);
    expect([at(8, 40, rfc.IOMMU_IOAS_COPY), at(8, 39, rfc.IOMMU_IOAS_COPY)]).toEqual(['EFAULT', 'EINVAL']);
  });

  it('COPY of too short a struct is EINVAL, and of what is not there ENOENT', () => {
    const id = alloc();
    map(id, base, 2n * page);
    const copy = (fields: object): string =>
      ask(rfc.IOMMU_IOAS_COPY, iommu_ioas_copy, { flags: 7, dst_ioas_id: id, src_ioas_id: id, length: page, src_iova: base, ...fields })[0];
    expect([copy({ size: 39 }), copy({ src_ioas_id: 77 }), copy({ flags: 8, src_ioas_id: 77 })]).toEqual([
      'EINVAL',
      'ENOENT',
      'EOPNOTSUPP',
    ]);
  });

  it('UNMAP of the end of a mapping is ENOENT, as of a length past all addresses EOVERFLOW', () => {
    const id = alloc();
    map(id, base, 2n * page);
    expect([unmap(id, base + page, page), unmap(id, page, top), unmap(id, base, 2n * page)]).toEqual(['ENOENT', 'EOVERFLOW', '0']);
    expect(unmap(id, 1n, top)).toBe('EOVERFLOW');
  });

  it('UNMAP and COPY take the very range of one MAP', () => {
    const [first, second] = [alloc(), alloc()];
    expect([map(first, base, 2n * page), map(first, base + 2n * page), map(first, base)]).toEqual(['0', '0', 'EEXIST']);
    const copy = (length: bigint, src_iova = base): string =>
      ask(rfc.IOMMU_IOAS_COPY, iommu_ioas_copy, {
        flags: 7,
        dst_ioas_id: second,
        src_ioas_id: first,
        length,
        src_iova,
        dst_iova: base,
      })[0];
    expect([copy(page), copy(page, base + page), copy(3n * page), copy(2n * page)]).toEqual(['ENOENT', 'ENOENT', 'ENOENT', '0']);
    expect([unmap(second, base, page), unmap(second, base, 4n * page), unmap(second, base, 2n * page)]).toEqual(['ENOENT', 'ENOENT', '0']);
    expect([unmap(first, 0n, top), unmap(first, base, page), unmap(first, base, 0n)]).toEqual(['0', 'ENOENT', 'EINVAL']);
    expect([unmap(first, top, 1n), unmap(77, base, page)]).toEqual(['EOVERFLOW', 'ENOENT']);
  });

  it('VFIO_IOAS sets, tells and clears', () => {
    const id = alloc();
    expect([vfioIoas(0), vfioIoas(1, 77), vfioIoas(1, id), vfioIoas(0), vfioIoas(2), vfioIoas(0)]).toEqual([
      ...['ENODEV', 'ENOENT', `id ${id}`, `id ${id}`, 'id 0', 'ENODEV'],
    ]);
    expect([vfioIoas(3), vfioIoas(0, 0, 1)]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP']);
  });
});

describe('compatibility mode', () => {
  it('knows version 2 of type1, and nothing else', () => {
    expect(ioctl(VFIO_GET_API_VERSION.number)).toBe('0');
    const known = Array.from({ length: 12 }, (_, extension) => ioctl(VFIO_CHECK_EXTENSION.number, extension));
    expect(known.flatMap((result, extension) => (result === '1' ? [extension] : []))).toEqual([3, 9]);
    expect([VFIO_TYPE1_IOMMU, 8, VFIO_TYPE1v2_IOMMU].map((type) => ioctl(VFIO_SET_IOMMU.number, type))).toEqual([
      'EINVAL',
      'EINVAL',
      'ENODEV',
    ]);
    vfioIoas(1, alloc());
    expect([VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU].map((type) => ioctl(VFIO_SET_IOMMU.number, type))).toEqual(['EINVAL', '0']);
    expect(ioctl(0x3b75)).toBe('ENOTTY');
  });

  it('GET_INFO has the ranges before the limit of mappings, and one page size: the alignment', () => {
    expect([type1.info(15, 24)[0], type1.info(16)[0]]).toEqual(['EINVAL', 'ENODEV']);
    vfioIoas(1, alloc());
    const [result, ...words] = type1.info(68);
    expect(result).toBe('0');
    expect(words.map((word) => Number.parseInt(word, 16))).toEqual([
      ...[68, 3, 1, 0, 24, 0],
      ...[0x1_0001, 56, 1, 0, 0, 0, 0xffff_ffff, 0xffff_ffff],
      ...[0x1_0003, 0, 0xffff],
    ]);
  });

  it('UNMAP_DMA takes the very range that was mapped, does not say how much, and with ALL looks at no range', () => {
    expect(type1.unmap(base, page)).toBe('ENODEV');
    vfioIoas(1, alloc());
    expect([type1.map({ size: 2n * page }), type1.map({ iova: base + 2n * page }), type1.map({ flags: 4 })]).toEqual(['0', '0', 'EINVAL']);
    expect([type1.unmap(base, page), type1.unmap(base, 3n * page), type1.unmap(base, 0n)]).toEqual(['ENOENT', 'ENOENT', 'EINVAL']);
    expect([type1.unmap(base, 2n * page), type1.unmap(base, 2n * page)]).toEqual(['0x2000 bytes', 'ENOENT']);
    expect([type1.unmap(5n, 7n, 2), type1.unmap(5n, 7n, 2), type1.unmap(base, page, 1)]).toEqual(['0x7 bytes', '0x7 bytes', 'EINVAL']);
    expect(type1.unmap(page, top)).toBe('EOVERFLOW');
    expect([type1.map({ argsz: 31 }), type1.unmap(base, page, 0, 23)]).toEqual(['EINVAL', 'EINVAL']);
    expect(machine.kernel.ioctl(fd, 0x3b72, 0)).toBe(-14);
  });

  it('a driver written for containers runs on it', () => {
    using container = Container.open(machine.kernel, '/dev/iommu');
    const device = container.openGroup(place.group).openDevice(place.address);
    container.setIommu();
    expect(container.info()).toMatchObject({ pageSize: page, mappingsAvailable: 0xffff, dirtyTracking: undefined });
    using buffer = container.allocate(8192);
    expect(buffer.size).toBe(8192);
    expect(device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
  });
});
