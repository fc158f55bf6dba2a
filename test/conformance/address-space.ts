/** One address space for drivers: the same cases through a container, and through an IOAS with the device attached to it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cdev, Container, findDevice, Iommufd, type AddressSpace, type Device } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import type { Subject, Variant } from '../support/subject.js';

export interface OpenedSpace {
  readonly device: Device;
  readonly space: AddressSpace;
  close(): void;
}

function byGroup({ kernel, edu }: Pick<Subject, 'kernel' | 'edu'>): OpenedSpace {
  const container = Container.open(kernel);
  const group = container.openGroup(edu.group);
  container.setIommu();
  return { device: group.openDevice(edu.address), space: container, close: () => container.close() };
}

function byNode({ kernel, edu }: Pick<Subject, 'kernel' | 'edu'>): OpenedSpace {
  const iommufd = Iommufd.open(kernel);
  const device = Cdev.open(iommufd, findDevice(kernel, edu.address));
  const space = iommufd.createIoas();
  device.attach(space);
  return { device, space, close: () => iommufd.close() };
}

/** Each way to an address space with the edu in it. */
export const ways = [
  ['a container', byGroup],
  ['an IOAS', byNode],
] as const;

const page = 4096n;
/** The edu drives no more address bits. */
const below = 0xfff_ffffn;

