/** The mock devices of a kernel with CONFIG_IOMMUFD_TEST, on which other suites stand: made, attached elsewhere, and gone. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Iommufd } from '../../lib/index.js';
import { IoasSeam } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam } from '../support/mock/seam.js';
import { Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

export function mockDevices(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let calls: IoasSeam;
  let mocks: MockSeam;
  let id: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    calls = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    mocks = new MockSeam(subject.kernel, calls.fd);
    id = calls.alloc();
  });
  afterEach(() => {
    calls.close();
    seam.closeAll();
  });

  describe('MOCK_DOMAIN', () => {
    it('makes a device, binds it, and attaches it to a page table that the kernel makes', () => {
      expect(mocks.device(id)).toEqual({ selftest: 2, device: 3, hwpt: 4 });
      expect(calls.ranges(id)).toBe('1: 0x1000000-0x7fffffff alignment 2048');
    });

    it('devices of one address space share the page table', () => {
      expect(mocks.device(id)).toEqual({ selftest: 2, device: 3, hwpt: 4 });
      expect(mocks.device(id)).toEqual({ selftest: 5, device: 6, hwpt: 4 });
      expect([calls.destroy(4), calls.destroy(3), calls.destroy(id)]).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
      expect([calls.destroy(2), calls.destroy(4)]).toEqual(['0', 'EBUSY']);
      expect([calls.destroy(5), calls.destroy(4), calls.destroy(6), calls.destroy(id)]).toEqual(['0', 'ENOENT', 'ENOENT', '0']);
    });

    it('a device that cannot be made leaves nothing', () => {
      expect(() => mocks.device(99)).toThrow('ENOENT');
      expect(() => mocks.device(id, 8)).toThrow('EINVAL');
      const { selftest } = mocks.device(id);
      expect(() => mocks.device(selftest)).toThrow('EINVAL');
      expect(calls.destroy(selftest)).toBe('0');
      expect(calls.map({ ioas_id: id })).toBe('0x10000');
      expect(() => mocks.device(id)).toThrow('EADDRINUSE');
      expect(calls.alloc()).toBe(2);
    });

    it('REPLACE moves it to another address space, whose page table comes into being with it', () => {
      const { selftest, hwpt } = mocks.device(id);
      const other = calls.alloc();
      expect(mocks.replace(selftest, id)).toBe(String(hwpt));
      expect(mocks.replace(selftest, other)).toBe('6');
      expect(calls.destroy(hwpt)).toBe('ENOENT');
      expect(calls.ranges(id)).toBe('1: 0x0-0xffffffffffffffff alignment 1');
      expect(mocks.replace(selftest, 6)).toBe('6');
      expect([mocks.replace(selftest, 99), mocks.replace(selftest, selftest), mocks.replace(99, id), mocks.replace(6, id)]).toEqual([
        'ENOENT',
        'EINVAL',
        'ENOENT',
        'ENOENT',
      ]);
    });
  });

  it('ADD_RESERVED takes IOVAs from an address space for good', () => {
    const reserve = (ioas: number, start: bigint, length: bigint): string =>
      mocks.run(mock.IOMMU_TEST_OP_ADD_RESERVED, ioas, 'add_reserved', { start, length });
    expect(reserve(99, 0n, 0n)).toBe('EINVAL');
    expect(reserve(99, 0xffff_ffff_ffff_f000n, 0x1001n)).toBe('EOVERFLOW');
    expect(reserve(99, 0n, 0x1000n)).toBe('ENOENT');
    expect(reserve(id, 0x1000n, 0x1000n)).toBe('0');
    expect(calls.ranges(id)).toBe('2: 0x0-0xfff 0x2000-0xffffffffffffffff alignment 1');
    expect(calls.map({ ioas_id: id })).toBe('0x10000');
    expect(reserve(id, 0x1_0000n, 0x1000n)).toBe('EADDRINUSE');
  });

  it('MD_CHECK_MAP compares what a page table has with memory, and MD_CHECK_REFS counts who pinned it', () => {
    const { hwpt } = mocks.device(id);
    using iommufd = Iommufd.open(subject.kernel);
    const buffer = iommufd.createIoas().allocate(0x3000);
    const address = subject.kernel.addressOf(buffer.memory);
    const iova = 0x100_0000n;
    buffer.bytes.fill(1);
    const map = (length: bigint, uptr = address, at = iova, table = hwpt): string =>
      mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_MAP, table, 'check_map', { iova: at, length, uptr });
    const refs = (count: number, uptr = address, length = 0x1000n): string =>
      mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_REFS, 0, 'check_refs', { length, uptr, refs: count });
    expect(refs(0)).toBe('0');
    expect(calls.map({ ioas_id: id, user_va: address, iova, length: 0x2000n })).toBe('0x1000000');
    expect([map(0x2000n), map(0x1000n, address + 0x1000n), map(0x800n, address + 0x800n, iova + 0x800n)]).toEqual(['0', 'EINVAL', '0']);
    expect([map(0x400n), map(0x800n, address + 1n), map(0x800n, address, iova + 1n), map(0x1000n, address, iova, 99)]).toEqual([
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'ENOENT',
    ]);
    expect(map(0x1000n, 0x1000n)).toBe('EFAULT');
    expect([refs(1), refs(0), refs(2), refs(0, address + 0x2000n), refs(1, address, 0x2000n)]).toEqual(['0', 'EIO', 'EIO', '0', '0']);
    expect([refs(1, address + 1n), refs(1, address, 1n), refs(1, 0x1000n)]).toEqual(['EINVAL', 'EINVAL', 'EFAULT']);
    expect(calls.map({ ioas_id: id, user_va: address, iova: iova + 0x1_0000n })).toBe('0x1010000');
    expect([refs(2), refs(2, address, 0x2000n)]).toEqual(['0', 'EIO']);
    expect(calls.unmap(id, 0n, 0xffff_ffff_ffff_ffffn)).toBe('0x3000');
    expect(refs(0)).toBe('0');
  });

  it('MD_CHECK_REFS finds nothing before the part of some memory that is mapped for a device', () => {
    using iommufd = Iommufd.open(subject.kernel);
    const buffer = iommufd.createIoas().allocate(0x2000);
    buffer.bytes.fill(1);
    const address = subject.kernel.addressOf(buffer.memory);
    const other = calls.alloc();
    mocks.device(other);
    const refs = (count: number, uptr: bigint): string =>
      mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_REFS, 0, 'check_refs', { length: 0x1000n, uptr, refs: count });
    const iova = 0x100_0000n;
    expect(calls.map({ ioas_id: id, user_va: address, iova, length: 0x2000n })).toBe('0x1000000');
    const part = { dst_ioas_id: other, src_ioas_id: id, length: 0x1000n, src_iova: iova + 0x1000n, dst_iova: iova };
    expect([calls.copy(part), refs(0, address), refs(1, address + 0x1000n)]).toEqual(['0x1000000', '0', '0']);
  });

  it('an operation that the kernel does not know is EOPNOTSUPP', () => {
    expect(mocks.run(99, 0, 'memory_limit', {})).toBe('EOPNOTSUPP');
    expect(mocks.run(0, 0, 'memory_limit', {})).toBe('EOPNOTSUPP');
  });
}
