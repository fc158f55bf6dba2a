/** VFIO's requests on /dev/iommu: groups put into it, and the address space they share with it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  IOMMU_OPTION_RLIMIT_MODE,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '../../lib/abi/iommufd/object.js';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../../lib/abi/vfio/container.js';
import { VFIO_GROUP_UNSET_CONTAINER } from '../../lib/abi/vfio/group.js';
import { VFIO_DMA_UNMAP_FLAG_ALL, VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO } from '../../lib/abi/vfio/type1.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { IoasSeam } from '../support/ioas-seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';
import { Type1Seam } from '../support/type1-seam.js';

const page = 0x1000n;
const base = 0x10_0000n;
const top = 0xffff_ffff_ffff_ffffn;

export function compatibility(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let iommufd: number;
  let calls: IoasSeam;
  let type1: Type1Seam;
  let memory: Mapping;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    iommufd = seam.open('/dev/iommu');
    calls = new IoasSeam(subject.kernel, iommufd);
    memory = subject.kernel.mmap(-1, 16 * Number(page), 3, 0x22, 0) as Mapping;
    type1 = new Type1Seam(subject.kernel, iommufd, subject.kernel.addressOf(memory.memory!));
  });
  afterEach(() => {
    seam.closeAll();
    calls.close();
    memory.unmap();
  });

  const newer = (): boolean => subject.version === '7.3';
  const ioctl = (request: { number: number }, argument?: number | Uint8Array, fd = iommufd): string =>
    answer(subject.kernel.ioctl(fd, request.number, argument));
  /** The id that is set, or the error. */
  const vfioIoas = (op: number, ioas_id = 0, reserved = 0): string => {
    const view = iommu_vfio_ioas.create();
    Object.assign(view, { size: iommu_vfio_ioas.size, op, ioas_id, __reserved: reserved });
    const result = ioctl(IOMMU_VFIO_IOAS, view.bytes);
    return result === '0' && op === IOMMU_VFIO_IOAS_GET ? `id ${view.ioas_id}` : result;
  };
  const chosen = (): string => vfioIoas(IOMMU_VFIO_IOAS_GET);
  const extension = (number: number): string => ioctl(VFIO_CHECK_EXTENSION, number);
  /** The group of the device, put into the open /dev/iommu. */
  const joined = (): number => {
    const group = seam.group(subject.edu);
    expect(answer(seam.setContainer(group, iommufd))).toBe('0');
    return group;
  };
  const openDevice = (group: number): string => {
    const fd = seam.device(group, subject.edu.address);
    return fd < 0 ? answer(fd) : 'open';
  };

  describe('IOMMU_VFIO_IOAS', () => {
    it('GET is ENODEV while there is none', () => {
      expect(chosen()).toBe('ENODEV');
      expect(vfioIoas(IOMMU_VFIO_IOAS_CLEAR)).toBe('0');
      expect(chosen()).toBe('ENODEV');
    });

    it('SET takes an address space, and CLEAR takes it away', () => {
      const [first, second] = [calls.alloc(), calls.alloc()];
      expect([vfioIoas(IOMMU_VFIO_IOAS_SET, first), chosen()]).toEqual(['0', `id ${first}`]);
      expect([vfioIoas(IOMMU_VFIO_IOAS_SET, second), chosen()]).toEqual(['0', `id ${second}`]);
      expect([vfioIoas(IOMMU_VFIO_IOAS_SET, 77), chosen()]).toEqual(['ENOENT', `id ${second}`]);
      expect([vfioIoas(IOMMU_VFIO_IOAS_CLEAR, 77), chosen()]).toEqual(['0', 'ENODEV']);
    });

    it('one that is destroyed is none, even when its id is used again', () => {
      const id = calls.alloc();
      vfioIoas(IOMMU_VFIO_IOAS_SET, id);
      expect(calls.destroy(id)).toBe('0');
      expect(calls.alloc()).toBe(id);
      expect(chosen()).toBe('ENODEV');
    });

    it('an object that is no address space is ENOENT', () => {
      expect(openDevice(joined())).toBe('open');
      expect([2, 3].map((id) => vfioIoas(IOMMU_VFIO_IOAS_SET, id))).toEqual(['ENOENT', 'ENOENT']);
    });

    it('looks at length, reserved bits and operation, in this order', () => {
      const ask = (length: number, fields: Record<string, number>, tail = 0): string =>
        calls.ask(IOMMU_VFIO_IOAS, fields, { length, room: 16, tail });
      expect([ask(11, { op: 3, __reserved: 1 }), ask(0, {}), ask(13, { __reserved: 1 }, 1)]).toEqual(['EINVAL', 'EINVAL', 'E2BIG']);
      expect([ask(12, { op: 1, __reserved: 1 }), ask(12, { op: 3 }), ask(12, { op: 0xffff })]).toEqual(Array(3).fill('EOPNOTSUPP'));
      expect(ask(13, {})).toBe('ENODEV');
      expect(ioctl(IOMMU_VFIO_IOAS, 0)).toBe('EFAULT');
    });
  });

  describe('without an address space', () => {
    it('extensions are known but for the one that asks the page tables, and no type can be set', () => {
      expect([1, 3, 8, 9].map(extension)).toEqual(Array(4).fill('1'));
      expect([0, 2, 5, 6, 7, 10, 11, 42].map(extension)).toEqual(Array(8).fill('0'));
      expect(extension(VFIO_DMA_CC_IOMMU)).toBe('ENODEV');
      expect([VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU].map((type) => ioctl(VFIO_SET_IOMMU, type))).toEqual(['ENODEV', 'ENODEV']);
      expect([0, 2, VFIO_NOIOMMU_IOMMU, 9].map((type) => ioctl(VFIO_SET_IOMMU, type))).toEqual(Array(4).fill('EINVAL'));
    });

    it('mapping, unmapping and asking is ENODEV, after the arguments were looked at', () => {
      expect([type1.map({ argsz: 31 }), type1.map({ flags: 7 }), type1.map({ size: 0n })]).toEqual(['EINVAL', 'EINVAL', 'ENODEV']);
      expect([type1.unmap(base, page, 0, 23), type1.unmap(base, page, 1), type1.unmap(base, page, 4), type1.unmap(0n, page, 2)]).toEqual([
        'EINVAL',
        'EINVAL',
        'EINVAL',
        'ENODEV',
      ]);
      expect([type1.info(15, 24)[0], type1.info(16)[0]]).toEqual(['EINVAL', 'ENODEV']);
    });

    it('dirty pages and what else containers know is ENOTTY', () => {
      expect([VFIO_IOMMU_DIRTY_PAGES.number, 0x3b7a, 0x5401].map((number) => ioctl({ number }, 0))).toEqual(Array(3).fill('ENOTTY'));
    });
  });

  describe('a group', () => {
    it('makes an address space when it joins, which outlasts it', () => {
      const group = joined();
      expect(chosen()).toBe('id 1');
      expect(calls.ranges(1)).toBe(`1: 0x0-0x${top.toString(16)} alignment 1`);
      expect(ioctl(VFIO_GROUP_UNSET_CONTAINER, undefined, group)).toBe('0');
      expect(chosen()).toBe('id 1');
      expect(answer(seam.setContainer(group, iommufd))).toBe('0');
      expect(chosen()).toBe('id 1');
      expect(calls.destroy(1)).toBe('0');
      expect(chosen()).toBe('ENODEV');
      expect(openDevice(group)).toBe('ENODEV');
    });

    it('joins the address space that was chosen before', () => {
      const [, second] = [calls.alloc(), calls.alloc()];
      vfioIoas(IOMMU_VFIO_IOAS_SET, second);
      expect(openDevice(joined())).toBe('open');
      expect(chosen()).toBe(`id ${second}`);
      expect(calls.alloc()).toBe(5);
    });

    it('gives its device before and after a type was set, which can be set again', () => {
      const group = joined();
      expect(openDevice(group)).toBe('open');
      const type = (value: number): string => ioctl(VFIO_SET_IOMMU, value);
      expect([VFIO_TYPE1v2_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU].map(type)).toEqual(Array(4).fill('0'));
      expect([0, 2, 6, VFIO_NOIOMMU_IOMMU, 9].map(type)).toEqual(Array(5).fill('EINVAL'));
      expect(openDevice(group)).toBe('open');
    });

    it('is taken back while a device is open, which stays where it is', () => {
      const group = joined();
      const device = seam.device(group, subject.edu.address);
      expect(ioctl(VFIO_GROUP_UNSET_CONTAINER, undefined, group)).toBe('0');
      expect(ioctl(VFIO_GROUP_UNSET_CONTAINER, undefined, group)).toBe('EINVAL');
      expect(openDevice(group)).toBe('EINVAL');
      expect(calls.destroy(1)).toBe('EBUSY');
      const other = seam.open('/dev/iommu');
      expect(answer(seam.setContainer(group, other))).toBe('0');
      // The device is open, and its file of /dev/iommu not asked again.
      expect(openDevice(group)).toBe('open');
      seam.close(device);
      expect(calls.destroy(1)).toBe('EBUSY');
    });

    it('of a host driver joins, and gives no device', () => {
      const group = seam.group(subject.shared);
      expect(answer(seam.setContainer(group, iommufd))).toBe('0');
      expect(answer(seam.device(group, subject.shared.address))).toBe('EPERM');
      expect(calls.destroy(1)).toBe('0');
    });

    it('opened device by device, has each as an object of the file, and the kernel\u2019s page table', () => {
      const group = joined();
      const device = seam.device(group, subject.edu.address);
      expect([1, 2, 3].map((id) => calls.destroy(id))).toEqual(Array(3).fill('EBUSY'));
      expect(calls.destroy(4)).toBe('ENOENT');
      seam.close(device);
      expect([2, 3].map((id) => calls.destroy(id))).toEqual(['ENOENT', 'ENOENT']);
      expect(calls.destroy(1)).toBe('0');
    });

    it('stays with its address space when another is chosen, which is for the next device', () => {
      const group = joined();
      const device = seam.device(group, subject.edu.address);
      const other = calls.alloc();
      vfioIoas(IOMMU_VFIO_IOAS_SET, other);
      expect(type1.map()).toBe('0');
      expect([calls.unmap(1, base, page), calls.unmap(other, base, page)]).toEqual(['ENOENT', '0x1000']);
      vfioIoas(IOMMU_VFIO_IOAS_CLEAR);
      expect(openDevice(group)).toBe('open');
      expect(type1.map()).toBe('ENODEV');
      seam.close(device);
    });

    it('is no longer held by its device, which holds the file of /dev/iommu', () => {
      const group = joined();
      const device = seam.device(group, subject.edu.address);
      seam.close(iommufd);
      seam.close(group);
      expect(answer(subject.kernel.pread(device, new Uint8Array(2), 7 * 2 ** 40))).toBe('2');
      const again = seam.group(subject.edu);
      expect(again).toBeGreaterThan(0);
      expect(answer(seam.device(again, subject.edu.address))).toBe('EINVAL');
      expect(answer(seam.setContainer(again, seam.open('/dev/iommu')))).toBe('0');
      seam.close(device);
      expect(openDevice(again)).toBe('open');
    });

    if (variant.container === 'vfio')
      it('belongs to one file at a time, whichever kind it is', () => {
        const group = joined();
        const device = seam.device(group, subject.edu.address);
        const container = seam.container();
        expect(answer(seam.setContainer(group, container))).toBe('EINVAL');
        ioctl(VFIO_GROUP_UNSET_CONTAINER, undefined, group);
        expect(answer(seam.setContainer(group, container))).toBe('EPERM');
        seam.close(device);
        expect(answer(seam.setContainer(group, container))).toBe('0');
        expect(answer(seam.setContainer(group, iommufd))).toBe('EINVAL');
        ioctl(VFIO_GROUP_UNSET_CONTAINER, undefined, group);
        expect(answer(seam.setContainer(group, iommufd))).toBe('0');
      });
    else
      it('is put into /dev/vfio/vfio, which is a /dev/iommu that counts locked memory of the process', () => {
        const group = seam.group(subject.edu);
        const container = seam.container();
        const other = new IoasSeam(subject.kernel, container);
        expect([calls, other].map((file) => file.option(IOMMU_OPTION_RLIMIT_MODE, 1))).toEqual(['0', '1']);
        expect(answer(seam.setContainer(group, container))).toBe('0');
        expect(openDevice(group)).toBe('open');
        expect(other.destroy(1)).toBe('EBUSY');
        other.close();
      });
  });

  describe('with a group and no device', () => {
    beforeEach(() => void joined());

    it('anything can be mapped, byte by byte, even for nobody to read or write', () => {
      expect([type1.map({ iova: 5n, vaddr: 3n, size: 7n }), type1.map({ iova: 0n, size: 5n, flags: 0 })]).toEqual(['0', '0']);
      expect([type1.unmap(0n, 12n), type1.unmap(0n, 12n)]).toEqual(['0xc bytes', '0x0 bytes']);
    });

    it('sizes, ends and overlaps are refused', () => {
      const beyond = 0xffff_ffff_ffff_f000n;
      expect([type1.map({ size: 0n }), type1.map({ size: beyond, vaddr: 0n })]).toEqual(['EINVAL', 'EINVAL']);
      expect([type1.map({ size: beyond + 1n, vaddr: 0n }), type1.map({ vaddr: beyond, size: page })]).toEqual(['EINVAL', 'EOVERFLOW']);
      expect(type1.map({ vaddr: page, size: top })).toBe(newer() ? 'EOVERFLOW' : 'EINVAL');
      expect([type1.map({ iova: beyond, size: 2n * page }), type1.map({ iova: beyond })]).toEqual(['EOVERFLOW', '0']);
      expect([type1.map({ iova: beyond }), type1.map({ iova: beyond - 1n, size: 2n })]).toEqual(['EEXIST', 'EEXIST']);
    });

    it('UNMAP_DMA of nothing is 0 bytes, and of an empty range EINVAL', () => {
      expect([type1.unmap(base, page), type1.unmap(base, 0n), type1.unmap(page, top)]).toEqual([
        '0x0 bytes',
        'EINVAL',
        'EOVERFLOW, 0x0 bytes',
      ]);
      expect([type1.unmap(0n, 1n, VFIO_DMA_UNMAP_FLAG_ALL), type1.unmap(1n, 0n, VFIO_DMA_UNMAP_FLAG_ALL)]).toEqual(['EINVAL', 'EINVAL']);
      type1.map();
      expect([type1.unmap(0n, top), type1.unmap(0n, 0n, VFIO_DMA_UNMAP_FLAG_ALL)]).toEqual(['0x1000 bytes', '0x0 bytes']);
    });

    it('UNMAP_DMA stops at a mapping that the range cuts through, and says what it took before', () => {
      type1.map();
      type1.map({ iova: base + page, size: 2n * page });
      expect(type1.unmap(base, 2n * page)).toBe('ENOENT, 0x1000 bytes');
      expect(type1.unmap(base + page, page)).toBe('ENOENT, 0x0 bytes');
      expect(type1.unmap(base, 4n * page)).toBe('0x2000 bytes');
    });

    it('what is mapped by one kind of request is unmapped and copied by the other', () => {
      type1.map({ size: 2n * page });
      expect(calls.copy({ dst_ioas_id: 1, src_ioas_id: 1, src_iova: base })).toBe('0x40000');
      expect(calls.unmap(1, base, 2n * page)).toBe('0x2000');
      expect(type1.unmap(0n, top)).toBe('0x2000 bytes');
      calls.map({ ioas_id: 1, iova: base });
      expect(type1.map()).toBe('EEXIST');
      expect(type1.unmap(base, page)).toBe('0x1000 bytes');
    });

    it('coherent DMA is what all of its page tables enforce, and there is none', () => {
      expect(extension(VFIO_DMA_CC_IOMMU)).toBe('1');
    });
  });

  describe('opening the device', () => {
    it('finds what is mapped off the page, where it can have nothing, or without memory', () => {
      const group = joined();
      const tried = (fields: Parameters<Type1Seam['map']>[0]): string => {
        expect(type1.map(fields)).toBe('0');
        const result = openDevice(group);
        type1.unmap(0n, 0n, VFIO_DMA_UNMAP_FLAG_ALL);
        return result;
      };
      expect([tried({ iova: base + 1n }), tried({ iova: 0xfee0_0000n }), tried({ vaddr: page })]).toEqual([
        'EADDRINUSE',
        'EADDRINUSE',
        'EFAULT',
      ]);
      expect(calls.destroy(2)).toBe('ENOENT');
      expect(openDevice(group)).toBe('open');
    });

    it('takes IOVAs away, and brings the pages to be aligned to', () => {
      const group = joined();
      expect(openDevice(group)).toBe('open');
      expect(calls.ranges(1)).toMatch(/alignment 4096$/);
      expect([
        type1.map({ iova: 0xfee0_0000n }),
        type1.map({ iova: base + 1n }),
        type1.map({ size: 12n }),
        type1.map({ vaddr: page }),
      ]).toEqual(['EINVAL', 'EINVAL', 'EINVAL', 'EFAULT']);
      expect(type1.map({ vaddr: type1.address + 8n })).toBe('EINVAL');
      expect(extension(VFIO_DMA_CC_IOMMU)).toBe(subject.iommu === 'amd' ? '1' : '0');
    });

    // Linux 7.3 refuses it with a warning in its log, which the lab takes for a failure.
    if (!variant.real || variant.version === '6.12')
      it('takes no mapping that devices may neither read nor write', () => {
        expect(openDevice(joined())).toBe('open');
        expect(type1.map({ flags: 0 })).toBe('EINVAL');
      });
  });

  describe('version 1 of type1', () => {
    const set = (type: number): string => ioctl(VFIO_SET_IOMMU, type);

    it('cuts mappings where a range begins and ends, for good', () => {
      openDevice(joined());
      expect(set(VFIO_TYPE1_IOMMU)).toBe('0');
      expect(type1.map({ size: 8n * page })).toBe('0');
      expect(type1.unmap(base + 2n * page, page)).toBe('0x1000 bytes');
      expect([type1.unmap(base, page), type1.unmap(base + 6n * page, 8n * page)]).toEqual(['0x1000 bytes', '0x2000 bytes']);
      // Setting version 2 does not bring large pages back.
      expect(set(VFIO_TYPE1v2_IOMMU)).toBe('0');
      expect(type1.unmap(base + 4n * page, page)).toBe('0x1000 bytes');
      expect(type1.unmap(base, 8n * page)).toBe('0x3000 bytes');
    });

    it('cuts at pages alone, and cuts even where the range is refused then', () => {
      openDevice(joined());
      set(VFIO_TYPE1_IOMMU);
      type1.map({ size: 4n * page });
      expect([type1.unmap(base, page + 1n), type1.unmap(base + 1n, page)]).toEqual(['EINVAL', 'EINVAL']);
      expect(type1.unmap(base + page, 0n)).toBe('EINVAL');
      // In two now, at one page.
      expect(calls.unmap(1, base, page)).toBe('0x1000');
      expect(calls.unmap(1, base + page, 3n * page)).toBe('0x3000');
    });

    it('from 0 on there is one cut, and ALL makes none', () => {
      openDevice(joined());
      set(VFIO_TYPE1_IOMMU);
      type1.map({ iova: 0n, size: 4n * page });
      expect(type1.unmap(0n, page)).toBe('0x1000 bytes');
      expect(type1.unmap(0n, 0n, VFIO_DMA_UNMAP_FLAG_ALL)).toBe('0x3000 bytes');
    });

    it('is EINVAL once something is mapped for a device, and may be set before', () => {
      const group = joined();
      const device = seam.device(group, subject.edu.address);
      type1.map();
      expect([set(VFIO_TYPE1_IOMMU), set(VFIO_TYPE1v2_IOMMU)]).toEqual(['EINVAL', '0']);
      seam.close(device);
      expect(set(VFIO_TYPE1_IOMMU)).toBe('0');
      expect(type1.map({ iova: base + page + 1n })).toBe('EINVAL');
      type1.unmap(0n, top);
    });

    it('is EADDRINUSE with a mapping off the page', () => {
      joined();
      type1.map({ size: 7n });
      expect(set(VFIO_TYPE1_IOMMU)).toBe('EADDRINUSE');
      expect(type1.unmap(base, 7n)).toBe('0x7 bytes');
    });
  });

  describe('GET_INFO', () => {
    it('without a device: every page, every IOVA, and mappings without a limit', () => {
      joined();
      const [result, ...words] = type1.info(72);
      expect(result).toBe('0');
      expect(words.map((word) => Number.parseInt(word, 16))).toEqual([
        ...[72, 3, 0xffff_f000, 0xffff_ffff, 24, 0],
        // 3 is how many more mappings fit, 1 which IOVAs.
        ...[0x1_0003, 40, 0xffff_ffff, 0xa5a5_a5a5],
        ...[0x1_0001, 0, 1, 0, 0, 0, 0xffff_ffff, 0xffff_ffff],
      ]);
    });

    it('is answered through a pointer, too', () => {
      joined();
      const words = new Uint32Array(memory.memory!);
      words[0] = 72;
      expect(ioctl(VFIO_IOMMU_GET_INFO, Number(type1.address))).toBe('0');
      expect([...words.slice(0, 10)]).toEqual([72, 3, 0xffff_f000, 0xffff_ffff, 24, 0, 0x1_0003, 40, 0xffff_ffff, 0]);
    });

    it('gives what there is room for', () => {
      joined();
      for (const argsz of [16, 20, 24, 35, 36, 40, 44, 55, 56, 71]) {
        const [result, needed] = type1.info(argsz, 96);
        expect([argsz, result, needed]).toEqual([argsz, '0', '48']);
      }
      expect(type1.info(16, 96)).toEqual(['0', '48', '3', 'fffff000', 'ffffffff']);
      expect(type1.info(20, 96)).toEqual(['0', '48', '3', 'fffff000', 'ffffffff', '0']);
      expect(type1.info(35, 96).slice(5)).toEqual(['0', '0']);
      expect(type1.info(36, 96).slice(5)).toEqual(['0', '0', '10003', '0', 'ffffffff']);
      for (const argsz of [40, 56, 71]) expect(type1.info(argsz, 96).slice(5)).toEqual(['0', '0', '10003', '28', 'ffffffff']);
    });
  });
}
