/** A process that may lock only so much memory: RLIMIT_MEMLOCK without CAP_IPC_LOCK. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KernelError } from '../../lib/kernel/error.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Cdev, findDevice, Iommufd } from '../../lib/index.js';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import { lockedMemoryLimit, type Subject, type Variant } from '../support/subject.js';

const base = 0x10_0000n;
const page = 4096n;

export function limited(variant: Variant): void {
  describe('with locked memory limited', () => {
    let subject: Subject;
    let opened: OpenDevice;
    let memory: Mapping;
    let address: bigint;
    const most = BigInt(lockedMemoryLimit);

    beforeEach(() => {
      subject = variant.make();
      opened = openDevice(subject.kernel, subject.edu.address, { by: 'group' });
      memory = subject.kernel.mmap(-1, lockedMemoryLimit + 4096, 3, 0x22, 0) as Mapping;
      address = subject.kernel.addressOf(memory.memory!);
    });
    afterEach(() => {
      opened.close();
      memory.unmap();
    });

    it('maps up to the limit, and not a page more', () => {
      opened.dma.map({ iova: base, address, size: most });
      expect(() => opened.dma.map({ iova: base + most, address: address + most, size: page })).toThrow(/^ENOMEM/);
      expect(opened.dma.unmap({ iova: base, size: most })).toBe(most);
      expect(() => opened.dma.map({ iova: base, address, size: most + page })).toThrow(/^ENOMEM/);
      opened.dma.map({ iova: base, address, size: most });
    });

    it('says what to do', () => {
      let hint: string | undefined;
      try {
        opened.dma.map({ iova: base, address, size: most + page });
      } catch (error) {
        hint = (error as KernelError).hint;
      }
      expect(hint).toContain('RLIMIT_MEMLOCK');
    });

    it('leaves nothing behind when a mapping fails', () => {
      expect(() => opened.dma.map({ iova: base, address, size: most + page })).toThrow(/^ENOMEM/);
      expect(opened.dma.unmap({ iova: base, size: most + page })).toBe(0n);
    });

    it('a second page table of an address space locks nothing more, and lets go of nothing less', () => {
      opened.close();
      using iommufd = Iommufd.open(subject.kernel);
      const space = iommufd.createIoas();
      const device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
      device.attach(space);
      space.map({ iova: base, address, size: most });
      using table = space.createPageTable(device);
      expect(table.id).toBeGreaterThan(0);
      expect(space.unmap({ iova: base, size: most })).toBe(most);
      expect(space.map({ iova: base, address: address + page, size: most })).toBe(base);
    });

    it('counts the pages of an address space once, while a device is attached, however often they are mapped', () => {
      opened.close();
      using iommufd = Iommufd.open(subject.kernel);
      const space = iommufd.createIoas();
      space.map({ iova: base, address, size: most });
      space.map({ iova: base + most, address: address + most, size: page });
      const device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
      expect(() => device.attach(space)).toThrow(/^ENOMEM: .*RLIMIT_MEMLOCK/);
      space.unmap({ iova: base + most, size: page });
      device.attach(space);
      space.copyFrom(space, { from: base, size: most, iova: base * 2n + most });
      expect(() => space.map({ iova: base + most, address: address + most, size: page })).toThrow(/^ENOMEM/);
      // The copy holds its pages.
      space.unmap({ iova: base, size: most });
      expect(() => space.map({ iova: base, address: address + most, size: page })).toThrow(/^ENOMEM/);
      space.unmapAll();
      space.map({ iova: base, address: address + page, size: most });
    });
  });
}
