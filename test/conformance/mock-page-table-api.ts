/** Page tables as users have them, on mock devices: nested ones, dirty pages, invalidation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidationError, Iommufd, type Ioas, type PageTable } from '../../lib/index.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam, type MockDevice } from '../support/mock/seam.js';
import type { Subject, Variant } from '../support/subject.js';

export function mockPageTableApi(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let space: Ioas;
  let mocks: MockSeam;
  let device: MockDevice;
  let bound: { readonly id: number };

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    space = iommufd.createIoas();
    mocks = new MockSeam(subject.kernel, iommufd.fd);
    device = mocks.device(space.id);
    bound = { id: device.device };
  });
  afterEach(() => {
    mocks.destroy(device);
    iommufd.close();
  });

  const guest = (iotlb = 0xbad_beef): { kind: 'other'; type: number; data: { bytes: Uint8Array } } => {
    const bytes = new Uint8Array(Uint32Array.of(iotlb).buffer);
    return { kind: 'other', type: mock.IOMMU_HWPT_DATA_SELFTEST, data: { bytes } };
  };
  const iotlb = (table: { readonly id: number }, id: number, value: number): string =>
    mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_IOTLB, table.id, 'check_iotlb', { id, iotlb: value });
  const entry = (flags: number, id: number): { bytes: Uint8Array } => ({ bytes: new Uint8Array(Uint32Array.of(flags, id).buffer) });

  it('the hardware is of a type of its own, given as it is', () => {
    const { type, bytes, hardware, dirtyTracking } = iommufd.hardwareInformation(bound);
    expect([type, [...new Uint32Array(bytes.slice().buffer)], hardware, dirtyTracking]).toEqual([
      ...[mock.IOMMU_HW_INFO_TYPE_SELFTEST, [0, mock.IOMMU_HW_INFO_SELFTEST_REGVAL], undefined, true],
    ]);
  });

  describe('a nested page table', () => {
    it('is made on one that was made for it, and goes before it', () => {
      const parent = space.createPageTable(bound, { nestParent: true });
      const nested = parent.createNested(bound, guest());
      expect(mocks.replace(device.selftest, nested.id)).toBe(String(nested.id));
      expect(mocks.replace(device.selftest, space.id)).toMatch(/^\d+$/);
      const other = parent.createNested(bound, guest());
      parent.close();
      expect(other.closed).toBe(true);
    });

    it('is refused on any other', () => {
      expect(() => space.createPageTable(bound).createNested(bound, guest())).toThrow(/^EINVAL: .*made with nestParent/);
    });

    it('with a queue for page requests, which stays as long', () => {
      const queue = iommufd.createFaultQueue();
      const nested = space.createPageTable(bound, { nestParent: true }).createNested(bound, guest(), { faultQueue: queue });
      nested.close();
      queue.close();
      const again = iommufd.createFaultQueue();
      space.createPageTable(bound, { nestParent: true }).createNested(bound, guest(), { faultQueue: again });
    });

    it('is invalidated entry by entry, and says which one was refused', () => {
      const nested = space.createPageTable(bound, { nestParent: true }).createNested(bound, guest(7));
      const type = mock.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST;
      nested.invalidateEntries(type, []);
      nested.invalidateEntries(type, [entry(0, 1)]);
      expect([iotlb(nested, 0, 7), iotlb(nested, 1, 0)]).toEqual(['0', '0']);
      const refuse = (): unknown => nested.invalidateEntries(type, [entry(0, 2), entry(0, 9), entry(0, 3)]);
      expect(refuse).toThrow(InvalidationError);
      expect(refuse).toThrow(expect.objectContaining({ code: 'EINVAL', handled: 1 }));
      expect([iotlb(nested, 2, 0), iotlb(nested, 3, 7)]).toEqual(['0', '0']);
      expect(() => nested.invalidateEntries(1, [])).toThrow(expect.objectContaining({ code: 'EINVAL', handled: 0 }));
      expect(() => nested.invalidate()).toThrow(/^Expected a page table of VT-d, or invalidateEntries\(\) instead,/);
      expect(() => nested.invalidateEntries(type, [entry(0, 1), { bytes: new Uint8Array(4) }])).toThrow(
        /^Expected entries of 8 bytes each/,
      );
    });
  });

  describe('dirty pages', () => {
    let table: PageTable;
    const iova = 0x4000_0000n;
    const written = (at: bigint): void => {
      const bits = space.allocate(4096);
      bits.bytes[0] = 3;
      const uptr = subject.kernel.addressOf(bits.memory);
      const result = mocks.run(mock.IOMMU_TEST_OP_DIRTY, table.id, 'dirty', { iova: at, length: 4096n, page_size: 2048n, uptr });
      if (result !== '0') throw new Error(result);
      bits.close();
    };
    beforeEach(() => {
      table = space.createPageTable(bound, { dirtyTracking: true });
      // Pages apart, so that no two of them can be one entry.
      for (const at of [iova, iova + 0x1_0000n]) {
        const memory = space.allocate(4096);
        space.map({ iova: at, address: subject.kernel.addressOf(memory.memory), size: 4096n });
      }
    });

    it('are read from the time that tracking begins, and forgotten', () => {
      using tracking = table.trackDirtyPages();
      const ranges = (): unknown => [...tracking.read({ iova, size: 4096n }).ranges()];
      expect(ranges()).toEqual([]);
      written(iova);
      written(iova + 0x1_0000n);
      expect(ranges()).toEqual([{ iova, size: 4096n }]);
      expect(ranges()).toEqual([]);
      const far = { iova: iova + 0x1_0000n, size: 4096n };
      expect([tracking.peek(far).count, tracking.peek(far).count, tracking.read(far).count, tracking.read(far).count]).toEqual([
        1, 1, 1, 0,
      ]);
    });

    it('are of the size that is asked for', () => {
      using tracking = table.trackDirtyPages({ pageSize: 0x1_0000n });
      written(iova + 0x1_0000n);
      const dirty = tracking.read({ iova: iova + 0x1_0000n, size: 0x1_0000n });
      expect([...dirty.ranges()]).toEqual([{ iova: iova + 0x1_0000n, size: 0x1_0000n }]);
    });

    it('are not noted after tracking was closed, nor on a page table that was not made for it', () => {
      const tracking = table.trackDirtyPages();
      tracking.close();
      tracking.close();
      expect(() => written(iova)).toThrow('EINVAL');
      expect(() => tracking.read({ iova, size: 4096n })).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
      expect(() => space.createPageTable(bound).trackDirtyPages()).toThrow(/^EOPNOTSUPP: .*not made with dirtyTracking/);
    });

    it('of a range off the alignment are refused', () => {
      using tracking = table.trackDirtyPages({ pageSize: 4096n });
      expect(() => tracking.read({ iova: iova + 1n, size: 4096n })).toThrow(/^EINVAL: .*whole pages/);
      expect(() => tracking.read({ iova, size: 100n })).toThrow('Expected a positive multiple of 4096 for size but received 100');
    });
  });
}
