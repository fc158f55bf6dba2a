/** Memory of files: made, read, written and mapped, and mapped for devices. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cdev, findDevice, Iommufd, MemoryFile, type Ioas } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { eduCopies } from '../support/edu-dma.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 4096;
const top = 0xffff_ffff_ffff_ffffn;

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

  const newer = (): boolean => subject.version === '7.3';
  /** What newer kernels answer; older ones do not know the request. */
  const expectSince613 = (got: string, answer: string): void => expect(got).toBe(newer() ? answer : 'ENOTTY');

  describe('MAP_FILE at the seam', () => {
    let calls: IoasSeam;
    let ioas_id: number;
    let fd: number;

    beforeEach(() => {
      calls = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
      ioas_id = calls.alloc();
      fd = seam.memfd(4 * page);
    });
    afterEach(() => calls.close());

    const map = (fields: Fields = {}): string => calls.mapFile({ ioas_id, fd, ...fields });

    it('knows the flags of MAP, and checks flags, numbers, directions and the id before the file', () => {
      expectSince613(map({ flags: 8, iova: top, ioas_id: 77 }), 'EOPNOTSUPP');
      expectSince613(map({ flags: 1, iova: top, ioas_id: 77 }), 'EOVERFLOW');
      expectSince613(map({ flags: 1, length: top, ioas_id: 77 }), 'EOVERFLOW');
      expectSince613(map({ flags: 1, ioas_id: 77 }), 'EINVAL');
      expectSince613(map({ length: 0n, fd: -1, ioas_id: 77 }), 'ENOENT');
    });

    it('checks the part, then the fd', () => {
      expectSince613(map({ length: 0n, start: top, fd: -1 }), 'EINVAL');
      expectSince613(map({ start: top, length: 2n, fd: -1 }), 'EOVERFLOW');
      expectSince613(map({ fd: -1 }), 'EBADF');
      expectSince613(map({ fd: 0x3fff_ffff }), 'EBADF');
      expectSince613(map({ fd: -1, length: top - 1n }), 'EBADF');
      expectSince613(map({ length: top - 1n, iova: 0n }), 'EINVAL');
      expectSince613(map({ length: 1n << 62n, iova: 1n << 61n }), `0x${(1n << 61n).toString(16)}`);
    });

    it('any file goes, and any part of it, before a device comes', () => {
      expectSince613(map({ start: 0x10_0001n, length: 3n, iova: 5n }), '0x5');
      expectSince613(map({ start: top, length: 1n, iova: 0x1000n }), '0x1000');
      expectSince613(map({ fd: calls.fd }), '0x10000');
      expectSince613(map({ fd: seam.eventfd() }), 'EEXIST');
      expectSince613(map({ fd: seam.eventfd(), iova: 0x2_0000n }), '0x20000');
    });

    it('chooses an IOVA by the alignment in the file', () => {
      expectSince613(map({ flags: 6 }), '0x1000');
      expectSince613(map({ flags: 6, length: 2n * 4096n }), '0x2000');
      expectSince613(map({ flags: 6, start: 0x1001n, length: 8n }), '0x4001');
      expectSince613(map({ flags: 6, length: 1n << 63n }), 'EOVERFLOW');
    });

    it('what is mapped is unmapped and copied as any other', () => {
      const other = calls.alloc();
      expectSince613(map({ length: 0x2000n, flags: 5 }), '0x10000');
      expect(calls.copy({ src_ioas_id: ioas_id, dst_ioas_id: other })).toBe(newer() ? 'EPERM' : 'ENOENT');
      expect(calls.copy({ src_ioas_id: ioas_id, dst_ioas_id: other, flags: 5 })).toBe(newer() ? '0x40000' : 'ENOENT');
      expect(calls.unmap(ioas_id, 0x1_0000n, 0x1000n)).toBe('ENOENT');
      expect(calls.unmap(ioas_id, 0x1_0000n, 0x2000n)).toBe(newer() ? '0x2000' : 'ENOENT');
      expect(calls.unmap(other, 0n, top)).toBe(newer() ? '0x2000' : '0x0');
    });

    it('CHANGE_PROCESS takes over what is mapped of files, and nothing else', () => {
      expectSince613(calls.changeProcess({ __reserved: 1 }), 'EOPNOTSUPP');
      expectSince613(calls.changeProcess(), '0');
      expectSince613(map(), '0x10000');
      calls.copy({ src_ioas_id: ioas_id, dst_ioas_id: calls.alloc(), length: 4096n });
      expectSince613(calls.changeProcess(), '0');
      expect(calls.map({ ioas_id, iova: 0x2_0000n })).toBe('0x20000');
      expectSince613(calls.changeProcess(), 'EINVAL');
      expect(calls.unmap(ioas_id, 0x2_0000n, 0x1000n)).toBe('0x1000');
      expectSince613(calls.changeProcess(), '0');
    });
  });

  describe('with the API', () => {
    let iommufd: Iommufd;
    let device: Cdev;
    let space: Ioas;

    beforeEach(() => {
      iommufd = Iommufd.open(subject.kernel);
      device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
      space = iommufd.createIoas();
    });
    afterEach(() => iommufd.close());

    it('an old kernel says what it needs', () => {
      using file = MemoryFile.create(subject.kernel, page);
      const map = (): bigint => space.mapFile({ fd: file.fd, size: 4096n });
      if (newer()) {
        expect(map()).toBe(0x1000n);
        iommufd.changeProcess();
      } else {
        expect(map).toThrow(/^ENOTTY: .*IOMMU_IOAS_MAP_FILE.*needs Linux 6.13/);
        expect(() => iommufd.changeProcess()).toThrow(/^ENOTTY: .*CHANGE_PROCESS.*needs Linux 6.13/);
      }
    });

    it('a device reaches the bytes of the file, which the file shows', async () => {
      if (!newer()) return expect(() => space.mapFile({ fd: 0, size: 4096n })).toThrow(/^ENOTTY/);
      const file = MemoryFile.create(subject.kernel, 3 * page);
      const first = space.mapFile({ fd: file.fd, start: 4096n, size: 4096n });
      device.attach(space);
      const second = space.mapFile({ fd: file.fd, start: 8192n, size: 4096n, below: 0xfff_ffffn });
      file.write(page + 16, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
      await eduCopies(device, first, second + 8n);
      expect(file.mmio.read64(2 * page + 24)).toBe(0x0807_0605_0403_0201n);
      const bytes = new Uint8Array(8);
      file.read(2 * page + 24, bytes);
      expect([...bytes]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      // The mapping keeps the memory, and what another maps of it is the same.
      const other = iommufd.createIoas();
      const copy = other.copyFrom(space, { from: second, size: 4096n });
      file.close();
      device.attach(other);
      const target = other.allocate(page);
      await eduCopies(device, copy + 24n, target.iova);
      expect([...target.bytes.subarray(0, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    it('what is no memory, or past its end, is noticed when the device comes, or at once when it is there', () => {
      if (!newer()) return expect(() => space.mapFile({ fd: 0, size: 4096n })).toThrow(/^ENOTTY/);
      using file = MemoryFile.create(subject.kernel, 2 * page);
      const short = seam.memfd(page + 1);
      const wrong = [
        { fd: iommufd.fd, start: 0n },
        { fd: seam.eventfd(), start: 0n },
        { fd: file.fd, start: 4096n },
        { fd: file.fd, start: 1n << 40n },
        // The page in which a file ends is none of it.
        { fd: short, start: 0n },
      ];
      for (const part of wrong) {
        space.mapFile({ ...part, size: 8192n, iova: 0x10_0000n });
        expect(() => device.attach(space)).toThrow(/^EINVAL/);
        space.unmapAll();
      }
      device.attach(space);
      for (const part of wrong)
        expect(() => space.mapFile({ ...part, size: 8192n, iova: 0x10_0000n })).toThrow(/^EINVAL: .*must be a memfd/);
      expect(() => space.mapFile({ fd: file.fd, start: 2048n, size: 4096n })).toThrow(/^EINVAL/);
      expect(() => space.mapFile({ fd: file.fd, size: 2048n })).toThrow(/^EINVAL/);
      space.mapFile({ fd: short, size: 4096n });
      expect(space.unmapAll()).toBe(4096n);
      expect(() => space.mapFile({ fd: file.fd, size: 4096n, below: 0xfffn })).toThrow(RangeError);
      expect(space.unmapAll()).toBe(0n);
    });

    it('misuse does not reach the kernel', () => {
      expect(() => space.mapFile({ fd: 0, size: 4096 as unknown as bigint })).toThrow('Expected a bigint for size but received 4096');
      expect(() => space.mapFile({ fd: 0, start: -1n, size: 4096n })).toThrow(/for start but received -1/);
      expect(() => space.mapFile({ fd: -1, size: 4096n })).toThrow('Expected an integer from 0 to 2147483647 for fd but received -1');
      expect(() => MemoryFile.create(subject.kernel, 0)).toThrow('Expected a positive integer for size but received 0');
      const file = MemoryFile.create(subject.kernel, 1, 'ring');
      expect(file.size).toBe(page);
      expect(() => file.write(page - 1, new Uint8Array(2))).toThrow(/^Expected an integer from 0 to 4094 for offset but received 4095/);
      file.close();
      expect(() => file.mmio).toThrow("memory file 'ring' is closed");
      expect(() => file.read(0, new Uint8Array(1))).toThrow("memory file 'ring' is closed");
    });
  });

  describe('dma-bufs over a BAR', () => {
    /** A register of e1000e that keeps what is written. */
    const scratch = 0x28;
    let iommufd: Iommufd;
    let edu: Cdev;
    let express: Cdev;
    let space: Ioas;

    beforeEach(() => {
      iommufd = Iommufd.open(subject.kernel);
      edu = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
      express = Cdev.open(iommufd, findDevice(subject.kernel, subject.express.address));
      space = iommufd.createIoas();
      edu.attach(space);
    });
    afterEach(() => iommufd.close());

    const range = (offset: bigint, size: bigint): { offset: bigint; size: bigint } => ({ offset, size });
    const code = (call: () => unknown): string => {
      try {
        call();
        return 'done';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    const setMemory = (on: boolean): void => {
      const command = express.config.read16(4);
      express.config.write16(4, on ? command | 2 : command & ~2);
    };

    it('another device reaches the registers, until they are turned off', async () => {
      if (!newer()) return expect(() => express.exportBar(0)).toThrow(/^ENOTTY/);
      const memory = space.allocate(page);
      const exported = express.exportBar(0, [range(0n, 4096n)]);
      const iova = space.mapFile({ fd: exported.fd, size: 4096n, iova: 0x20_0000n });
      exported.close();
      const registers = express.region(0).mmio;
      new DataView(memory.memory).setUint32(0, 0x1234_5678, true);
      await eduCopies(edu, memory.iova, iova + BigInt(scratch), 4n);
      expect(registers.read32(scratch)).toBe(0x1234_5678);
      registers.write32(scratch, 0x55aa_55aa);
      await eduCopies(edu, iova + BigInt(scratch), memory.iova, 4n);
      expect(new DataView(memory.memory).getUint32(0, true)).toBe(0x55aa_55aa);
      // It stays cut off, also when they are turned on again.
      setMemory(false);
      setMemory(true);
      new DataView(memory.memory).setUint32(0, 0x7777_7777, true);
      await eduCopies(edu, memory.iova, iova + BigInt(scratch), 4n);
      expect(registers.read32(scratch)).toBe(0x55aa_55aa);
      expect(space.unmap({ iova, size: 4096n })).toBe(4096n);
    });

    it('can be mapped while the memory answers, if it is one range', () => {
      if (!newer()) return expect(() => express.exportBar(0)).toThrow(/^ENOTTY/);
      const { fd } = express.exportBar(0, [range(4096n, 8192n)]);
      const two = express.exportBar(0, [range(0n, 4096n), range(8192n, 4096n)]);
      const map = (part: { fd?: number; start?: bigint; size?: bigint } = {}): string =>
        code(() => space.mapFile({ fd, size: 4096n, iova: 0x20_0000n, ...part }));
      expect(map({ fd: two.fd })).toBe('EOPNOTSUPP');
      expect(map({ start: 4096n, size: 8192n })).toBe('EINVAL');
      expect(map({ start: 8192n })).toBe('EINVAL');
      expect(map({ size: 2048n })).toBe('EINVAL');
      expect([map(), map()]).toEqual(['done', 'EEXIST']);
      const other = iommufd.createIoas();
      expect(other.copyFrom(space, { from: 0x20_0000n, size: 4096n, iova: 0x5000n })).toBe(0x5000n);
      space.unmapAll();
      setMemory(false);
      expect(map()).toBe('ENODEV');
      // What is revoked can still be copied, and a device attached to it; it finds nothing there.
      expect(space.copyFrom(other, { from: 0x5000n, size: 4096n, iova: 0x20_0000n })).toBe(0x20_0000n);
      setMemory(true);
      space.unmapAll();
      expect(map()).toBe('done');
      express.reset();
      space.unmapAll();
      expect(map()).toBe('done');
      expect(code(() => iommufd.changeProcess())).toBe('EINVAL');
      const fresh = iommufd.createIoas();
      fresh.copyFrom(space, { from: 0x20_0000n, size: 4096n });
      edu.attach(fresh);
    });

    it('a mapping outlives the device, and reaches nothing', () => {
      if (!newer()) return expect(() => express.exportBar(0)).toThrow(/^ENOTTY/);
      const { fd } = express.exportBar(0, [range(0n, 4096n)]);
      space.mapFile({ fd, size: 4096n, iova: 0x20_0000n });
      express.close();
      Cdev.open(iommufd, findDevice(subject.kernel, subject.express.address)).close();
      expect(space.unmapAll()).toBe(4096n);
    });
  });
}
