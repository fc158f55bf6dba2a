/** How drivers reach an address space by the processor: the mock's accesses, which pin, read and write as they are told. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_SET,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '../../lib/abi/iommufd/object.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam } from '../support/mock/seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';
import { Type1Seam } from '../support/type1-seam.js';

const page = 4096n;
const top = 0xffff_ffff_ffff_ffffn;
const here = 0x100_0000n;
const [WRITE, SLOW, COUNTED] = [mock.MOCK_ACCESS_RW_WRITE, mock.MOCK_ACCESS_RW_SLOW_PATH, mock.MOCK_FLAGS_ACCESS_SYZ];

export function accesses(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let calls: IoasSeam;
  let mocks: MockSeam;
  let ioas: number;
  let memory: Mapping & { memory: ArrayBuffer };
  let address: bigint;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    calls = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    mocks = new MockSeam(subject.kernel, calls.fd);
    ioas = calls.alloc();
    memory = subject.kernel.mmap(-1, Number(8n * page), 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
    address = subject.kernel.addressOf(memory.memory);
    new Uint8Array(memory.memory).forEach((_, index, bytes) => (bytes[index] = (index >> 12) + 1));
  });
  afterEach(() => {
    calls.close();
    seam.closeAll();
    memory.unmap();
  });

  const newer = (): boolean => subject.version === '7.3';
  const map = (fields: Fields = {}): string => calls.map({ ioas_id: ioas, iova: here, user_va: address, length: 4n * page, ...fields });
  const tryCreate = (flags: number, id = ioas): string => mocks.run(mock.IOMMU_TEST_OP_CREATE_ACCESS, id, 'create_access', { flags });
  /** The fd of an access that pins pages, or does not. */
  const create = (flags = 1, id = ioas): number => {
    const result = tryCreate(flags, id);
    if (result !== '0') throw new Error(`CREATE_ACCESS: ${result}`);
    return seam.adopt(mocks.command.create_access.out_access_fd);
  };
  /** The pinned item, or the errno's name. */
  const pin = (access: number, fields: { flags?: number; iova?: bigint; length?: bigint; uptr?: bigint } = {}): string => {
    const usual = { iova: here, length: page, uptr: 0n };
    const result = mocks.run(mock.IOMMU_TEST_OP_ACCESS_PAGES, access, 'access_pages', { ...usual, ...fields });
    return result === '0' ? `item ${mocks.command.access_pages.out_access_pages_id}` : result;
  };
  const unpin = (access: number, access_pages_id: number): string =>
    mocks.run(mock.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, access, 'destroy_access_pages', { access_pages_id });
  /** Of the last page of the memory, which is not mapped. */
  const rw = (access: number, fields: { flags?: number; iova?: bigint; length?: bigint; uptr?: bigint } = {}): string =>
    mocks.run(mock.IOMMU_TEST_OP_ACCESS_RW, access, 'access_rw', { iova: here, length: 8n, uptr: address + 7n * page, ...fields });
  const replace = (access: number, ioas_id: number): string =>
    mocks.run(mock.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, access, 'access_replace_ioas', { ioas_id });
  /** '0' when each page is pinned that often. */
  const refs = (count: number, pages = 4n): string =>
    mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_REFS, 0, 'check_refs', { uptr: address, length: pages * page, refs: count });
  const bytes = (pageIndex: number, count: number): number[] => [...new Uint8Array(memory.memory, pageIndex * 4096, count)];

  describe('CREATE_ACCESS', () => {
    it('attaches to an address space, and takes its place among the objects', () => {
      expect([tryCreate(2), tryCreate(0, 99), tryCreate(0, 0)]).toEqual(['EOPNOTSUPP', 'ENOENT', 'ENOENT']);
      const access = create();
      expect(calls.destroy(ioas)).toBe('EBUSY');
      expect([calls.alloc(), calls.destroy(2), calls.destroy(3)]).toEqual([3, 'EBUSY', '0']);
      seam.close(access);
      expect([calls.destroy(2), calls.destroy(ioas)]).toEqual(['ENOENT', '0']);
    });

    it('one that pins pages needs whole ones, another none', () => {
      const alignment = (): string | undefined => calls.ranges(ioas).split(' ').at(-1);
      const reading = create(0);
      expect(alignment()).toBe('1');
      expect(map({ iova: here + 1n, length: 1n })).toBe(`0x${(here + 1n).toString(16)}`);
      expect(tryCreate(1)).toBe('EADDRINUSE');
      expect(calls.unmap(ioas, 0n, top)).toBe('0x1');
      const pinning = create(1);
      expect([alignment(), map({ iova: here + 1n, length: 1n })]).toEqual(['4096', 'EINVAL']);
      seam.close(pinning);
      seam.close(reading);
      expect(alignment()).toBe('1');
    });

    it('what is no access is EBADFD', () => {
      for (const fd of [calls.fd, 0x3fff_ffff]) expect([pin(fd), unpin(fd, 0), rw(fd), replace(fd, ioas)]).toEqual(Array(4).fill('EBADFD'));
    });

    it('keeps the file of /dev/iommu', () => {
      expect(map()).toBe('0x1000000');
      const access = create();
      const other = new MockSeam(subject.kernel, seam.open('/dev/iommu'));
      seam.close(calls.fd);
      const result = other.run(mock.IOMMU_TEST_OP_ACCESS_RW, access, 'access_rw', { iova: here, length: 8n, uptr: address + 7n * page });
      expect([result, bytes(7, 2)]).toEqual(['0', [1, 1]]);
    });
  });

  describe('ACCESS_PAGES', () => {
    it('pins the pages that are mapped', () => {
      expect(map()).toBe('0x1000000');
      const access = create();
      expect(refs(0)).toBe('0');
      expect(pin(access, { length: 4n * page, uptr: address })).toBe('item 0');
      expect(refs(1)).toBe('0');
      expect(pin(access, { length: 4n * page, flags: WRITE })).toBe('item 1');
      expect(pin(access, { iova: here + page, length: 2n * page, uptr: address + page })).toBe('item 2');
      expect(refs(1)).toBe('0');
      expect([unpin(access, 0), unpin(access, 0), unpin(access, 1)]).toEqual(['0', 'ENOENT', '0']);
      expect([refs(1), refs(0)]).toEqual(['EIO', 'EIO']);
      expect([unpin(access, 2), unpin(access, 3), refs(0)]).toEqual(['0', 'ENOENT', '0']);
    });

    it('checks the length, the flags, the access, and whether it pins', () => {
      const [pinning, reading] = [create(1), create(0)];
      expect(pin(pinning, { length: (16n << 20n) + 1n, flags: 4 })).toBe('ENOMEM');
      expect(pin(calls.fd, { flags: 4 })).toBe('EOPNOTSUPP');
      expect(pin(reading, { length: 0n })).toBe('EOPNOTSUPP');
      expect(pin(pinning, { length: 0n })).toBe('EINVAL');
      expect(pin(pinning, { iova: top - page + 1n, length: page + 1n })).toBe('EOVERFLOW');
      expect(pin(pinning)).toBe('ENOENT');
    });

    it('takes pages that begin and end on one, with the right that it needs, without a gap', () => {
      expect(map({ length: 2n * page, flags: 5 })).toBe('0x1000000');
      expect(map({ iova: here + 2n * page, length: page, flags: 3 })).toBe('0x1002000');
      expect(map({ iova: here + 4n * page, length: page, user_va: 0x1000n })).toBe('0x1004000');
      const access = create();
      expect(pin(access, { iova: here + 1n, length: 1n })).toBe('EINVAL');
      expect(pin(access, { length: 1n })).toBe('item 0');
      expect(pin(access, { flags: WRITE })).toBe('EPERM');
      expect(pin(access, { iova: here + 2n * page })).toBe('EPERM');
      expect(pin(access, { iova: here + 2n * page, flags: WRITE })).toBe('item 1');
      expect(pin(access, { length: 3n * page })).toBe('EPERM');
      expect(pin(access, { iova: here + page, length: page + 1n })).toBe('EPERM');
      expect(pin(access, { iova: here + 2n * page, length: 3n * page, flags: WRITE })).toBe('ENOENT');
      expect(pin(access, { iova: here - page, length: 2n * page })).toBe('ENOENT');
      expect(pin(access, { iova: here + 4n * page })).toBe('EFAULT');
      expect([unpin(access, 0), unpin(access, 1), refs(0)]).toEqual(['0', '0', '0']);
    });

    it('compares the pages with those at an address', () => {
      expect(map()).toBe('0x1000000');
      const access = create();
      expect(pin(access, { uptr: address + page })).toBe('EBADE');
      expect(pin(access, { uptr: 0x1000n })).toBe('EFAULT');
      expect([refs(0), pin(access, { uptr: address })]).toEqual(['0', 'item 0']);
    });

    it('an IOVA may count mappings', () => {
      expect(map({ length: page })).toBe('0x1000000');
      expect(map({ iova: here + 8n * page, user_va: address + page, length: page })).toBe('0x1008000');
      const access = create();
      expect(pin(access, { iova: 1n, flags: COUNTED, uptr: address + page })).toBe('item 0');
      expect(pin(access, { iova: 2n, flags: COUNTED })).toBe('ENOENT');
      expect([rw(access, { iova: (5n << 32n) | 1n, flags: COUNTED, length: 1n }), bytes(7, 1)]).toEqual(['0', [2]]);
    });

    it('pages of an address space and its copies are pinned once, others again', () => {
      const other = calls.alloc();
      expect(map()).toBe('0x1000000');
      expect(calls.copy({ src_ioas_id: ioas, dst_ioas_id: other, src_iova: here, dst_iova: here, length: 4n * page })).toBe('0x1000000');
      const [first, second] = [create(), create(1, other)];
      expect([pin(first, { length: 4n * page }), pin(second, { length: 4n * page }), refs(1)]).toEqual(['item 0', 'item 0', '0']);
      expect(map({ iova: here + 16n * page })).toBe('0x1010000');
      expect([pin(first, { iova: here + 16n * page, length: 4n * page }), refs(2)]).toEqual(['item 1', '0']);
      seam.close(first);
      expect(refs(1)).toBe('0');
      expect(calls.unmap(other, here, 4n * page)).toBe('0x4000');
      expect(refs(0)).toBe('0');
    });

    it('a page table and an access share the pin', () => {
      const { selftest } = mocks.device(ioas);
      const access = create();
      expect(map()).toBe('0x1000000');
      expect([refs(1), pin(access), refs(1)]).toEqual(['0', 'item 0', '0']);
      expect(calls.destroy(selftest)).toBe('0');
      expect([refs(1, 1n), refs(0)]).toEqual(['0', 'EIO']);
      expect([unpin(access, 0), refs(0)]).toEqual(['0', '0']);
    });
  });

  describe('what is pinned', () => {
    it('UNMAP has the driver let go of it', () => {
      expect(map({ length: page })).toBe('0x1000000');
      expect(map({ iova: here + page, user_va: address + page, length: page })).toBe('0x1001000');
      const [one, two] = [create(), create()];
      expect([pin(one), pin(one, { length: 2n * page }), pin(two, { iova: here + page })]).toEqual(['item 0', 'item 1', 'item 0']);
      expect(calls.unmap(ioas, here, page)).toBe('0x1000');
      expect([unpin(one, 0), unpin(one, 1), unpin(two, 0)]).toEqual(['ENOENT', 'ENOENT', '0']);
      expect(refs(0)).toBe('0');
      expect([pin(one), calls.unmap(ioas, 0n, top)]).toEqual(['ENOENT', '0x1000']);
    });

    it('goes with the access, and with the address space it is attached to', () => {
      const other = calls.alloc();
      expect(map()).toBe('0x1000000');
      const access = create();
      expect([pin(access, { length: 4n * page }), refs(1)]).toEqual(['item 0', '0']);
      expect([replace(access, 99), replace(access, 3), replace(access, ioas), refs(1)]).toEqual(['ENOENT', 'ENOENT', '0', '0']);
      expect([replace(access, other), refs(0), unpin(access, 0)]).toEqual(['0', '0', 'ENOENT']);
      expect([pin(access), calls.destroy(ioas), calls.destroy(other)]).toEqual(['ENOENT', '0', 'EBUSY']);
      expect(calls.map({ ioas_id: other, iova: here, user_va: address, length: 4n * page })).toBe('0x1000000');
      expect([pin(access, { length: 4n * page }), refs(1)]).toEqual(['item 1', '0']);
      seam.close(access);
      expect([refs(0), calls.destroy(other)]).toEqual(['0', '0']);
    });

    it('an access stays where it is if what is mapped elsewhere is off the page', () => {
      const other = calls.alloc();
      expect(calls.map({ ioas_id: other, length: 1n })).toBe('0x10000');
      const access = create();
      expect(map()).toBe('0x1000000');
      expect([replace(access, other), pin(access)]).toEqual(['EADDRINUSE', 'item 0']);
    });
  });

  describe('ACCESS_RW', () => {
    it.each([
      [0, 'with copies'],
      [SLOW, 'with pages'],
    ])('moves bytes, over any pages (flags %i, %s)', (path) => {
      expect(map({ length: 2n * page })).toBe('0x1000000');
      expect(map({ iova: here + 2n * page, user_va: address + 5n * page, length: page })).toBe('0x1002000');
      const access = create(0);
      expect([rw(access, { iova: here + 4094n, length: 4n, flags: path }), bytes(7, 4)]).toEqual(['0', [1, 1, 2, 2]]);
      expect([rw(access, { iova: here + 8190n, length: 4n, flags: path }), bytes(7, 4)]).toEqual(['0', [2, 2, 6, 6]]);
      expect([rw(access, { iova: here + 2n * page + 1n, length: 4n, flags: WRITE | path }), bytes(5, 6)]).toEqual([
        '0',
        [6, 2, 2, 6, 6, 6],
      ]);
      expect([rw(access, { iova: here, length: 2n * page, uptr: address + 6n * page, flags: path }), bytes(6, 1), bytes(7, 1)]).toEqual([
        '0',
        [1],
        [2],
      ]);
    });

    it('checks the length, the flags, the access, the bytes to write, and where', () => {
      const access = create(0);
      expect(rw(access, { length: (16n << 20n) + 1n, flags: 2 })).toBe('ENOMEM');
      expect(rw(calls.fd, { flags: 2 })).toBe('EOPNOTSUPP');
      expect(rw(access, { flags: WRITE, uptr: 0n })).toBe('EFAULT');
      expect(rw(access, { length: 0n })).toBe('EINVAL');
      expect(rw(access, { iova: top, length: 2n })).toBe('EOVERFLOW');
      expect(rw(access)).toBe('ENOENT');
      expect(map({ length: page })).toBe('0x1000000');
      expect(rw(access, { uptr: 0n })).toBe('EFAULT');
    });

    it('takes rights, and memory that is there, without a gap', () => {
      expect(map({ length: page, flags: 5 })).toBe('0x1000000');
      expect(map({ iova: here + page, user_va: address + page, length: page, flags: 3 })).toBe('0x1001000');
      expect(map({ iova: here + 3n * page, user_va: 0x1000n, length: page })).toBe('0x1003000');
      const access = create(0);
      expect([rw(access, { flags: WRITE }), rw(access, { iova: here + page })]).toEqual(['EPERM', 'EPERM']);
      expect(rw(access, { iova: here - 1n, length: 2n })).toBe('ENOENT');
      expect(rw(access, { iova: here + 2n * page - 1n, length: 2n, flags: WRITE })).toBe('ENOENT');
      expect(bytes(1, 4096).at(-1)).toBe(8);
      for (const flags of [0, WRITE, SLOW, SLOW | WRITE]) expect(rw(access, { iova: here + 3n * page, flags })).toBe('EFAULT');
      expect(rw(access, { iova: here + 4n * page - 1n, length: 2n })).toBe('EFAULT');
    });
  });

  it('lists of pages may be short', () => {
    const limit = (bytes: number): string => mocks.run(mock.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0, 'memory_limit', { limit: bytes });
    try {
      expect([limit(11), limit(12)]).toEqual(['EINVAL', '0']);
      expect(map({ length: 7n * page })).toBe('0x1000000');
      const access = create();
      expect([pin(access, { length: 7n * page, uptr: address }), refs(1, 7n)]).toEqual(['item 0', '0']);
      expect([rw(access, { iova: here + 4094n, length: 4n, flags: SLOW }), bytes(7, 4)]).toEqual(['0', [1, 1, 2, 2]]);
    } finally {
      expect(limit(65536)).toBe('0');
    }
  });

  describe('files', () => {
    const mapFile = (fd: number, fields: Fields = {}): string => calls.mapFile({ ioas_id: ioas, fd, iova: here, length: page, ...fields });

    it('memory of a file is pinned, read and written', () => {
      const fd = seam.memfd(8192);
      if (!newer()) return expect(mapFile(fd)).toBe('ENOTTY');
      expect(mapFile(fd, { length: 2n * page })).toBe('0x1000000');
      expect(mapFile(fd, { start: page, length: 2n * page, iova: here + 4n * page })).toBe('0x1004000');
      const access = create();
      expect([
        rw(access, { iova: here + 4095n, length: 2n, flags: WRITE, uptr: address + page }),
        pin(access, { length: 2n * page }),
      ]).toEqual(['0', 'item 0']);
      const written = new Uint8Array(2);
      subject.kernel.pread(fd, written, 4095);
      expect([...written]).toEqual([2, 2]);
      expect([rw(access, { iova: here + 4n * page, length: 1n }), bytes(7, 1)]).toEqual(['0', [2]]);
      expect([pin(access, { iova: here + 5n * page }), rw(access, { iova: here + 5n * page })]).toEqual(['EINVAL', 'EINVAL']);
      return expect(calls.unmap(ioas, 0n, top)).toBe('0x4000');
    });

    it('a dma-buf is no memory of the processor, and may be taken back', () => {
      const get = (length: number): string => mocks.run(mock.IOMMU_TEST_OP_DMABUF_GET, 0, 'dmabuf_get', { length, open_flags: 0o2000002 });
      const revoke = (dmabuf_fd: number, revoked: number): string =>
        mocks.run(mock.IOMMU_TEST_OP_DMABUF_REVOKE, 0, 'dmabuf_revoke', { dmabuf_fd, revoked });
      if (!newer()) return expect([get(1), revoke(calls.fd, 1)]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP']);
      expect([get(0), get(512 * 4096 + 1)]).toEqual(['EINVAL', 'EINVAL']);
      expect([revoke(0x3fff_ffff, 1), revoke(calls.fd, 1)]).toEqual(['EBADF', 'EINVAL']);
      // The kernel says no number: it is the lowest that is free.
      const fd = seam.eventfd();
      seam.close(fd);
      expect(get(4097)).toBe('0');
      seam.adopt(fd);
      expect([mapFile(fd, { length: 3n * page }), mapFile(fd, { start: 2n * page })]).toEqual(['EINVAL', 'EINVAL']);
      expect([mapFile(fd, { length: 2n * page }), mapFile(fd, { start: page, iova: here + 2n * page })]).toEqual([
        '0x1000000',
        '0x1002000',
      ]);
      const access = create();
      expect([pin(access), rw(access), rw(access, { flags: WRITE })]).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
      expect(calls.changeProcess()).toBe('EINVAL');
      mocks.device(ioas);
      expect([revoke(fd, 1), mapFile(fd, { iova: here + 8n * page })]).toEqual(['0', 'ENODEV']);
      expect([revoke(fd, 0), mapFile(fd, { iova: here + 8n * page })]).toEqual(['0', '0x1008000']);
      return expect([calls.unmap(ioas, here, 3n * page), calls.unmap(ioas, 0n, top)]).toEqual(['0x3000', '0x1000']);
    });
  });

  describe('a mapping that VFIO\u2019s UNMAP_DMA would cut in two', () => {
    let type1: Type1Seam;

    beforeEach(() => {
      const choose = iommu_vfio_ioas.create();
      Object.assign(choose, { size: iommu_vfio_ioas.size, op: IOMMU_VFIO_IOAS_SET, ioas_id: ioas });
      expect(subject.kernel.ioctl(calls.fd, IOMMU_VFIO_IOAS.number, choose.bytes)).toBe(0);
      expect(calls.option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, 0n)).toBe('0');
      type1 = new Type1Seam(subject.kernel, calls.fd, address);
    });

    it('stays whole while some of it is pinned', () => {
      expect(map()).toBe('0x1000000');
      const access = create();
      expect([pin(access), type1.unmap(here, page)]).toEqual(['item 0', 'EINVAL']);
      expect([unpin(access, 0), type1.unmap(here, page)]).toEqual(['0', '0x1000 bytes']);
    });
  });

  it('an unknown operation is EOPNOTSUPP', () => {
    expect(mocks.run(77, 0, 'memory_limit', {})).toBe('EOPNOTSUPP');
    expect(answer(subject.kernel.ioctl(calls.fd, mock.IOMMU_TEST_CMD.number, 0))).toBe('EFAULT');
  });
}
