/** Queues of the hardware in a guest's memory at the seam: those of the kernel's mock, two for each virtual IOMMU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_HW_QUEUE_TYPE_DEFAULT, IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV } from '../../lib/abi/iommufd/viommu.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import type { Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import type { Variant } from '../support/subject.js';
import { ViommuStage } from '../support/viommu-stage.js';

const page = 4096n;
const base = BigInt(mock.MOCK_APERTURE_START);
const top = 0xffff_ffff_ffff_ffffn;

/** Of a kernel that has them. */
export function virtualIommuQueues(variant: Variant): void {
  let stage: ViommuStage;
  let viommu: number;
  let memory: Mapping & { readonly memory: ArrayBuffer };

  beforeEach(() => {
    stage = new ViommuStage(variant);
    viommu = stage.viommu();
    memory = stage.seam.kernel.mmap(-1, 8192, 3, 0x22, 0) as typeof memory;
    new Uint8Array(memory.memory).fill(1);
  });
  afterEach(() => {
    stage.close();
    memory.unmap();
  });

  const alloc = (fields: Fields = {}): string => stage.viommus.hardwareQueue(viommu, { nesting_parent_iova: base, ...fields });
  const map = (iova: bigint, fields: Fields = {}): string => {
    const user_va = stage.seam.kernel.addressOf(memory.memory);
    return stage.calls.map({ ioas_id: stage.ioas, iova, user_va, ...fields });
  };
  const destroy = (id: string): string => stage.calls.destroy(Number(id));

  describe('HW_QUEUE_ALLOC', () => {
    it('takes no flags, a type that the virtual IOMMU has, and a length', () => {
      expect([alloc({ flags: 1 }), alloc({ type: IOMMU_HW_QUEUE_TYPE_DEFAULT })]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP']);
      expect(alloc({ type: IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV })).toBe('EOPNOTSUPP');
      expect(alloc({ length: 0n, viommu_id: 99 })).toBe('EINVAL');
      expect(alloc({ length: 2n, nesting_parent_iova: top, viommu_id: 99 })).toBe('EOVERFLOW');
      expect([alloc({ viommu_id: 99 }), alloc({ viommu_id: stage.parent })]).toEqual(['ENOENT', 'ENOENT']);
    });

    it('a length that whole pages cannot have, or of more pages than can be listed, is refused', () => {
      expect(alloc({ nesting_parent_iova: 0xfffn, length: top - 0xffen })).toBe('ERANGE');
      expect(alloc({ nesting_parent_iova: 0n, length: top })).toBe('ERANGE');
      expect([alloc({ length: 1n << 62n }), alloc({ length: 1n << 40n })]).toEqual(['ENOMEM', 'ENOMEM']);
    });

    it('takes memory that devices can read, without a gap', () => {
      expect(alloc()).toBe('ENOENT');
      expect([map(base), map(base + 4n * page, { flags: 3 }), map(base + 6n * page, { flags: 5 })]).toEqual([
        '0x1000000',
        '0x1004000',
        '0x1006000',
      ]);
      expect([alloc({ length: page + 1n }), alloc({ nesting_parent_iova: base + page - 1n, length: 2n })]).toEqual(['ENOENT', 'ENOENT']);
      expect(alloc({ nesting_parent_iova: base + 4n * page })).toBe('EPERM');
      const id = alloc({ nesting_parent_iova: base + 6n * page });
      expect(id).toBe(String(viommu + 1));
      expect(destroy(id)).toBe('0');
    });

    it('pages that are not neighbours in physical memory are EFAULT', () => {
      map(base);
      map(base + page);
      expect(alloc({ length: 2n * page })).toBe('EFAULT');
      expect(alloc({ nesting_parent_iova: base + page - 1n, length: 2n })).toBe('EFAULT');
    });

    it('makes queues one after the other, and needs them in that order', () => {
      map(base);
      map(base + page);
      expect([alloc({ index: mock.IOMMU_TEST_HW_QUEUE_MAX }), alloc({ index: 1 })]).toEqual(['EINVAL', 'EIO']);
      const first = alloc({ nesting_parent_iova: base + 0x800n, length: 256n });
      expect(first).toBe(String(viommu + 1));
      expect(alloc()).toBe('EEXIST');
      const second = alloc({ index: 1, nesting_parent_iova: base + page });
      expect([destroy(first), destroy(String(viommu))]).toEqual(['EBUSY', 'EBUSY']);
      expect([destroy(second), destroy(first), destroy(String(viommu))]).toEqual(['0', '0', '0']);
    });

    it('what the kernel holds the pages by has an id, and cannot be destroyed', () => {
      map(base);
      const id = Number(alloc());
      expect(stage.calls.alloc()).toBe(id + 2);
      expect(stage.calls.destroy(id + 1)).toBe('EBUSY');
      expect(stage.calls.destroy(id)).toBe('0');
      expect(stage.calls.destroy(id + 1)).toBe('ENOENT');
    });

    it('its memory stays mapped, in whole pages', () => {
      map(base);
      map(base + page);
      const unmap = (iova: bigint, length: bigint): string => stage.calls.unmap(stage.ioas, iova, length);
      const id = alloc({ length: 1n });
      expect([unmap(base, page), unmap(base, 2n * page), unmap(base, page / 2n), unmap(base + page, page)]).toEqual([
        'EBUSY',
        'EBUSY',
        'EBUSY',
        '0x1000',
      ]);
      expect(stage.calls.ranges(stage.ioas)).toBe('1: 0x1000000-0x7fffffff alignment 4096');
      expect(map(base + page, { length: 2048n })).toBe('EINVAL');
      expect(destroy(id)).toBe('0');
      expect(stage.calls.ranges(stage.ioas)).toBe('1: 0x1000000-0x7fffffff alignment 2048');
      expect([unmap(base, page), map(base + page, { length: 2048n })]).toEqual(['0x1000', '0x1001000']);
    });

    it('what is not aligned to pages is in the way', () => {
      map(base);
      map(base + page, { length: 2048n });
      expect(alloc()).toBe('EADDRINUSE');
    });

    it('goes with the file', () => {
      map(base);
      alloc();
      stage.seam.close(stage.viommus.fd);
    });
  });
}
