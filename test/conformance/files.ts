/** Memory of files: made, read, written and mapped, and mapped for devices. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 4096;

export function files(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
  });
  afterEach(() => seam.closeAll());

  describe('memory that is a file', () => {
    const mappings: Mapping[] = [];
    const map = (fd: number, length: number, { protection = 3, flags = 1, offset = 0 } = {}): Mapping => {
      const mapping = subject.kernel.mmap(fd, length, protection, flags, offset);
      if (typeof mapping === 'number') throw new Error(`mmap: ${answer(mapping)}`);
      mappings.push(mapping);
      return mapping;
    };
    afterEach(() => mappings.splice(0).forEach((mapping) => mapping.unmap()));

    it('is zero, as long as it was made, and longer once something is written behind its end', () => {
      const fd = seam.memfd(page + 100);
      const { kernel } = subject;
      const bytes = new Uint8Array(page).fill(9);
      expect(kernel.pread(fd, bytes, page)).toBe(100);
      expect([bytes[0], bytes[99], bytes[100]]).toEqual([0, 0, 9]);
      expect(kernel.pread(fd, bytes, page + 100)).toBe(0);
      expect(kernel.pwrite(fd, Uint8Array.of(1, 2), 3 * page - 1)).toBe(2);
      expect(kernel.pread(fd, bytes, 2 * page)).toBe(page);
      expect([bytes[0], bytes[page - 1]]).toEqual([0, 1]);
      expect(kernel.pread(fd, bytes, 3 * page)).toBe(1);
    });

    it('is read and written from a place that moves', () => {
      const fd = seam.memfd(8);
      const { kernel } = subject;
      const bytes = new Uint8Array(6);
      expect(kernel.write(fd, Uint8Array.of(1, 2, 3, 4))).toBe(4);
      expect(kernel.read(fd, bytes)).toBe(4);
      expect(kernel.read(fd, bytes)).toBe(0);
      expect(kernel.write(fd, Uint8Array.of(5))).toBe(1);
      expect(kernel.pread(fd, bytes, 3)).toBe(6);
      expect([...bytes]).toEqual([4, 0, 0, 0, 0, 5]);
    });

    it('is shared by its mappings and whoever has the fd', () => {
      const fd = seam.memfd(2 * page);
      const [whole, second] = [map(fd, 2 * page), map(fd, page, { offset: page })];
      expect(whole.memory).toBeUndefined();
      whole.mmio.write32(page + 8, 0x1234_5678);
      expect(second.mmio.read16(10)).toBe(0x1234);
      second.mmio.write64(0, 0x1122_3344_5566_7788n);
      const bytes = new Uint8Array(16);
      expect(subject.kernel.pread(fd, bytes, page)).toBe(16);
      expect([...new BigUint64Array(bytes.buffer)]).toEqual([0x1122_3344_5566_7788n, 0x1234_5678n]);
      subject.kernel.pwrite(fd, Uint8Array.of(0xff), page);
      expect(whole.mmio.read8(page)).toBe(0xff);
    });

    it('stays while it is mapped', () => {
      const fd = seam.memfd(page);
      const mapping = map(fd, page);
      seam.close(fd);
      mapping.mmio.write8(0, 7);
      expect(mapping.mmio.read64(0)).toBe(7n);
    });

    it('a private mapping keeps to itself what is written through it', () => {
      const fd = seam.memfd(2 * page);
      const [shared, own] = [map(fd, 2 * page), map(fd, 2 * page, { flags: 2 })];
      shared.mmio.write32(4, 1);
      own.mmio.write32(0, 2);
      shared.mmio.write32(4, 3);
      shared.mmio.write32(page, 4);
      expect([own.mmio.read64(0), own.mmio.read32(page)]).toEqual([0x1_0000_0002n, 4]);
      expect(shared.mmio.read64(0)).toBe(0x3_0000_0000n);
    });

    it('there is nothing behind the page in which it ends', () => {
      const mapping = map(seam.memfd(page + 1), 3 * page);
      expect(mapping.mmio.read64(2 * page - 8)).toBe(0n);
      expect(() => mapping.mmio.read8(2 * page)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' }));
      expect(() => mapping.mmio.write8(2 * page, 1)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' }));
    });

    it('what cannot be is EINVAL', () => {
      const { kernel } = subject;
      expect(answer(kernel.memfd('x', 0, 0x0400_0000))).toBe('EINVAL');
      expect(answer(kernel.memfd('x', 0, 0x18))).toBe('EINVAL');
      expect(answer(kernel.memfd('ö'.repeat(125), 0, 0))).toBe('EINVAL');
      const fd = seam.memfd(page);
      expect(kernel.mmap(fd, page, 3, 0, 0)).toBe(-22);
      expect(kernel.mmap(fd, 0, 3, 1, 0)).toBe(-22);
      expect(kernel.mmap(fd, page, 3, 1, 1)).toBe(-22);
      expect(() => kernel.memfd('x', -1, 0)).toThrow(/^Expected an integer from 0 to 9007199254740991 for size/);
    });
  });
}
