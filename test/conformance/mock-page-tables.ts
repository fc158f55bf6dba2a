/** Page tables of /dev/iommu on mock devices, whose IOMMU nests and tracks dirty pages. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as hwpt from '../../lib/abi/iommufd/hwpt.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam, type MockDevice } from '../support/mock/seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const NEST_PARENT = hwpt.IOMMU_HWPT_ALLOC_NEST_PARENT;
const DIRTY_TRACKING = hwpt.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
const FAULT = hwpt.IOMMU_HWPT_FAULT_ID_VALID;
const PASID = hwpt.IOMMU_HWPT_ALLOC_PASID;

export function mockPageTables(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let spaces: IoasSeam;
  let tables: PageTableSeam;
  let mocks: MockSeam;
  let id: number;
  let device: MockDevice;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    spaces = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    tables = new PageTableSeam(subject.kernel, spaces.fd);
    mocks = new MockSeam(subject.kernel, spaces.fd);
    id = spaces.alloc();
    device = mocks.device(id);
  });
  afterEach(() => {
    tables.close();
    spaces.close();
    seam.closeAll();
  });

  const newer = (): boolean => subject.version === '7.3';
  const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
  const alloc = (fields: Fields = {}, data?: Uint8Array): string => tables.alloc({ dev_id: device.device, pt_id: id, ...fields }, data);
  const nested = (pt_id: number, fields: Fields = {}, data = words(0xbad_beef)): string =>
    alloc({ pt_id, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, ...fields }, data);
  const parent = (): number => Number(alloc({ flags: NEST_PARENT }));

  describe('HWPT_ALLOC on an address space', () => {
    it('with the flags that the kernel and the IOMMU know', () => {
      const answers = [0, 1, 2, 3, 8, 9, 10, 11, 16].map((flags) => (/^\d+$/.test(alloc({ flags })) ? 'made' : 'refused'));
      expect(answers).toEqual(['made', 'made', 'made', 'made', ...Array<string>(4).fill(newer() ? 'made' : 'refused'), 'refused']);
    });

    it('with dirty tracking only for a device whose IOMMU has it', () => {
      const { device: plain } = mocks.device(id, mock.MOCK_FLAGS_DEVICE_NO_DIRTY);
      expect(alloc({ dev_id: plain, flags: DIRTY_TRACKING })).toBe('EOPNOTSUPP');
      expect(tables.hardware({ dev_id: plain })).toMatch(/^type 4276993775 length 8 capabilities [08] /);
    });

    it('with a queue for page requests, but not as a parent', () => {
      expect(alloc({ flags: FAULT | NEST_PARENT, fault_id: 99 })).toBe('EOPNOTSUPP');
      expect(alloc({ flags: FAULT, fault_id: 99 })).toBe(newer() ? 'ENOENT' : 'EOPNOTSUPP');
    });

    it('with data, of newer kernels: which kind of page table', () => {
      const kind = (...data: number[]): string => alloc({ data_type: mock.IOMMU_HWPT_DATA_SELFTEST }, words(...data));
      const made = (answer: string): string => (newer() ? answer : 'EOPNOTSUPP');
      expect(kind(0)).toBe(made('5'));
      expect(kind(0, 2)).toBe('EOPNOTSUPP');
      expect(kind(0, 0, 0)).toBe(made('EINVAL'));
      expect(alloc({ data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 2, data_uptr: tables.address })).toBe(made('EINVAL'));
      expect(alloc({ data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: 0n })).toBe(made('EFAULT'));
      expect(alloc({ data_type: 1 }, words(0))).toBe('EOPNOTSUPP');
      const other = spaces.alloc();
      expect(alloc({ pt_id: other, data_type: mock.IOMMU_HWPT_DATA_SELFTEST }, words(0, 1))).toBe(made(newer() ? '7' : '6'));
      if (newer()) expect(spaces.ranges(other)).toBe('1: 0x0-0x3fffffffff alignment 4096');
    });

    it('finds what is mapped outside the aperture', () => {
      const other = spaces.alloc();
      expect(spaces.map({ ioas_id: other })).toBe('0x10000');
      expect(alloc({ pt_id: other })).toBe('EADDRINUSE');
    });
  });

  describe('HWPT_ALLOC on a page table', () => {
    it('made for it', () => {
      const on = parent();
      const table = Number(nested(on));
      expect(table).toBe(on + 1);
      expect(spaces.destroy(on)).toBe('EBUSY');
      expect(spaces.destroy(table)).toBe('0');
      expect(spaces.destroy(on)).toBe('0');
    });

    it('not on one of the kernel\u2019s own, nor one that was not made for it', () => {
      expect(nested(device.hwpt)).toBe('EINVAL');
      expect(nested(Number(alloc()))).toBe('EINVAL');
      expect(nested(Number(alloc({ flags: DIRTY_TRACKING })))).toBe('EINVAL');
      expect(nested(Number(nested(parent())))).toBe('EINVAL');
      expect(nested(device.device)).toBe('EINVAL');
    });

    it('takes a queue or PASIDs, but no flags of a page table of an address space', () => {
      const on = parent();
      expect(nested(on, { flags: NEST_PARENT })).toBe('EOPNOTSUPP');
      expect(nested(on, { flags: DIRTY_TRACKING })).toBe('EOPNOTSUPP');
      expect(nested(on, { flags: 16 })).toBe('EOPNOTSUPP');
      expect(nested(on, { flags: FAULT, fault_id: 99 })).toBe('ENOENT');
      expect(nested(on, { flags: PASID })).toBe(newer() ? String(on + 1) : 'EOPNOTSUPP');
    });

    it('takes data of its own type', () => {
      const on = parent();
      expect(alloc({ pt_id: on })).toBe('EOPNOTSUPP');
      expect(nested(on, { data_type: 1 })).toBe('EOPNOTSUPP');
      expect(nested(on, { data_len: 2 })).toBe('EINVAL');
      expect(nested(on, {}, words(0, 0, 0))).toBe('EINVAL');
      expect(nested(on, { data_uptr: 0n })).toBe('EFAULT');
      expect(nested(on, {}, words(0, 9))).toBe(newer() ? String(on + 1) : 'EINVAL');
    });
  });

  describe('a mock device', () => {
    it('moves to a page table that was asked for, and to one nested on it', () => {
      const on = parent();
      const table = Number(nested(on));
      expect(mocks.replace(device.selftest, on)).toBe(String(on));
      expect(spaces.destroy(device.hwpt)).toBe('ENOENT');
      expect(mocks.replace(device.selftest, table)).toBe(String(table));
      expect([spaces.destroy(table), spaces.destroy(on), spaces.destroy(id)]).toEqual(['EBUSY', 'EBUSY', 'EBUSY']);
      expect(mocks.replace(device.selftest, id)).toBe(String(device.hwpt));
      expect([spaces.destroy(on), spaces.destroy(table), spaces.destroy(on)]).toEqual(['EBUSY', '0', '0']);
    });

    it('begins on one', () => {
      const table = Number(nested(parent()));
      const other = mocks.device(table);
      expect(other.hwpt).toBe(table);
      expect(spaces.destroy(other.selftest)).toBe('0');
      expect(spaces.destroy(table)).toBe('0');
    });

    it('that has no dirty bits cannot use a page table that tracks them', () => {
      const plain = mocks.device(id, mock.MOCK_FLAGS_DEVICE_NO_DIRTY);
      const tracking = Number(alloc({ flags: DIRTY_TRACKING }));
      expect(mocks.replace(plain.selftest, tracking)).toBe('EINVAL');
      expect(() => mocks.device(tracking, mock.MOCK_FLAGS_DEVICE_NO_DIRTY)).toThrow('EINVAL');
      expect(mocks.replace(device.selftest, tracking)).toBe(String(tracking));
    });
  });

  describe('GET_HW_INFO', () => {
    it('is of a type of its own', () => {
      const ask = (fields: Fields): string => tables.hardware({ dev_id: device.device, ...fields });
      const caps = newer() ? 9 : 1;
      const whole = `type 4276993775 length 8 capabilities ${caps} pasids 0: `;
      expect(ask({ data_len: 16 })).toBe(`${whole}00000000efbeadde0000000000000000`);
      expect(ask({ data_len: 4 })).toBe(`${whole}00000000`);
      expect(ask({ flags: 1, in_data_type: mock.IOMMU_HW_INFO_TYPE_SELFTEST })).toBe(newer() ? whole : 'EOPNOTSUPP');
      expect(ask({ flags: 1, in_data_type: 1 })).toBe('EOPNOTSUPP');
    });

    it('tells how many PASIDs a device has', () => {
      if (!newer()) return expect(() => mocks.device(id, mock.MOCK_FLAGS_DEVICE_PASID)).toThrow('EINVAL');
      const { device: dev_id } = mocks.device(id, mock.MOCK_FLAGS_DEVICE_PASID);
      expect(tables.hardware({ dev_id })).toBe('type 4276993775 length 8 capabilities 9 pasids 20: ');
    });
  });

  describe('INVALIDATE', () => {
    let table: number;
    beforeEach(() => {
      table = Number(nested(parent()));
    });
    const check = (entry: number, iotlb: number, of = table): string =>
      mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_IOTLB, of, 'check_iotlb', { id: entry, iotlb });
    const invalidate = (entries: readonly (readonly [flags: number, id: number])[], fields: Fields = {}): string =>
      tables.invalidate(
        table,
        { data_type: mock.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, entry_len: 8, entry_num: entries.length, ...fields },
        words(...entries.flat()),
      );
    const cache = (): string[] => [0, 1, 2, 3].map((entry) => (check(entry, 0xbad_beef) === '0' ? 'kept' : check(entry, 0)));

    it('drops entries of the cache, one or all', () => {
      expect(cache()).toEqual(['kept', 'kept', 'kept', 'kept']);
      expect(
        invalidate([
          [0, 0],
          [0, 2],
        ]),
      ).toBe('0, 2 handled');
      expect(cache()).toEqual(['0', 'kept', '0', 'kept']);
      expect(invalidate([[1, 0]])).toBe('0, 1 handled');
      expect(cache()).toEqual(['0', '0', '0', '0']);
    });

    it('tells how many were handled before the one that is refused', () => {
      expect(
        invalidate([
          [0, 0],
          [0, 4],
          [0, 1],
        ]),
      ).toBe('EINVAL, 1 handled');
      expect(
        invalidate([
          [0, 1],
          [2, 0],
        ]),
      ).toBe('EOPNOTSUPP, 1 handled');
      expect(cache()).toEqual(['0', '0', 'kept', 'kept']);
    });

    it('without entries asks whether the type is known', () => {
      expect(invalidate([])).toBe('0, 0 handled');
      expect(invalidate([], { data_uptr: 0n, entry_len: 0 })).toBe('0, 0 handled');
      expect(invalidate([], { data_type: mock.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID })).toBe('EINVAL, 0 handled');
      expect(invalidate([[0, 0]], { data_type: 0 })).toBe('EINVAL, 0 handled');
    });

    it('takes entries as long as it knows them', () => {
      expect(invalidate([[0, 0]], { entry_len: 4 })).toBe('EINVAL, 0 handled');
      expect(invalidate([[0, 0]], { entry_len: 12 })).toBe('EINVAL, 0 handled');
      expect(invalidate([[0, 0]], { data_uptr: 0x1000n })).toBe('EFAULT, 0 handled');
      expect(cache()).toEqual(['kept', 'kept', 'kept', 'kept']);
    });

    it('MD_CHECK_IOTLB is for nested page tables', () => {
      expect(check(4, 0xbad_beef)).toBe('EINVAL');
      expect(check(0, 1)).toBe('EINVAL');
      expect([check(0, 0, device.hwpt), check(0, 0, 99)]).toEqual(['ENOENT', 'ENOENT']);
    });
  });
}
