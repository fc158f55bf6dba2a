/** Iommufd and Ioas, as users have them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Iommufd, type Ioas } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import type { Subject, Variant } from '../support/subject.js';

const top = 0xffff_ffff_ffff_ffffn;

export function iommufdApi(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let space: Ioas;
  let memory: Mapping & { memory: ArrayBuffer };
  let address: bigint;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    space = iommufd.createIoas();
    memory = subject.kernel.mmap(-1, 0x4000, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
    address = subject.kernel.addressOf(memory.memory);
  });
  afterEach(() => {
    iommufd.close();
    memory.unmap();
  });

  it('an address space has its id until it is closed, and the next one has it then', () => {
    expect([space.id, iommufd.createIoas().id]).toEqual([1, 2]);
    expect(iommufd.addressSpaces.map(({ id }) => id)).toEqual([1, 2]);
    space.close();
    space.close();
    expect(iommufd.createIoas().id).toBe(1);
    expect(iommufd.addressSpaces.map(({ id }) => id)).toEqual([2, 1]);
  });

  it('a closed one does nothing to the one that has its id now', () => {
    space.close();
    const next = iommufd.createIoas();
    next.map({ iova: 0x1000n, address, size: 0x1000n });
    const closed = expect.objectContaining({ code: 'ERR_VFIO_CLOSED' });
    expect(() => space.unmapAll()).toThrow(closed);
    expect(() => space.unmap({ iova: 0x1000n, size: 0x1000n })).toThrow(closed);
    expect(() => space.map({ address, size: 0x1000n })).toThrow(closed);
    expect(() => space.ranges()).toThrow(closed);
    expect(() => space.useLargePages(false)).toThrow(closed);
    expect(() => next.copyFrom(space, { from: 0x1000n, size: 0x1000n })).toThrow(closed);
    expect(next.unmapAll()).toBe(0x1000n);
  });

  it('everything may be mapped, with no alignment', () => {
    expect(space.ranges()).toEqual([{ start: 0n, last: top }]);
    expect(space.alignment()).toBe(1n);
  });

  it('maps where it is told, and where the kernel chooses', () => {
    expect(space.map({ iova: 0x10_0000n, address, size: 0x2000n })).toBe(0x10_0000n);
    const chosen = space.map({ address, size: 0x1000n, write: false });
    expect(chosen).toBe(0x1000n);
    expect(space.unmap({ iova: chosen, size: 0x1000n })).toBe(0x1000n);
    expect(() => space.unmap({ iova: chosen, size: 0x1000n })).toThrow(
      /^ENOENT: .*IOMMU_IOAS_UNMAP '\/dev\/iommu'\. Nothing is mapped there/,
    );
    expect(() => space.map({ iova: 0x10_1000n, address, size: 0x1000n })).toThrow(/^EEXIST: .*IOMMU_IOAS_MAP.*overlaps/);
    expect(space.unmapAll()).toBe(0x2000n);
    expect(space.unmapAll()).toBe(0n);
  });

  it('copies between address spaces of one file', () => {
    const other = iommufd.createIoas();
    space.map({ iova: 0x10_0000n, address, size: 0x2000n, write: false });
    expect(other.copyFrom(space, { from: 0x10_1000n, size: 0x1000n, iova: 0x5000n, write: false })).toBe(0x5000n);
    expect(() => other.copyFrom(space, { from: 0x10_0000n, size: 0x1000n })).toThrow(/^EPERM: .*write: false/);
    expect(other.copyFrom(space, { from: 0x10_0000n, size: 0x1000n, write: false })).toBe(0x1000n);
    using elsewhere = Iommufd.open(subject.kernel);
    expect(() => elsewhere.createIoas().copyFrom(space, { from: 0x10_0000n, size: 0x1000n })).toThrow(
      "Expected an address space of the same /dev/iommu for other but received 'IOAS 1 of /dev/iommu'",
    );
  });

  it('allows ranges, and says which it cannot', () => {
    space.allowRanges([{ start: 0x20_0000n, last: 0x2f_ffffn }]);
    expect(space.map({ address, size: 0x1000n })).toBe(0x20_0000n);
    expect(() => space.allowRanges([{ start: 1n, last: 1n }])).toThrow(/^EINVAL: .*at least two addresses/);
    space.allowRanges([]);
    expect(space.map({ address, size: 0x1000n })).toBe(0x1000n);
  });

  describe('allocate', () => {
    it('gives zeroed memory in whole pages, each elsewhere', () => {
      const buffers = [1, 4096, 5000].map((size) => space.allocate(size));
      expect(buffers.map(({ size }) => size)).toEqual([4096, 4096, 8192]);
      expect(new Set(buffers.map(({ iova }) => iova)).size).toBe(3);
      expect(buffers.every(({ bytes }) => bytes.every((byte) => byte === 0))).toBe(true);
      for (const buffer of buffers) expect(() => space.map({ iova: buffer.iova, address, size: 0x1000n })).toThrow(/^EEXIST/);
      buffers[0]?.close();
      expect(space.unmapAll()).toBe(0x3000n);
      buffers[1]?.close();
    });

    it('stays below the limit it is given, or throws and leaves nothing', () => {
      expect(space.allocate(4096, { below: 0xff_ffffn }).iova).toBeLessThan(0x100_0000n);
      expect(() => space.allocate(4096, { below: 0xfffn })).toThrow(
        'Expected a size for which an IOVA up to 0xfff is free for size but received 4096',
      );
      expect(space.unmapAll()).toBe(0x1000n);
    });

    it('ends with the address space', () => {
      const buffer = space.allocate(4096);
      iommufd.close();
      expect(buffer.closed && space.closed).toBe(true);
      expect(() => buffer.memory).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });
  });

  it('options are those of the file and those of an address space', () => {
    expect(iommufd.lockedMemoryAccount()).toBe('user');
    expect(() => iommufd.setLockedMemoryAccount('process')).toThrow(/^EBUSY: .*before the first address space/);
    space.map({ iova: 0x1001n, address, size: 0x1000n });
    expect(() => space.useLargePages(false)).toThrow(/^EADDRINUSE: .*aligned/);
    space.unmapAll();
    space.useLargePages(false);
    expect([space.usesLargePages(), space.alignment(), iommufd.option(1, space.id)]).toEqual([false, 4096n, 0n]);
    space.close();
    iommufd.setLockedMemoryAccount('process');
    expect(iommufd.lockedMemoryAccount()).toBe('process');
    expect(() => iommufd.option(2)).toThrow(/^EOPNOTSUPP: /);
  });

  it('misuse does not reach the kernel', () => {
    expect(() => space.map({ address: -1n, size: 1n })).toThrow('Expected an integer from 0 to 18446744073709551615 for address');
    expect(() => space.map({ address, size: 4096 as unknown as bigint })).toThrow('Expected a bigint for size but received 4096');
    expect(() => space.unmap({ iova: 0n, size: top })).toThrow(/unmapAll\(\) instead/);
    expect(() => space.allocate(0)).toThrow('Expected a positive integer for size but received 0');
    expect(() => iommufd.setLockedMemoryAccount('nobody' as 'user')).toThrow(
      "Expected 'user' or 'process' for account but received 'nobody'",
    );
  });
}
