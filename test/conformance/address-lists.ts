/** Lists of mappings, which cross into the kernel once: what they do is what one call after the other does. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../lib/abi/vfio/type1.js';
import { type AddressSpace, Container, KernelError, type MapOptions } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { answer } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';
import { thrown } from '../support/thrown.js';
import { ways, type OpenedSpace } from './address-space.js';

const page = 4096n;
const base = 0x20_0000n;

export function addressLists(variant: Variant): void {
  let subject: Subject;
  let memory: Mapping & { memory: ArrayBuffer };
  let address: bigint;

  beforeEach(() => {
    subject = variant.make();
    memory = subject.kernel.mmap(-1, 64 * Number(page), 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
    address = subject.kernel.addressOf(memory.memory);
  });
  afterEach(() => memory.unmap());

  /** So many pages from an IOVA on, each a mapping of its own. */
  const pages = (count: number, iova = base): Required<Pick<MapOptions, 'iova' | 'address' | 'size'>>[] =>
    Array.from({ length: count }, (_, index) => ({
      iova: iova + BigInt(index) * page,
      address: address + BigInt(index % 64) * page,
      size: page,
    }));

  describe.each(ways)('%s', (_name, open) => {
    let opened: OpenedSpace;
    let space: AddressSpace;

    beforeEach(() => {
      opened = open(subject);
      space = opened.space;
    });
    afterEach(() => opened.close());

    it('maps and unmaps each of a list', () => {
      const list = pages(64);
      expect(space.mapMany(list)).toEqual(list.map(({ iova }) => iova));
      for (const { iova } of [list[0]!, list[63]!])
        expect(thrown(KernelError, () => space.map({ iova, address, size: page })).code).toBe('EEXIST');
      expect(space.unmapMany(list)).toBe(64n * page);
      expect(space.mapMany(list.slice(0, 2))).toHaveLength(2);
    });

    it('an empty list is nothing', () => {
      expect(space.mapMany([])).toEqual([]);
      expect(space.unmapMany([])).toBe(0n);
    });

    it('maps where it likes, as without a list', () => {
      const iovas = space.mapMany([
        { address, size: page },
        { address, size: 2n * page },
        { address, size: page },
      ]);
      const ranges = iovas.map((iova, index) => ({ iova, size: index === 1 ? 2n * page : page }));
      for (const [index, { iova }] of ranges.entries())
        for (const other of ranges.slice(0, index)) expect(iova >= other.iova + other.size || iova + page <= other.iova).toBe(true);
      expect(space.unmapMany(ranges)).toBe(4n * page);
      expect(space.map({ address, size: page })).toBe(iovas[0]);
    });

    it('where one is refused those before it are unmapped again, and the error names it', () => {
      space.map({ iova: base + 5n * page, address, size: page });
      const error = thrown(KernelError, () => space.mapMany(pages(8)));
      expect([error.code, error.index]).toEqual(['EEXIST', 5]);
      expect(error.message).toMatch(/^list\[5\]: EEXIST: /);
      expect(space.unmapMany([{ iova: base + 5n * page, size: page }])).toBe(page);
      expect(space.mapMany(pages(8))).toHaveLength(8);
    });

    it('the first and the last can be the one', () => {
      for (const place of [0, 3]) {
        const list = pages(4).map((each, index) => (index === place ? { ...each, size: page + 1n } : each));
        const error = thrown(KernelError, () => space.mapMany(list));
        expect([error.code, error.index]).toEqual(['EINVAL', place]);
      }
      expect(space.mapMany(pages(4))).toHaveLength(4);
    });

    it('those that were chosen IOVAs are free again, too', () => {
      const list = [
        { address, size: page },
        { address, size: page },
        { iova: base, address: 0x1000n, size: page },
      ];
      expect(thrown(KernelError, () => space.mapMany(list)).index).toBe(2);
      const [first] = space.mapMany(list.slice(0, 1));
      space.unmap({ iova: first!, size: page });
      expect(space.map({ address, size: page })).toBe(first);
    });

    it('unmapping a list ends at the one that is refused, and those before it are gone', () => {
      space.map({ iova: base, address, size: page });
      space.map({ iova: base + page, address, size: 2n * page });
      const error = thrown(KernelError, () =>
        space.unmapMany([
          { iova: base, size: page },
          { iova: base + page, size: page },
          { iova: base, size: page },
        ]),
      );
      expect(error.index).toBe(1);
      expect(space.map({ iova: base, address, size: page })).toBe(base);
      expect(
        space.unmapMany([
          { iova: base, size: page },
          { iova: base + page, size: 2n * page },
        ]),
      ).toBe(3n * page);
    });

    it('refuses what is no request before anything is mapped', () => {
      const list = [...pages(2), { iova: base + 2n * page, address: 5 as unknown as bigint, size: page }];
      expect(() => space.mapMany(list)).toThrow('list[2]: Expected a bigint for address but received 5');
      expect(() => space.mapMany([...pages(1), { address, size: page, below: 0xffen }])).toThrow(/^list\[1\]: Expected a size for which/);
      expect(() => space.unmapMany([{ iova: -1n, size: page }])).toThrow(/^list\[0\]: Expected an integer .* for iova but received -1/);
      expect(space.mapMany(pages(2))).toHaveLength(2);
    });

    it('throws when it is closed', () => {
      opened.close();
      expect(() => space.mapMany(pages(1))).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
      expect(() => space.unmapMany(pages(1))).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });
  });

  describe('ioctlMany', () => {
    it('makes the request on each struct until one is refused, and tells what each answered', () => {
      const container = Container.open(subject.kernel);
      try {
        container.openGroup(subject.edu.group);
        container.setIommu();
        const maps = vfio_iommu_type1_dma_map.array(new ArrayBuffer(4 * 32));
        for (const [index, { iova, size }] of pages(4).entries())
          Object.assign(maps.at(index), { argsz: 32, flags: 3, vaddr: address, iova, size: index === 2 ? 1n : size });
        const results = new Int32Array(4).fill(99);
        expect(subject.kernel.ioctlMany(container.fd, VFIO_IOMMU_MAP_DMA.number, maps.bytes, results)).toBe(2);
        expect(Array.from(results, answer)).toEqual(['0', '0', 'EINVAL', '99']);
        const unmaps = vfio_iommu_type1_dma_unmap.array(new ArrayBuffer(2 * 24));
        for (const [index, { iova, size }] of pages(2).entries()) Object.assign(unmaps.at(index), { argsz: 24, flags: 0, iova, size });
        expect(subject.kernel.ioctlMany(container.fd, VFIO_IOMMU_UNMAP_DMA.number, unmaps.bytes, results.subarray(0, 2))).toBe(2);
        expect([unmaps.at(0).size, unmaps.at(1).size]).toEqual([page, page]);
      } finally {
        container.close();
      }
    });

    it('an fd that is nobody is EBADF at the first', () => {
      const results = new Int32Array(2).fill(99);
      expect(subject.kernel.ioctlMany(0x3fff_ffff, VFIO_IOMMU_MAP_DMA.number, new Uint8Array(64), results)).toBe(0);
      expect(Array.from(results, answer)).toEqual(['EBADF', '99']);
    });

    it('a struct that promises more than it has is refused before the first request', () => {
      const maps = vfio_iommu_type1_dma_map.array(new ArrayBuffer(64));
      maps.at(0).argsz = 32;
      maps.at(1).argsz = 33;
      const results = new Int32Array(2).fill(99);
      expect(() => subject.kernel.ioctlMany(0x3fff_ffff, VFIO_IOMMU_MAP_DMA.number, maps.bytes, results)).toThrow(
        /^Expected an argsz of at most 32 bytes/,
      );
      expect([...results]).toEqual([99, 99]);
    });
  });

  it('a container goes on behind what it has not mapped itself', () => {
    const { space, close } = ways[0][1](subject);
    try {
      // Where it would choose, and it does not know.
      const [first] = space.mapMany([{ address, size: page }]);
      space.unmap({ iova: first!, size: page });
      space.map({ iova: first! + page, address, size: page });
      const iovas = space.mapMany([
        { address, size: page },
        { address, size: page },
        { address, size: page },
      ]);
      expect(new Set([...iovas, first! + page]).size).toBe(4);
      expect(space.unmapMany(iovas.map((iova) => ({ iova, size: page })))).toBe(3n * page);
      expect(space.mapMany([{ address, size: page }])).toEqual([first]);
    } finally {
      close();
    }
  });
}
