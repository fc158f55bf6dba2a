/** What a container lacks that is really iommufd, as users of the API meet it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_IOMMU_DIRTY_PAGES, vfio_iommu_type1_dirty_bitmap } from '../../lib/abi/vfio/type1.js';
import type { KernelError } from '../../lib/kernel/error.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import type { Container } from '../../lib/vfio/container.js';
import { answer } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 0x1000n;
const base = 0x10_0000n;

export function containerByIommufd(variant: Variant): void {
  let subject: Subject;
  let opened: OpenDevice;
  let container: Container;
  let memory: Mapping;
  let address: bigint;

  beforeEach(() => {
    subject = variant.make();
    opened = openDevice(subject.kernel, subject.edu.address, { by: 'group' });
    container = opened.dma as Container;
    memory = subject.kernel.mmap(-1, 16 * Number(page), 3, 0x22, 0) as Mapping;
    address = subject.kernel.addressOf(memory.memory!);
  });
  afterEach(() => {
    opened.close();
    memory.unmap();
  });

  const refused = (action: () => void): Pick<KernelError, 'code' | 'hint'> => {
    try {
      action();
    } catch (error) {
      const { code, hint } = error as KernelError;
      return { code, hint };
    }
    throw new Error('nothing was refused');
  };

  describe('the container', () => {
    it('tracks no dirty pages, whatever is asked, and the error says who would', () => {
      const view = vfio_iommu_type1_dirty_bitmap.create();
      for (const [argsz, flags] of [
        [8, 1],
        [8, 2],
        [8, 4],
        [8, 3],
        [7, 1],
        [0, 0],
      ] as const) {
        Object.assign(view, { argsz, flags });
        expect(answer(subject.kernel.ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES.number, view.bytes))).toBe('ENOTTY');
      }
      expect(refused(() => container.trackDirtyPages())).toEqual({ code: 'ENOTTY', hint: expect.stringContaining('iommufd') });
      expect(container.info().dirtyTracking).toBeUndefined();
    });

    it('forgets no addresses, and the error says that it may be iommufd', () => {
      container.map({ iova: base, address, size: page });
      const hint = expect.stringContaining('iommufd');
      expect(refused(() => container.forgetAddresses({ iova: base, size: page }))).toEqual({ code: 'EINVAL', hint });
      expect(refused(() => container.forgetAllAddresses())).toEqual({ code: 'EINVAL', hint });
      expect(refused(() => container.updateAddress({ iova: base, address, size: page })).code).toBe('EINVAL');
      expect(container.unmap({ iova: base, size: page })).toBe(page);
    });

    it('has no limit of mappings, and there is no type1 to have one', () => {
      expect(container.info().mappingsAvailable).toBe(0xffff_ffff);
      expect(answer(subject.kernel.files.readFile('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit') as number)).toBe('ENOENT');
    });

    it('says that a range cuts through a mapping, of which it took those before', () => {
      container.map({ iova: base, address, size: page });
      container.map({ iova: base + page, address, size: 2n * page });
      expect(refused(() => container.unmap({ iova: base, size: 2n * page }))).toEqual({
        code: 'ENOENT',
        hint: expect.stringMatching(/cuts through a mapping/),
      });
      expect(container.unmapAll()).toBe(2n * page);
    });

    it('a reserved range, and what is off the page, is EINVAL with a hint', () => {
      for (const fields of [{ iova: 0xfee0_0000n }, { iova: base + 8n }, { size: 12n }]) {
        expect(refused(() => container.map({ iova: base, address, size: page, ...fields }))).toEqual({
          code: 'EINVAL',
          hint: expect.stringMatching(/smallest page size, and the IOVA inside one of the ranges/),
        });
      }
    });
  });
}
