/** /dev/iommu and its address spaces at the seam, while no device is attached. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Request } from '../../lib/abi/ioctl.js';
import { IOMMU_FAULT_QUEUE_ALLOC } from '../../lib/abi/iommufd/fault.js';
import * as ioas from '../../lib/abi/iommufd/ioas.js';
import * as object from '../../lib/abi/iommufd/object.js';
import { VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../../lib/abi/vfio/container.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import { VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../lib/abi/vfio/type1.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 4096n;
const top = 0xffff_ffff_ffff_ffffn;
const address = 0x7000_0000_0000n;

export function ioasSuite(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let calls: IoasSeam;
  let id: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    calls = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    id = calls.alloc();
  });
  afterEach(() => {
    calls.close();
    seam.closeAll();
  });

  const newer = (): boolean => subject.version === '7.3';
  const map = (fields: Fields = {}): string => calls.map({ ioas_id: id, ...fields });
  const unmap = (iova: bigint, length: bigint, ioas_id = id): string => calls.unmap(ioas_id, iova, length);

  describe('/dev/iommu', () => {
    it('is in /dev, and takes no read and no write', () => {
      expect(subject.kernel.files.readdir('/dev')).toContain('iommu');
      expect(answer(subject.kernel.read(calls.fd, new Uint8Array(8)))).toBe('EINVAL');
      expect(answer(subject.kernel.write(calls.fd, new Uint8Array(8)))).toBe('EINVAL');
      expect(answer(subject.kernel.pread(calls.fd, new Uint8Array(8), 0))).toBe('EINVAL');
    });

    it('has nothing to be mapped', () => {
      const mmap = (protection: number, flags: number): string =>
        answer(subject.kernel.mmap(calls.fd, 4096, protection, flags, 0) as number);
      expect(mmap(3, 1)).toBe(newer() ? 'ENXIO' : 'ENODEV');
      expect(mmap(3, 2)).toBe(newer() ? 'EINVAL' : 'ENODEV');
      expect(mmap(5, 1)).toBe(newer() ? 'EPERM' : 'ENODEV');
    });

    it('a request of another type is ENOTTY, once its length word could be read', () => {
      const number = 0x1200 | (object.IOMMU_DESTROY.number & 0xff);
      expect(answer(subject.kernel.ioctl(calls.fd, number, new Uint8Array(8)))).toBe('ENOTTY');
      expect(answer(subject.kernel.ioctl(calls.fd, number, 0))).toBe('EFAULT');
    });

    it('a number past the last is ENOTTY', () => {
      expect(answer(subject.kernel.ioctl(calls.fd, object.IOMMU_DESTROY.number + 0x17, new Uint8Array(64)))).toBe('ENOTTY');
    });

    it("VFIO's requests find no address space", () => {
      const ask = (request: Request, argument: number | Uint8Array): string =>
        answer(subject.kernel.ioctl(calls.fd, request.number, argument));
      const sized = (size: number, flags = 0): Uint8Array => {
        const bytes = new Uint8Array(64);
        new Uint32Array(bytes.buffer).set([size, flags]);
        return bytes;
      };
      expect(ask(VFIO_GET_API_VERSION, 0)).toBe('0');
      expect(Array.from({ length: 14 }, (_, extension) => ask(VFIO_CHECK_EXTENSION, extension)).join(' ')).toBe(
        '0 1 0 1 ENODEV 0 0 0 1 1 0 0 0 0',
      );
      expect(Array.from({ length: 10 }, (_, type) => ask(VFIO_SET_IOMMU, type))).toEqual(
        Array.from({ length: 10 }, (_, type) => (type === 1 || type === 3 ? 'ENODEV' : 'EINVAL')),
      );
      for (const request of [VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA]) {
        expect([request.name, ask(request, sized(request.minimum))]).toEqual([request.name, 'ENODEV']);
        expect([request.name, ask(request, sized(request.minimum - 1))]).toEqual([request.name, 'EINVAL']);
        expect([request.name, ask(request, 0)]).toEqual([request.name, 'EFAULT']);
      }
      expect(ask(VFIO_IOMMU_MAP_DMA, sized(32, 4))).toBe('EINVAL');
      expect(ask(VFIO_IOMMU_UNMAP_DMA, sized(24, 1))).toBe('EINVAL');
      expect(ask(VFIO_IOMMU_UNMAP_DMA, sized(24, 2))).toBe('ENODEV');
      expect(ask(VFIO_DEVICE_RESET, 0)).toBe('ENOTTY');
    });
  });

  describe('the length word', () => {
    /** Each request with fields that are refused for a reason of their own. */
    const refused: readonly (readonly [Request, Fields, string])[] = [
      [object.IOMMU_DESTROY, { id: 77 }, 'ENOENT'],
      [object.IOMMU_OPTION, { option_id: 9 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_ALLOC, { flags: 1 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_IOVA_RANGES, { ioas_id: 77 }, 'ENOENT'],
      [ioas.IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: 77 }, 'ENOENT'],
      [ioas.IOMMU_IOAS_MAP, { flags: 8 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_MAP_FILE, { flags: 8 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_COPY, { flags: 8 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_UNMAP, { ioas_id: 77 }, 'ENOENT'],
      [object.IOMMU_IOAS_CHANGE_PROCESS, { __reserved: 1 }, 'EOPNOTSUPP'],
      [ioas.IOMMU_IOAS_NOIOMMU_GET_PA, { flags: 1 }, 'EOPNOTSUPP'],
      [IOMMU_FAULT_QUEUE_ALLOC, { flags: 1 }, 'EOPNOTSUPP'],
    ];
    const since: Readonly<Record<string, true>> = {
      IOMMU_IOAS_MAP_FILE: true,
      IOMMU_IOAS_CHANGE_PROCESS: true,
      IOMMU_IOAS_NOIOMMU_GET_PA: true,
    };

    it.each(refused.map((row) => [row[0].name, ...row] as const))('of %s', (name, request, fields, own) => {
      const known = newer() || since[name] === undefined;
      const size = request.minimum;
      const ask = (length: number, tail = 0): string => calls.ask(request, fields, { length, room: size + 4096, tail });
      const expectThat = (length: number, otherwise: string, tail = 0): void =>
        expect([length, ask(length, tail)]).toEqual([length, known ? otherwise : 'ENOTTY']);
      expectThat(0, 'EINVAL');
      expectThat(4, 'EINVAL');
      expectThat(size - 1, 'EINVAL');
      expectThat(size, own);
      expectThat(size + 1, own);
      expectThat(size + 4096, own);
      expectThat(size, own, 1);
      expectThat(size + 1, 'E2BIG', 1);
      expectThat(size + 4096, 'E2BIG', 1);
    });

    it('is read through a pointer', () => {
      const memory = subject.kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
      const start = Number(subject.kernel.addressOf(memory.memory));
      const destroy = (at: number): string => answer(subject.kernel.ioctl(calls.fd, object.IOMMU_DESTROY.number, at));
      new Uint32Array(memory.memory).set([8, id, 4096, 77]);
      expect(destroy(start)).toBe('0');
      expect(destroy(start)).toBe('ENOENT');
      expect(destroy(0)).toBe('EFAULT');
      new Uint32Array(memory.memory).set([4], 1022);
      expect(destroy(start + 4088)).toBe('EINVAL');
      memory.unmap();
    });
  });

  describe('ids', () => {
    it('count from 1, and the lowest that is free is given again', () => {
      expect(id).toBe(1);
      expect([calls.alloc(), calls.alloc()]).toEqual([2, 3]);
      expect(calls.destroy(2)).toBe('0');
      expect([calls.alloc(), calls.alloc()]).toEqual([2, 4]);
    });

    it('are of one open file', () => {
      const other = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
      expect(other.destroy(id)).toBe('ENOENT');
      expect(other.alloc()).toBe(1);
      other.close();
    });

    it('that are not there are ENOENT', () => {
      expect(calls.destroy(0)).toBe('ENOENT');
      expect(calls.destroy(2)).toBe('ENOENT');
      expect(calls.destroy(0xffff_ffff)).toBe('ENOENT');
      expect(calls.destroy(id)).toBe('0');
      expect(calls.destroy(id)).toBe('ENOENT');
      expect(map()).toBe('ENOENT');
      expect(unmap(0n, top)).toBe('ENOENT');
      expect(calls.ranges(id)).toBe('ENOENT');
      expect(calls.allow(id, [])).toBe('ENOENT');
      expect(calls.option(1, 1, id)).toBe('ENOENT');
    });

    it('DESTROY takes what is mapped with it', () => {
      expect(map()).toBe('0x10000');
      expect(calls.destroy(id)).toBe('0');
    });
  });

  describe('IOVA_RANGES', () => {
    it('is all of 64 bits, with no alignment', () => {
      expect(calls.ranges(id)).toBe(`1: 0x0-0x${top.toString(16)} alignment 1`);
    });

    it('is EMSGSIZE with the count where there is too little room', () => {
      expect(calls.ranges(id, { num_iovas: 0, allowed_iovas: 0n })).toBe('EMSGSIZE 1: alignment 1');
      expect(calls.ranges(id, { num_iovas: 3 })).toBe(`1: 0x0-0x${top.toString(16)} alignment 1`);
    });

    it('is EFAULT where there is no memory', () => {
      expect(calls.ranges(id, { allowed_iovas: 0n })).toBe('EFAULT');
    });

    it('has a reserved word', () => {
      expect(calls.ranges(id, { __reserved: 1 })).toBe('EOPNOTSUPP');
      expect(calls.ranges(77, { __reserved: 1 })).toBe('EOPNOTSUPP');
    });

    it('says the same whatever is mapped or allowed', () => {
      expect(map()).toBe('0x10000');
      expect(calls.allow(id, [[0x1000n, 0xffffn]])).toBe('0');
      expect(calls.ranges(id)).toBe(`1: 0x0-0x${top.toString(16)} alignment 1`);
    });
  });

  describe('MAP at a fixed IOVA', () => {
    it('knows three flags, and takes one direction at least', () => {
      expect(map({ flags: 8 | 7 })).toBe('EOPNOTSUPP');
      expect(map({ flags: 0x8000_0007 })).toBe('EOPNOTSUPP');
      expect(map({ __reserved: 1 })).toBe('EOPNOTSUPP');
      expect(map({ flags: 1 })).toBe('EINVAL');
      expect(map({ flags: 0 })).toBe('EINVAL');
      expect(map({ flags: 3 })).toBe('0x10000');
      expect(map({ flags: 5, iova: 0x2_0000n })).toBe('0x20000');
    });

    it('checks flags, then numbers, then directions, then the id', () => {
      expect(map({ flags: 8, iova: top, ioas_id: 77 })).toBe('EOPNOTSUPP');
      expect(map({ flags: 1, iova: top, ioas_id: 77 })).toBe('EOVERFLOW');
      expect(map({ flags: 1, ioas_id: 77 })).toBe('EINVAL');
      expect(map({ length: 0n, ioas_id: 77 })).toBe('ENOENT');
    });

    it('goes anywhere and in any size, since nothing has pages yet', () => {
      expect(map({ iova: 0n, length: 1n, user_va: 1n })).toBe('0x0');
      expect(map({ iova: 1n, length: 3n })).toBe('0x1');
      expect(map({ iova: 0x1_0001n, user_va: 0n })).toBe('0x10001');
      expect(map({ iova: top - 0x1000n, length: 0x1001n })).toBe(`0x${(top - 0x1000n).toString(16)}`);
      expect(map({ iova: 0x1_0000_0000n, length: 1n << 62n })).toBe('0x100000000');
    });

    it('of nothing is EINVAL, and past the end EOVERFLOW', () => {
      expect(map({ length: 0n })).toBe('EINVAL');
      expect(map({ length: 0n, iova: top - 1n })).toBe('EINVAL');
      expect(map({ length: top })).toBe('EOVERFLOW');
      expect(map({ iova: top, length: 1n })).toBe('EOVERFLOW');
      expect(map({ iova: top - 1n, length: 3n })).toBe('EOVERFLOW');
      expect(map({ user_va: top, length: 1n })).toBe('EOVERFLOW');
      expect(map({ user_va: top - 1n, length: 1n })).toBe('0x10000');
      expect(map({ user_va: 0n, length: top - 1n, iova: 0n })).toBe('EINVAL');
      expect(map({ user_va: 0n, length: top - page + 1n, iova: 0n })).toBe('EINVAL');
      expect(map({ user_va: page, length: top - 1n })).toBe(newer() ? 'EOVERFLOW' : 'EINVAL');
    });

    it('does not look whether there is memory', () => {
      expect(map({ user_va: 0xdead_beef_0000_0000n })).toBe('0x10000');
      expect(map({ user_va: 0n, iova: 0x2_0000n })).toBe('0x20000');
    });

    it('that overlaps another is EEXIST, however it overlaps', () => {
      const base = 0x10_0000n;
      expect(map({ iova: base, length: 4n * page })).toBe('0x100000');
      for (const [offset, length] of [
        [0n, 4n * page],
        [0n, 1n],
        [4n * page - 1n, 1n],
        [-page, 6n * page],
        [-1n, 2n],
        [4n * page - 1n, 2n],
      ] as const)
        expect([offset, map({ iova: base + offset, length })]).toEqual([offset, 'EEXIST']);
      expect(map({ iova: base - 1n, length: 1n })).toBe('0xfffff');
      expect(map({ iova: base + 4n * page, length: 1n })).toBe('0x104000');
    });
  });

  describe('UNMAP', () => {
    beforeEach(() => {
      for (const index of [0n, 1n, 3n]) expect(map({ iova: 0x10_0000n + index * page, length: page })).not.toMatch(/E/);
    });

    it('takes whole mappings, and says how many bytes', () => {
      expect(unmap(0x10_0000n, page)).toBe('0x1000');
      expect(unmap(0xf_0000n, 0x2_0000n)).toBe('0x2000');
      expect(unmap(0xf_0000n, 0x2_0000n)).toBe('ENOENT');
    });

    it('of a part of one is ENOENT', () => {
      expect(unmap(0x10_0000n, page - 1n)).toBe('ENOENT');
      expect(unmap(0x10_0001n, page)).toBe('ENOENT');
      expect(unmap(0x10_0800n, 1n)).toBe('ENOENT');
      expect(unmap(0x10_2000n, page)).toBe('ENOENT');
      expect(unmap(0n, top)).toBe('0x3000');
    });

    it('has taken those before one it cuts through', () => {
      expect(unmap(0x10_0000n, page + 1n)).toBe('ENOENT');
      expect(unmap(0n, top)).toBe('0x2000');
    });

    it('of everything is all ones, and may find nothing', () => {
      expect(unmap(0n, top)).toBe('0x3000');
      expect(unmap(0n, top)).toBe('0x0');
    });

    it('checks its numbers after the id', () => {
      expect(unmap(0n, 0n)).toBe('EINVAL');
      expect(unmap(0n, 0n, 77)).toBe('ENOENT');
      expect(unmap(1n, top)).toBe('EOVERFLOW');
      expect(unmap(top, 1n)).toBe('EOVERFLOW');
      expect(unmap(top - 1n, 3n)).toBe('EOVERFLOW');
      expect(unmap(top - 1n, 2n)).toBe('ENOENT');
      expect(unmap(0n, top - 1n)).toBe('0x3000');
    });
  });

  describe('COPY', () => {
    let other: number;
    const copy = (fields: Fields = {}): string => calls.copy({ src_ioas_id: id, dst_ioas_id: other, ...fields });

    beforeEach(() => {
      other = calls.alloc();
      expect(map({ length: 2n * page, user_va: address })).toBe('0x10000');
    });

    it('maps the same in another, or elsewhere in the same', () => {
      expect(copy({ length: page, src_iova: 0x1_0001n, dst_iova: 0x5003n })).toBe('0x5003');
      expect(copy({ dst_ioas_id: id, dst_iova: 0x9000n })).toBe('0x9000');
      expect(copy({ dst_ioas_id: id, dst_iova: 0x1_0000n })).toBe('EEXIST');
      expect(unmap(0x1_0000n, 2n * page)).toBe('0x2000');
      expect(calls.unmap(other, 0n, top)).toBe('0x1000');
    });

    it('takes mappings that touch, and becomes as many', () => {
      expect(map({ iova: 0x1_2000n, length: page, user_va: address })).toBe('0x12000');
      expect(copy({ length: 3n * page, dst_iova: 0n })).toBe('0x0');
      expect(calls.unmap(other, 0n, 2n * page)).toBe('0x2000');
      expect(calls.unmap(other, 2n * page, page)).toBe('0x1000');
    });

    it('of what is not all mapped is ENOENT', () => {
      expect(copy({ length: 2n * page + 1n })).toBe('ENOENT');
      expect(copy({ src_iova: 0xffffn, length: 2n })).toBe('ENOENT');
      expect(map({ iova: 0x1_2001n, length: page })).toBe('0x12001');
      expect(copy({ length: 2n * page + 2n })).toBe('ENOENT');
    });

    it('cannot add the right to write', () => {
      expect(map({ flags: 5, iova: 0x2_0000n, length: page })).toBe('0x20000');
      expect(copy({ src_iova: 0x2_0000n, length: page })).toBe('EPERM');
      expect(copy({ src_iova: 0x2_0000n, length: page, flags: 5 })).toBe('0x40000');
      expect(map({ iova: 0x1_f000n, length: page })).toBe('0x1f000');
      expect(copy({ src_iova: 0x1_f000n, length: 2n * page, dst_iova: 0x6_0000n })).toBe('EPERM');
      expect(calls.unmap(other, 0n, top)).toBe('0x1000');
    });

    it('checks flags, numbers, directions, source, and destination last', () => {
      expect(copy({ flags: 8, length: top })).toBe('EOPNOTSUPP');
      expect(copy({ flags: 1, length: top })).toBe('EOVERFLOW');
      expect(copy({ flags: 1, src_iova: top })).toBe('EOVERFLOW');
      expect(copy({ flags: 1, dst_iova: top })).toBe('EOVERFLOW');
      expect(copy({ flags: 1, src_ioas_id: 77 })).toBe('EINVAL');
      expect(copy({ src_ioas_id: 77, length: 0n })).toBe('ENOENT');
      expect(copy({ dst_ioas_id: 77, length: 0n })).toBe('EINVAL');
      expect(copy({ dst_ioas_id: 77, src_iova: top - 1n, length: 3n })).toBe('EOVERFLOW');
      expect(copy({ dst_ioas_id: 77 })).toBe('ENOENT');
      expect(copy({ dst_iova: top - 1n })).toBe('EOVERFLOW');
    });

    it('chooses an IOVA by the alignment of the memory', () => {
      expect(copy({ flags: 6 })).toBe('0x2000');
      expect(copy({ flags: 6, length: page, src_iova: 0x1_1000n })).toBe('0x1000');
    });
  });
}
