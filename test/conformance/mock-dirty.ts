/** Dirty bits of page tables, on mock devices. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as hwpt from '../../lib/abi/iommufd/hwpt.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam } from '../support/mock/seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 4096n;
/** Pages apart, so that no two of them can be one entry of a page table. */
const first = 0x100_0000n;
const second = first + 0x1_0000n;

export function mockDirty(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let spaces: IoasSeam;
  let tables: PageTableSeam;
  let mocks: MockSeam;
  let memory: Mapping & { memory: ArrayBuffer };
  let id: number;
  let table: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    spaces = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    tables = new PageTableSeam(subject.kernel, spaces.fd);
    mocks = new MockSeam(subject.kernel, spaces.fd);
    memory = subject.kernel.mmap(-1, 0x4000, 3, 0x22, 0) as typeof memory;
    id = spaces.alloc();
    const { device } = mocks.device(id);
    table = Number(tables.alloc({ dev_id: device, pt_id: id, flags: hwpt.IOMMU_HWPT_ALLOC_DIRTY_TRACKING }));
    const user_va = subject.kernel.addressOf(memory.memory);
    for (const iova of [first, second]) spaces.map({ ioas_id: id, iova, user_va, length: page });
  });
  afterEach(() => {
    tables.close();
    spaces.close();
    seam.closeAll();
    memory.unmap();
  });

  const newer = (): boolean => subject.version === '7.3';
  /** As a device would: a bit of `bits` for each of the mock's pages, from `iova` on. The count, or the errno. */
  const write = (iova: bigint, bits: number, fields: Fields = {}): string => {
    const uptr = tables.place(Uint8Array.of(bits));
    const given = { iova, length: page, page_size: 2048n, uptr, ...fields };
    const result = mocks.run(mock.IOMMU_TEST_OP_DIRTY, Number(fields['id'] ?? table), 'dirty', { ...given });
    return result === '0' ? String(mocks.command.dirty.out_nr_dirty) : result;
  };
  const read = (fields: Fields = {}): string => tables.bitmap(table, { iova: first, length: page, ...fields });

  it('are set by writes while they are tracked, and reading clears them', () => {
    expect(tables.setTracking(table, 1)).toBe('0');
    expect(read()).toBe('0x0');
    expect(write(first, 3)).toBe('2');
    expect(read({ flags: 1 })).toBe('0x1');
    expect(read()).toBe('0x1');
    expect(read()).toBe('0x0');
  });

  it('are read from one page of the table on, whatever pages the caller has', () => {
    tables.setTracking(table, 1);
    expect([read({ page_size: 1024n, length: 2048n }), read({ page_size: 1024n, length: 1024n })]).toEqual(['0x0', 'EINVAL']);
  });

  it('stay with NO_CLEAR', () => {
    tables.setTracking(table, 1);
    write(second, 3);
    expect([read({ iova: second, flags: 1 }), read({ iova: second, flags: 1 }), read()]).toEqual(['0x1', '0x1', '0x0']);
    expect(read({ iova: second })).toBe('0x1');
  });

  it('are shown in pages of the caller, larger or smaller, and added to the bits that are there', () => {
    tables.setTracking(table, 1);
    write(first, 3);
    expect(read({ flags: 1, page_size: 2048n })).toBe('0x3');
    expect(read({ flags: 1, page_size: 1024n })).toBe('0xf');
    new BigUint64Array(tables.memory)[0] = 0xf0n;
    expect(tables.addBitmap(table, { iova: first, length: page })).toBe('0');
    expect(new BigUint64Array(tables.memory)[0]).toBe(0xf1n);
  });

  it('end where nothing is mapped, without an error', () => {
    tables.setTracking(table, 1);
    write(first, 3);
    write(second, 3);
    expect(read({ flags: 1, length: 0x2_0000n })).toBe('0x1');
    expect(read({ iova: first - 0x1000n, length: 0x2000n })).toBe('0x0');
    expect(read({ iova: second, length: 0x1000n })).toBe('0x1');
  });

  it('are lost where the bitmap cannot be written, without an error', () => {
    tables.setTracking(table, 1);
    write(first, 3);
    expect(tables.addBitmap(table, { iova: first, length: page, data: 0x1000n })).toBe('0');
    expect(read()).toBe('0x0');
  });

  it('begin clean each time tracking is turned on, and go with the mapping', () => {
    expect(write(first, 3)).toBe('EINVAL');
    tables.setTracking(table, 1);
    write(first, 3);
    expect(tables.setTracking(table, 1)).toBe('0');
    expect(read()).toBe('0x0');
    write(second, 3);
    expect(spaces.unmap(id, second, page)).toBe('0x1000');
    expect(spaces.map({ ioas_id: id, iova: second, user_va: subject.kernel.addressOf(memory.memory), length: page })).toBe('0x1010000');
    expect(read({ iova: second })).toBe('0x0');
  });

  it('are of no use when tracking is off: newer kernels still show them', () => {
    tables.setTracking(table, 1);
    write(first, 3);
    expect(tables.setTracking(table, 0)).toBe('0');
    expect(tables.setTracking(table, 0)).toBe('0');
    expect(read({ flags: 1 })).toBe(newer() ? '0x1' : '0x0');
    expect(write(first, 3)).toBe('EINVAL');
  });

  it('need a page table that was made to track them', () => {
    const { hwpt: plain } = mocks.device(id);
    expect(tables.setTracking(plain, 1)).toBe('EOPNOTSUPP');
    expect(tables.setTracking(plain, 0)).toBe('EOPNOTSUPP');
    expect(tables.bitmap(plain, { iova: first, length: page })).toBe('EOPNOTSUPP');
    expect(write(first, 3, { id: plain })).toBe('EINVAL');
  });

  it('their requests check flags, the id, and then the range', () => {
    expect([tables.setTracking(99, 2), tables.setTracking(99, 1), tables.setTracking(id, 1)]).toEqual(['EOPNOTSUPP', 'ENOENT', 'ENOENT']);
    expect([read({ flags: 2, hwpt_id: 99 }), read({ __reserved: 1 }), read({ hwpt_id: 99, length: 0n })]).toEqual([
      'EOPNOTSUPP',
      'EOPNOTSUPP',
      'ENOENT',
    ]);
    expect([read({ length: 0n }), read({ iova: 0xffff_ffff_ffff_f000n, length: 0x1001n })]).toEqual(['EINVAL', 'EOVERFLOW']);
    expect([read({ iova: first + 0x400n }), read({ length: 0x400n }), read({ page_size: 0n })]).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
    expect([read({ page_size: 0x2000n }), read({ length: 0x800n })]).toEqual(['EINVAL', 'EINVAL']);
    expect(read({ iova: first + 0x800n, length: 0x800n, page_size: 2048n })).toBe('0x0');
  });

  it('a nested page table has none of its own', () => {
    const { device } = mocks.device(id);
    const parent = Number(tables.alloc({ dev_id: device, pt_id: id, flags: hwpt.IOMMU_HWPT_ALLOC_NEST_PARENT }));
    const data = new Uint8Array(Uint32Array.of(0).buffer);
    const nested = Number(tables.alloc({ dev_id: device, pt_id: parent, data_type: mock.IOMMU_HWPT_DATA_SELFTEST }, data));
    expect([tables.setTracking(nested, 1), tables.bitmap(nested, { iova: 0n, length: 0x1000n })]).toEqual(['ENOENT', 'ENOENT']);
  });

  it('DIRTY, which sets them, checks its own range', () => {
    tables.setTracking(table, 1);
    const zero = { id: 99 };
    expect(write(first, 1, { ...zero, page_size: 0n })).toBe('EINVAL');
    expect(write(first, 1, { ...zero, length: 0n })).toBe('EINVAL');
    expect(write(first + 1n, 1, zero)).toBe('EINVAL');
    expect(write(first, 1, { ...zero, length: 3072n })).toBe('EINVAL');
    expect(write(first, 1, { ...zero, uptr: 0n })).toBe('EINVAL');
    expect(write(0n, 1, { ...zero, length: 1n << 39n })).toBe('EOVERFLOW');
    expect(write(first, 1, zero)).toBe('ENOENT');
    expect(write(first, 1, { uptr: 0x1000n })).toBe('EFAULT');
  });

  describe('pages of a nest parent', () => {
    it('can be tracked too', () => {
      const { device } = mocks.device(id);
      const parent = Number(tables.alloc({ dev_id: device, pt_id: id, flags: 3 }));
      expect(tables.setTracking(parent, 1)).toBe('0');
      expect(write(first, 3, { id: parent })).toBe('2');
      expect(tables.bitmap(parent, { iova: first, length: page })).toBe('0x1');
    });
  });
}
