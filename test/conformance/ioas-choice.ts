/** IOVAs the kernel chooses, the list of those it may, and the options. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_IOAS_CHANGE_PROCESS } from '../../lib/abi/iommufd/object.js';
import { IOMMU_IOAS_NOIOMMU_GET_PA } from '../../lib/abi/iommufd/ioas.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const top = 0xffff_ffff_ffff_ffffn;
const RLIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

export function ioasChoice(variant: Variant): void {
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
  /** The IOVA that is chosen for memory at `user_va`. */
  const choose = (user_va: bigint, length: bigint): string => map({ flags: 6, user_va, length, iova: 0x55n });

  describe('an IOVA the kernel chooses', () => {
    it('is the lowest from 4 KiB on with the alignment of address and length', () => {
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x1000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x2000');
      expect(choose(0x7000_0000_0000n, 0x3000n)).toBe('0x4000');
      expect(choose(0x7000_0000_1000n, 0x4000n)).toBe('0x7000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x3000');
      expect(choose(0x7000_0000_0000n, 0x10_0000n)).toBe('0x100000');
      expect(choose(0x7000_0000_0000n, 0x1000_0000n)).toBe('0x200000');
      expect(choose(0x7000_0020_0000n, 0x20_0000n)).toBe('0x10200000');
      expect(choose(0n, 0x3_0000n)).toBe('0x40000');
    });

    it('keeps the place in the page', () => {
      expect(choose(0x7000_0000_0010n, 0x10n)).toBe('0x1010');
      expect(choose(0x7000_0000_0010n, 0x10n)).toBe('0x1030');
      expect(choose(0x7000_0000_0123n, 0x1000n)).toBe('0x1123');
      expect(choose(0x7000_0000_0fffn, 1n)).toBe('0x2fff');
      expect(choose(0x7000_0000_0800n, 0x1000n)).toBe('0x3800');
      expect(choose(0x7000_0000_0001n, 1n)).toBe('0x1001');
      expect(choose(0x7000_0000_0001n, 5n)).toBe('0x1003');
    });

    it('goes around what is mapped', () => {
      expect(map({ iova: 0x1000n, length: 0x1800n })).toBe('0x1000');
      expect(map({ iova: 0x4000n, length: 0x1000n })).toBe('0x4000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x3000');
      expect(choose(0x7000_0000_0000n, 0x1001n)).toBe('0x6000');
      expect(calls.unmap(id, 0x1000n, 0x1800n)).toBe('0x1800');
      expect(choose(0x7000_0000_0000n, 0x2000n)).toBe('0x8000');
      expect(choose(0x7000_0000_1000n, 0x2000n)).toBe('0x1000');
    });

    it('is not found for nothing, half of everything, or where all is taken', () => {
      expect(choose(0n, 0n)).toBe('EINVAL');
      expect(choose(0n, top / 2n)).toBe('EOVERFLOW');
      expect(choose(0n, top / 2n - 1n)).toBe('0x200000');
      expect(choose(0n, top / 2n - 1n)).toBe('ENOSPC');
      expect(map({ flags: 6, iova: top, user_va: 0n })).toBe('EOVERFLOW');
    });

    it('leaves the last page out', () => {
      expect(map({ iova: 0n, user_va: 0n, length: top - 0x3fffn })).toBe('0x0');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0xffffffffffffc000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0xffffffffffffd000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0xffffffffffffe000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('ENOSPC');
    });
  });

  describe('ALLOW_IOVAS', () => {
    it('is where the kernel chooses, and nothing else', () => {
      expect(
        calls.allow(id, [
          [0x9_0000n, 0x9_ffffn],
          [0x3_0000n, 0x3_1fffn],
        ]),
      ).toBe('0');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x30000');
      expect(choose(0x7000_0000_0000n, 0x2000n)).toBe('0x90000');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x31000');
      expect(choose(0x7000_0000_0000n, 0xf000n)).toBe('ENOSPC');
      expect(map({ iova: 0x50_0000n })).toBe('0x500000');
    });

    it('joins ranges that touch', () => {
      expect(
        calls.allow(id, [
          [0x1_1000n, 0x1_1fffn],
          [0x1_2000n, 0x1_2fffn],
        ]),
      ).toBe('0');
      expect(choose(0x7000_0000_1000n, 0x2000n)).toBe('0x11000');
    });

    it('is replaced whole, and taken back by an empty one', () => {
      expect(calls.allow(id, [[0x9_0000n, 0x9_ffffn]])).toBe('0');
      expect(calls.allow(id, [[0x8_0000n, 0x8_ffffn]])).toBe('0');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x80000');
      expect(calls.allow(id, [])).toBe('0');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x1000');
    });

    it('refuses ranges of one address, backwards, or that overlap, and keeps the old list', () => {
      expect(calls.allow(id, [[0x9_0000n, 0x9_ffffn]])).toBe('0');
      expect(calls.allow(id, [[0x1000n, 0x1000n]])).toBe('EINVAL');
      expect(calls.allow(id, [[0x2000n, 0x1000n]])).toBe('EINVAL');
      expect(
        calls.allow(id, [
          [0x1000n, 0x1fffn],
          [0x1fffn, 0x2fffn],
        ]),
      ).toBe('EINVAL');
      expect(choose(0x7000_0000_0000n, 0x1000n)).toBe('0x90000');
    });

    it('needs memory to read, and a reserved word of 0', () => {
      expect(calls.allow(id, [[0x1000n, 0x1fffn]], { allowed_iovas: 0n })).toBe('EFAULT');
      expect(calls.allow(id, [], { allowed_iovas: 0n })).toBe('0');
      expect(calls.allow(77, [], { __reserved: 1 })).toBe('EOPNOTSUPP');
    });

    it('looks at no mapping that is there', () => {
      expect(map({ iova: 0x1_0000n })).toBe('0x10000');
      expect(calls.allow(id, [[0x2_0000n, 0x2_ffffn]])).toBe('0');
    });
  });

  it('memory off the page is refused before room is looked for', () => {
    expect(calls.option(HUGE_PAGES, SET, id, 0n)).toBe('0');
    expect(calls.allow(id, [[0x1_0000n, 0x1_0fffn]])).toBe('0');
    expect(map({ iova: 0x1_0000n })).toBe('0x10000');
    expect([choose(0x7000_0000_0000n, 0x1000n), choose(0x7000_0000_0800n, 0x1000n)]).toEqual(['ENOSPC', 'EINVAL']);
  });

  it('a hole of one byte takes nothing that ends where it begins', () => {
    expect(calls.allow(id, [[0x1_0000n, 0x1_0001n]])).toBe('0');
    expect([choose(0x7000_0000_0000n, 1n), choose(0x7000_0000_0001n, 1n)]).toEqual(['0x10000', 'ENOSPC']);
  });

  describe('OPTION', () => {
    it('RLIMIT_MODE is of the file, and settled once there is an object', () => {
      expect(calls.option(RLIMIT_MODE, GET)).toBe('0');
      expect(calls.option(RLIMIT_MODE, SET, 0, 1n)).toBe('EBUSY');
      expect(calls.option(RLIMIT_MODE, SET, 0, 2n)).toBe('EBUSY');
      expect(calls.destroy(id)).toBe('0');
      expect(calls.option(RLIMIT_MODE, SET, 0, 2n)).toBe('EINVAL');
      expect(calls.option(RLIMIT_MODE, SET, 0, 1n)).toBe('1');
      expect(calls.option(RLIMIT_MODE, GET)).toBe('1');
      expect(calls.option(RLIMIT_MODE, SET, 0, 0n)).toBe('0');
      expect(calls.option(RLIMIT_MODE, GET, 1)).toBe('EOPNOTSUPP');
      expect(calls.option(RLIMIT_MODE, 2)).toBe('EOPNOTSUPP');
    });

    it('RLIMIT_MODE can be set back', () => {
      calls.destroy(id);
      expect([calls.option(RLIMIT_MODE, SET, 0, 1n), calls.option(RLIMIT_MODE, SET, 0, 0n), calls.option(RLIMIT_MODE, GET)]).toEqual([
        ...['1', '0', '0'],
      ]);
    });

    it('HUGE_PAGES is of an address space; without, what is mapped is aligned to pages', () => {
      expect(calls.option(HUGE_PAGES, GET, id)).toBe('1');
      expect(calls.option(HUGE_PAGES, SET, id, 0n)).toBe('0');
      expect(calls.option(HUGE_PAGES, GET, id)).toBe('0');
      expect(calls.ranges(id)).toMatch(/alignment 4096$/);
      expect(map({ iova: 0x1_0001n })).toBe('EINVAL');
      expect(map({ length: 0x800n })).toBe('EINVAL');
      expect(map({ user_va: 0x7000_0000_0001n })).toBe('EINVAL');
      expect(choose(0x7000_0000_0001n, 0x1000n)).toBe('EINVAL');
      expect(map({ iova: top - 0xfffn, length: 0x2000n })).toBe('EOVERFLOW');
      expect(map()).toBe('0x10000');
      expect(calls.option(HUGE_PAGES, SET, id, 0n)).toBe('0');
      expect(calls.option(HUGE_PAGES, SET, id, 1n)).toBe('1');
      expect(calls.ranges(id)).toMatch(/alignment 1$/);
    });

    it('HUGE_PAGES cannot go while a mapping is not aligned', () => {
      for (const fields of [{ iova: 0x1_0001n }, { length: 0x1001n }, { user_va: 0x7000_0000_0001n }]) {
        expect(map(fields)).not.toMatch(/E/);
        expect(calls.option(HUGE_PAGES, SET, id, 0n)).toBe('EADDRINUSE');
        expect(calls.option(HUGE_PAGES, GET, id)).toBe('1');
        calls.unmap(id, 0n, top);
      }
      expect(calls.option(HUGE_PAGES, SET, id, 0n)).toBe('0');
    });

    it('knows no other, no other operation, and a reserved word of 0', () => {
      expect(calls.option(2, GET, id)).toBe('EOPNOTSUPP');
      expect(calls.option(HUGE_PAGES, 2, id)).toBe('EOPNOTSUPP');
      expect(calls.option(HUGE_PAGES, 2, 77)).toBe('ENOENT');
      expect(calls.option(HUGE_PAGES, SET, id, 2n)).toBe('EINVAL');
      expect(calls.option(HUGE_PAGES, GET, id, 0n, { __reserved: 1 })).toBe('EOPNOTSUPP');
    });
  });

  it('CHANGE_PROCESS refuses memory of a process, from 6.13 on', () => {
    const change = (): string => calls.ask(IOMMU_IOAS_CHANGE_PROCESS, {}, { length: 8, room: 16, tail: 0 });
    expect(change()).toBe(newer() ? '0' : 'ENOTTY');
    expect(map()).toBe('0x10000');
    expect(change()).toBe(newer() ? 'EINVAL' : 'ENOTTY');
  });

  it('NOIOMMU_GET_PA has no device to answer for, from 7.3 on', () => {
    const ask = (fields: Fields): string =>
      calls.ask(IOMMU_IOAS_NOIOMMU_GET_PA, { ioas_id: id, iova: 0x1_0000n, length: 1n, ...fields }, { length: 40, room: 48, tail: 0 });
    const expectThat = (fields: Fields, otherwise: string): void => expect(ask(fields)).toBe(newer() ? otherwise : 'ENOTTY');
    expectThat({}, 'ENOENT');
    expect(map()).toBe('0x10000');
    expectThat({}, 'EOPNOTSUPP');
    expectThat({ iova: 0x1_1000n }, 'ENOENT');
    expectThat({ length: 0n }, 'EINVAL');
    expectThat({ length: 0n, iova: top, ioas_id: 77 }, 'EINVAL');
    expectThat({ iova: top, ioas_id: 77 }, 'EOVERFLOW');
    expectThat({ ioas_id: 77 }, 'ENOENT');
    expectThat({ length: 0n, __reserved: 1 }, 'EOPNOTSUPP');
  });
}
