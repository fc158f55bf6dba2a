/** Page tables of /dev/iommu at the seam, on the machine's own IOMMU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as hwpt from '../../lib/abi/iommufd/hwpt.js';
import { Cdev, findDevice, Iommufd } from '../../lib/index.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { answer } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const everything = '1: 0x0-0xffffffffffffffff alignment 1';

export function pageTables(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let device: Cdev;
  let space: number;
  let tables: PageTableSeam;
  let spaces: IoasSeam;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
    tables = new PageTableSeam(subject.kernel, iommufd.fd);
    spaces = new IoasSeam(subject.kernel, iommufd.fd);
    space = spaces.alloc();
  });
  afterEach(() => {
    tables.close();
    spaces.close();
    iommufd.close();
  });

  const newer = (): boolean => subject.version === '7.3';
  const alloc = (fields: Fields = {}, data?: Uint8Array): string => tables.alloc({ dev_id: device.id, pt_id: space, ...fields }, data);
  const attach = (id: number): number => device.attach({ fd: iommufd.fd, id });

  describe('HWPT_ALLOC', () => {
    it('makes a page table for a device, which takes IOVAs from the address space although nothing is attached', () => {
      expect(alloc()).toBe('3');
      const last = subject.iommu === 'intel' ? '7fffffffff' : newer() ? 'ffffffffffff' : 'ffffffffffffffff';
      expect(spaces.ranges(space)).toBe(`1: 0x0-0x${last} alignment 4096`);
      expect(spaces.destroy(space)).toBe('EBUSY');
      expect(spaces.destroy(3)).toBe('0');
      expect(spaces.ranges(space)).toBe(everything);
    });

    it('checks its reserved word, then the data, then the ids', () => {
      expect(alloc({ __reserved: 1, data_type: 1 })).toBe('EOPNOTSUPP');
      expect(alloc({ data_len: 8, dev_id: 99 })).toBe('EINVAL');
      expect(alloc({ data_type: 1, dev_id: 99 })).toBe('EINVAL');
      expect(alloc({ dev_id: 99 })).toBe('ENOENT');
      expect(alloc({ dev_id: space, pt_id: 99 })).toBe('ENOENT');
      expect(alloc({ pt_id: 99 })).toBe('EINVAL');
      expect(alloc({ pt_id: device.id })).toBe('EINVAL');
    });

    it('knows what this IOMMU can do, which is neither nesting nor dirty bits', () => {
      const pasids = newer() && subject.iommu === 'intel';
      const flags = [1, 2, 3, 5, 8, 9, 10, 16, 0x8000_0000];
      const answers = flags.map((each) => alloc({ flags: each }));
      expect(answers).toEqual(flags.map((each) => (each === 8 && pasids ? '3' : 'EOPNOTSUPP')));
    });

    it('a queue for page requests has to be there', () => {
      expect(alloc({ flags: 4, fault_id: 99 })).toBe(newer() ? 'ENOENT' : 'EOPNOTSUPP');
      expect(alloc({ flags: 4, fault_id: space })).toBe(newer() ? 'ENOENT' : 'EOPNOTSUPP');
      expect(spaces.ranges(space)).toBe(everything);
    });

    it('takes no data for a page table of an address space', () => {
      expect(alloc({ data_type: 1 }, new Uint8Array(24))).toBe('EOPNOTSUPP');
      expect(alloc({ data_type: 77 }, new Uint8Array(24))).toBe('EOPNOTSUPP');
    });

    it('nests on no page table that was not made for it', () => {
      const plain = Number(alloc());
      const automatic = attach(space);
      const otherwise = newer() && subject.iommu === 'amd' ? 'EOPNOTSUPP' : 'EINVAL';
      for (const pt_id of [plain, automatic]) {
        expect(alloc({ pt_id, data_type: 1 }, new Uint8Array(24))).toBe(otherwise);
        expect(alloc({ pt_id, flags: 1, data_type: 1 }, new Uint8Array(24))).toBe('EOPNOTSUPP');
        expect(alloc({ pt_id })).toBe('EOPNOTSUPP');
      }
    });

    it('finds what is mapped where the page table cannot have it', () => {
      const unmapAll = (): string => spaces.unmap(space, 0n, 0xffff_ffff_ffff_ffffn);
      spaces.map({ ioas_id: space, iova: 0x10_0001n, user_va: 0x7000_0000_0001n, length: 1n });
      expect(alloc()).toBe('EADDRINUSE');
      unmapAll();
      spaces.map({ ioas_id: space, iova: 0x10_0000n, user_va: 0x1000n });
      expect(alloc()).toBe('EFAULT');
      unmapAll();
      expect(alloc()).toBe('3');
    });
  });

  describe('a device on a page table that was asked for', () => {
    it('is attached to it, and it stays when the device goes', () => {
      const id = Number(alloc());
      expect(attach(id)).toBe(id);
      expect(spaces.destroy(id)).toBe('EBUSY');
      device.detach();
      expect(spaces.destroy(id)).toBe('0');
    });

    it('is not what an address space finds for a device: that gets one of the kernel\u2019s own', () => {
      const id = Number(alloc());
      expect(attach(space)).toBe(id + 1);
      expect(attach(id)).toBe(id);
      expect(spaces.destroy(id + 1)).toBe('ENOENT');
      expect(attach(space)).toBe(id + 1);
      expect(spaces.destroy(id)).toBe('0');
    });

    it('moves between page tables, of this address space and of another', () => {
      const other = spaces.alloc();
      const [first, second, third] = [Number(alloc()), Number(alloc()), Number(alloc({ pt_id: other }))];
      const free = spaces.ranges(space);
      attach(first);
      const held = spaces.ranges(space);
      expect(held).not.toBe(free);
      attach(second);
      expect([spaces.ranges(space), spaces.ranges(other)]).toEqual([held, free]);
      attach(third);
      expect([spaces.ranges(space), spaces.ranges(other)]).toEqual([free, held]);
      expect([spaces.destroy(first), spaces.destroy(second), spaces.destroy(third)]).toEqual(['0', '0', 'EBUSY']);
    });

    it('cannot have what another page table has in the way', () => {
      const other = spaces.alloc();
      const id = Number(alloc({ pt_id: other }));
      attach(space);
      spaces.map({ ioas_id: other, iova: 0xfee0_0000n, user_va: tables.address });
      expect(() => attach(id)).toThrow(/^EADDRINUSE/);
      expect(spaces.destroy(id)).toBe('0');
    });
  });

  describe('GET_HW_INFO', () => {
    const ask = (fields: Fields = {}): string => tables.hardware({ dev_id: device.id, data_len: 64, ...fields });
    const vtd = '0100000000000000860226228c00d2004a0ff00000000000';
    const whole = (): string =>
      subject.iommu === 'intel' ? `type 1 length 24 capabilities ${ats()} pasids 0: ` : `type 0 length 0 capabilities ${ats()} pasids 0: `;
    const ats = (): number => (newer() ? hwpt.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED : 0);
    const data = (): string => (subject.iommu === 'intel' ? vtd : '');

    it('tells the type, the data in as much room as there is, and what lies behind is zeroed', () => {
      new Uint8Array(tables.memory).fill(0xff);
      expect(ask()).toBe(whole() + data().padEnd(128, '0'));
      expect(new Uint8Array(tables.memory)[64]).toBe(0xff);
      new Uint8Array(tables.memory).fill(0xff);
      expect(ask({ data_len: 16 })).toBe(whole() + data().slice(0, 32).padEnd(32, '0'));
      expect(ask({ data_len: 0, data_uptr: 0n })).toBe(whole());
    });

    it('checks flags, reserved bytes, the device and the memory', () => {
      expect(ask({ flags: 2, dev_id: 99 })).toBe('EOPNOTSUPP');
      expect(ask({ dev_id: 99 })).toBe('ENOENT');
      expect(ask({ dev_id: space })).toBe('ENOENT');
      expect(ask({ data_uptr: 0x1000n })).toBe('EFAULT');
    });

    it('has three reserved bytes', () => {
      const at = hwpt.iommu_hw_info.offsetofend('out_max_pasid_log2');
      const answers = [0, 1, 2].map((index) => {
        const info = hwpt.iommu_hw_info.create();
        Object.assign(info, { size: info.bytes.byteLength, dev_id: 99 });
        info.bytes[at + index] = 1;
        return answer(subject.kernel.ioctl(iommufd.fd, hwpt.IOMMU_GET_HW_INFO.number, info.bytes));
      });
      expect(answers).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP']);
    });

    it('takes the type that is wanted, on newer kernels', () => {
      const [intel, smmu] = subject.iommu === 'intel' ? [whole(), 'EOPNOTSUPP'] : [whole(), whole()];
      const wanted = (type: number): string => ask({ flags: 1, in_data_type: type, data_len: 0 });
      expect([wanted(0), wanted(1), wanted(2)]).toEqual(newer() ? [whole(), intel, smmu] : ['EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP']);
      expect(ask({ in_data_type: 2, data_len: 0 })).toBe(whole());
    });
  });

  describe('dirty bits', () => {
    it('there are none on this IOMMU', () => {
      const id = Number(alloc());
      expect(tables.setTracking(id, 1)).toBe('EOPNOTSUPP');
      expect(tables.setTracking(id, 0)).toBe('EOPNOTSUPP');
      expect(tables.bitmap(id, { iova: 0n, length: 0x1000n })).toBe('EOPNOTSUPP');
    });

    it('their requests check flags, the id, and then the range', () => {
      const id = Number(alloc());
      expect(tables.setTracking(99, 2)).toBe('EOPNOTSUPP');
      expect(tables.setTracking(99, 1)).toBe('ENOENT');
      expect(tables.setTracking(space, 1)).toBe('ENOENT');
      const read = (fields: Fields, of = id): string => tables.bitmap(of, { iova: 0n, length: 0x1000n, ...fields });
      expect(read({ flags: 2 }, 99)).toBe('EOPNOTSUPP');
      expect(read({ __reserved: 1 }, 99)).toBe('EOPNOTSUPP');
      expect(read({ length: 0n }, 99)).toBe('ENOENT');
      expect(read({ length: 0n }, device.id)).toBe('ENOENT');
      expect(read({ length: 0n })).toBe('EINVAL');
      expect(read({ iova: 0xffff_ffff_ffff_f000n, length: 0x1001n })).toBe('EOVERFLOW');
      expect(read({ iova: 0x800n, length: 0x800n })).toBe('EINVAL');
      expect(read({ length: 0x800n })).toBe('EINVAL');
      expect(read({ page_size: 0n })).toBe('EINVAL');
      expect(read({ page_size: 0x2000n })).toBe('EINVAL');
      expect(read({ iova: 0xffff_ffff_ffff_f000n })).toBe('EOPNOTSUPP');
    });
  });

  it('INVALIDATE is for nested page tables', () => {
    const id = Number(alloc());
    const otherwise = newer() ? 'EINVAL' : 'ENOENT';
    expect(tables.invalidate(99, { __reserved: 1 })).toBe('EOPNOTSUPP, 0 handled');
    expect(tables.invalidate(99, { entry_num: 1, entry_len: 24, data_uptr: 0n })).toBe('EINVAL, 0 handled');
    expect(tables.invalidate(99, { entry_num: 1 })).toBe('EINVAL, 0 handled');
    expect(tables.invalidate(99, { entry_num: 1, entry_len: 4097 })).toBe('EINVAL, 0 handled');
    expect(tables.invalidate(99, { entry_num: (1 << 19) + 1, entry_len: 24 })).toBe('EINVAL, 0 handled');
    expect(tables.invalidate(99, { entry_num: 1, entry_len: 24 })).toBe('ENOENT, 0 handled');
    expect(tables.invalidate(99, {})).toBe('ENOENT, 0 handled');
    for (const other of [id, space, device.id]) expect(tables.invalidate(other, {})).toBe(`${otherwise}, 0 handled`);
  });
}