export function addressSpace(variant: Variant): void {
  describe.each(ways)('%s', (_name, open) => {
    let subject: Subject;
    let opened: OpenedSpace;
    let space: AddressSpace;
    let memory: Mapping & { memory: ArrayBuffer };
    let address: bigint;

    beforeEach(() => {
      subject = variant.make();
      opened = open(subject);
      space = opened.space;
      memory = subject.kernel.mmap(-1, 4 * Number(page), 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
      address = subject.kernel.addressOf(memory.memory);
    });
    afterEach(() => {
      opened.close();
      memory.unmap();
    });

    /** The device writes what it read at one IOVA to another. */
    const copy = async (from: bigint, to: bigint): Promise<void> => {
      opened.device.enableBusMaster();
      const registers = opened.device.region(0).mmio;
      for (const [source, destination, command] of [
        [from, 0x4_0000n, 1n],
        [0x4_0000n, to, 3n],
      ] as const) {
        registers.write64(0x80, source);
        registers.write64(0x88, destination);
        registers.write64(0x90, 64n);
        registers.write64(0x98, command);
        for (let waited = 0; (registers.read32(0x98) & 1) === 1 && waited < 5000; waited += 5)
          await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };

    it('has ranges in order, without the one where interrupts are', () => {
      const ranges = space.ranges();
      expect(ranges.length).toBeGreaterThan(1);
      for (const [index, { start, last }] of ranges.entries()) {
        expect(last).toBeGreaterThan(start);
        expect(start).toBeGreaterThan(ranges[index - 1]?.last ?? -1n);
        expect(start <= 0xfee0_0000n && last >= 0xfee0_0000n).toBe(false);
      }
    });

    it('has page sizes, the smallest first', () => {
      const sizes = space.pageSizes();
      expect(sizes[0]).toBe(page);
      expect([...sizes].sort((a, b) => (a < b ? -1 : 1))).toEqual(sizes);
      expect(sizes.every((size) => (size & (size - 1n)) === 0n)).toBe(true);
    });

    it('maps where it is told', () => {
      expect(space.map({ iova: 0x20_0000n, address, size: 2n * page })).toBe(0x20_0000n);
      expect(() => space.map({ iova: 0x20_1000n, address, size: page })).toThrow(expect.objectContaining({ code: 'EEXIST' }));
      expect(space.unmap({ iova: 0x20_0000n, size: 2n * page })).toBe(2n * page);
      expect(space.map({ iova: 0x20_1000n, address, size: page })).toBe(0x20_1000n);
    });

    it('refuses what is off the page, out of range or not there', () => {
      const refuses = (iova: bigint, size: bigint, at = address): unknown => {
        try {
          return space.map({ iova, address: at, size });
        } catch (error) {
          return (error as { code?: unknown }).code;
        }
      };
      expect(refuses(0x20_0001n, page)).toBe('EINVAL');
      expect(refuses(0x20_0000n, page + 1n)).toBe('EINVAL');
      expect(refuses(0x20_0000n, page, address + 1n)).toBe('EINVAL');
      expect(refuses(0xfee0_0000n, page)).toBe('EINVAL');
      expect(refuses(0x20_0000n, 0n)).toBe('EINVAL');
      expect(refuses(0x20_0000n, page, 0x1000n)).toBe('EFAULT');
      expect(space.map({ iova: 0x20_0000n, address, size: page })).toBe(0x20_0000n);
    });

    it('maps where it likes: inside its ranges, apart from what is there', () => {
      const fixed = space.map({ iova: 0x1_0000n, address, size: 4n * page });
      const chosen = [space.map({ address, size: page }), space.map({ address, size: 2n * page })];
      const buffer = space.allocate(1);
      const all = [
        { iova: fixed, size: 4n * page },
        { iova: chosen[0] ?? 0n, size: page },
        { iova: chosen[1] ?? 0n, size: 2n * page },
        { iova: buffer.iova, size: BigInt(buffer.size) },
      ];
      for (const one of all) {
        expect(space.ranges().some(({ start, last }) => one.iova >= start && one.iova + one.size - 1n <= last)).toBe(true);
        for (const other of all.filter((each) => each !== one))
          expect(one.iova + one.size <= other.iova || other.iova + other.size <= one.iova).toBe(true);
      }
      expect(chosen.map((iova, index) => space.unmap({ iova, size: index === 0 ? page : 2n * page }))).toEqual([page, 2n * page]);
      expect(space.map({ address, size: page })).toBe(chosen[0]);
    });

    it('stays below the limit, or throws and leaves nothing mapped', () => {
      expect(space.map({ address, size: page, below })).toBeLessThan(below);
      expect(() => space.map({ address, size: page, below: 0xffen })).toThrow(RangeError);
      expect(() => space.allocate(4096, { below: 0xffen })).toThrow(
        'Expected a size for which an IOVA up to 0xffe is free for size but received 4096',
      );
      expect(space.unmap({ iova: 0n, size: 0x10_0000n })).toBe(page);
    });

    it('allocates zeroed memory in whole pages, until it is closed', () => {
      const buffers = [1, 4096, 5000].map((size) => space.allocate(size, { below }));
      expect(buffers.map(({ size }) => size)).toEqual([4096, 4096, 8192]);
      expect(buffers.every(({ bytes }) => bytes.every((byte) => byte === 0))).toBe(true);
      for (const buffer of buffers) expect(() => space.map({ iova: buffer.iova, address, size: page })).toThrow(/^EEXIST/);
      for (const buffer of buffers) {
        buffer.close();
        expect(space.map({ iova: buffer.iova, address, size: page })).toBe(buffer.iova);
      }
      expect(() => space.allocate(0)).toThrow('Expected a positive integer for size but received 0');
      expect(() => space.allocate(1.5)).toThrow(RangeError);
    });

    it('a buffer that was unmapped from under its owner can still be closed', () => {
      const buffer = space.allocate(4096, { below });
      expect(space.unmap({ iova: buffer.iova, size: page })).toBe(page);
      buffer.close();
      expect(() => buffer.bytes).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });

    it('the device reaches what is mapped, as it may', async () => {
      const source = space.allocate(4096, { below, write: false });
      const target = space.allocate(4096, { below, read: false });
      const guarded = space.map({ address, size: page, below, write: false });
      source.bytes.forEach((_, index, bytes) => (bytes[index] = (index * 7) & 0xff));
      await copy(source.iova, target.iova);
      expect(target.bytes.subarray(0, 64)).toEqual(source.bytes.subarray(0, 64));
      await copy(source.iova, guarded);
      expect(new Uint8Array(memory.memory).every((byte) => byte === 0)).toBe(true);
    });

    it('everything ends when its owner is closed', () => {
      const buffer = space.allocate(4096);
      space.map({ address, size: page });
      opened.close();
      expect(buffer.closed).toBe(true);
      expect(() => space.ranges()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
      expect(() => space.allocate(4096)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });
  });
}
