/** Dirty page tracking of type1, new addresses for mappings, and the limits of mapping. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_TYPE1_IOMMU } from '../../lib/abi/vfio/container.js';
import {
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
} from '../../lib/abi/vfio/type1.js';
import type { KernelError } from '../../lib/kernel/error.js';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import type { Container } from '../../lib/vfio/container.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 0x1000n;
const base = 0x10_0000n;
const [START, STOP, GET] = [1, 2, 4];

export function dirty(variant: Variant): void {
  let subject: Subject;
  let opened: OpenDevice;
  let container: Container;

  beforeEach(() => {
    subject = variant.make();
    opened = openDevice(subject.kernel, subject.edu.address, { by: 'group' });
    container = opened.dma as Container;
  });
  afterEach(() => opened.close());

  const memory = (pages: bigint): bigint => {
    const mapping = subject.kernel.mmap(-1, Number(page * pages), 3, 0x22, 0);
    if (typeof mapping === 'number') throw new Error(answer(mapping));
    mappings.push(mapping);
    return subject.kernel.addressOf(mapping.memory!);
  };
  const mappings: { unmap(): void }[] = [];
  afterEach(() => {
    for (const mapping of mappings.splice(0)) mapping.unmap();
  });

  const request = (flags: number, data: Uint8Array = new Uint8Array(), argsz?: number): string => {
    const view = vfio_iommu_type1_dirty_bitmap.create(data.byteLength);
    Object.assign(view, { argsz: argsz ?? view.bytes.byteLength, flags });
    view.data.set(data);
    return answer(subject.kernel.ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES.number, view.bytes));
  };
  const bits = new BigUint64Array(new ArrayBuffer(64));
  const get = (fields: { iova?: bigint; size?: bigint; pgsize?: bigint; bytes?: bigint; data?: bigint } = {}): string => {
    const view = vfio_iommu_type1_dirty_bitmap_get.create();
    Object.assign(view, { iova: fields.iova ?? base, size: fields.size ?? 8n * page });
    Object.assign(view.bitmap, {
      pgsize: fields.pgsize ?? page,
      size: fields.bytes ?? BigInt(bits.byteLength),
      data: fields.data ?? subject.kernel.addressOf(bits.buffer),
    });
    return request(GET, view.bytes);
  };
  const unmapWithBitmap = (
    iova: bigint,
    size: bigint,
    data: bigint,
    fields: { flags?: number; argsz?: number; pgsize?: bigint } = {},
  ): string => {
    const view = vfio_iommu_type1_dma_unmap.create(vfio_bitmap.size);
    Object.assign(view, { argsz: fields.argsz ?? view.bytes.byteLength, flags: fields.flags ?? 1, iova, size });
    const bitmap = vfio_bitmap.create();
    Object.assign(bitmap, { pgsize: fields.pgsize ?? page, size: 64n, data });
    view.data.set(bitmap.bytes);
    const result = answer(subject.kernel.ioctl(container.fd, VFIO_IOMMU_UNMAP_DMA.number, view.bytes));
    return result === '0' ? `0x${view.size.toString(16)} bytes` : result;
  };
  const wrapped = (): string => (subject.version !== '7.3' ? 'EINVAL' : 'EOVERFLOW');

  describe('DIRTY_PAGES', () => {
    beforeEach(() => {
      const address = memory(16n);
      container.map({ iova: base, address, size: 2n * page });
      container.map({ iova: base + 4n * page, address: address + 4n * page, size: page, write: false });
      container.map({ iova: base + 70n * page, address: address + 5n * page, size: 3n * page });
      bits.fill(0n);
    });

    it('START and STOP can be repeated', () => {
      expect([START, START, STOP, STOP, START].map((flag) => request(flag))).toEqual(Array(5).fill('0'));
    });

    it('takes one flag it knows, and no fewer bytes than the flags end at', () => {
      expect([START | STOP, START | GET, 8, 0x8000_0000].map((flag) => request(flag))).toEqual(Array(4).fill('EINVAL'));
      expect(request(START, new Uint8Array(), 7)).toBe('EINVAL');
      expect(answer(subject.kernel.ioctl(container.fd, VFIO_IOMMU_DIRTY_PAGES.number, 0))).toBe('EFAULT');
    });

    it('GET_BITMAP before START, or after STOP, is EINVAL', () => {
      expect(get()).toBe('EINVAL');
      request(START);
      expect(get()).toBe('0');
      request(STOP);
      expect(get()).toBe('EINVAL');
    });

    it('GET_BITMAP looks at pointer, sizes, page size, alignment and tracking, in this order', () => {
      request(START);
      expect(request(GET)).toBe('EINVAL');
      const whole = vfio_iommu_type1_dirty_bitmap_get.create();
      Object.assign(whole, { iova: base, size: 8n * page });
      Object.assign(whole.bitmap, { pgsize: page, size: 64n, data: subject.kernel.addressOf(bits.buffer) });
      expect(request(GET, whole.bytes.subarray(0, 39))).toBe('EINVAL');
      expect(request(GET, whole.bytes)).toBe('0');
      expect(get({ data: 0xffff_8000_0000_0000n })).toBe('EINVAL');
      expect(get({ bytes: 0n })).toBe('EINVAL');
      expect(get({ size: 65n * page, bytes: 8n })).toBe('EINVAL');
      expect(get({ size: 64n * page, bytes: 8n })).toBe('0');
      expect(get({ bytes: (256n << 20n) + 8n })).toBe('EINVAL');
      expect(get({ pgsize: 2n * page })).toBe('EINVAL');
      expect(get({ iova: base + 8n * page + 1n })).toBe('EINVAL');
      expect(get({ iova: base + 8n * page, size: page + 1n })).toBe('EINVAL');
      expect(get({ iova: base + 1n })).toBe('EINVAL');
      expect(get({ size: page + 1n })).toBe('EINVAL');
      expect(get({ size: 0n })).toBe('EINVAL');
      expect(get({ iova: 0xffff_ffff_ffff_f000n, size: 2n * page })).toBe(wrapped());
      expect(get({ data: 0x1000n })).toBe('EFAULT');
    });

    it('GET_BITMAP of a range that cuts through a mapping is EINVAL', () => {
      request(START);
      expect(get({ iova: base + page })).toBe('EINVAL');
      expect(get({ size: page })).toBe('EINVAL');
      expect(get({ size: 71n * page })).toBe('EINVAL');
      expect(get({ size: 73n * page })).toBe('0');
    });

    it('says that all a device could have written is dirty', () => {
      request(START);
      expect(get({ size: 128n * page })).toBe('0');
      expect([...bits.subarray(0, 2)]).toEqual([0b1_0011n, 0b111n << 6n]);
    });

    it('says more the second time, where a mapping does not begin with a word: what the first shift left behind', () => {
      request(START);
      get({ size: 128n * page });
      bits.fill(0n);
      expect(get({ size: 128n * page })).toBe('0');
      expect([...bits.subarray(0, 2)]).toEqual([0b1_0011_0011n, (0b111n << 6n) | (0b111n << 12n)]);
      bits.fill(0n);
      expect(get({ size: 128n * page })).toBe('0');
      expect([...bits.subarray(0, 2)].map((word) => word.toString(2))).toEqual(['1001100110011', '111000111000111000000']);
    });

    it('keeps what the first word of a mapping held, and touches no word without one', () => {
      request(START);
      bits.fill(0xffff_0000_ffff_0000n);
      expect(get({ size: 256n * page })).toBe('0');
      expect([...bits.subarray(0, 4)].map((word) => word.toString(16))).toEqual([
        '13',
        'ffff0000ffff01c0',
        'ffff0000ffff0000',
        'ffff0000ffff0000',
      ]);
    });

    it('UNMAP_DMA gives the bits of what it unmaps', () => {
      const data = subject.kernel.addressOf(bits.buffer);
      expect(unmapWithBitmap(base, 8n * page, data)).toBe('EINVAL');
      request(START);
      expect(unmapWithBitmap(base, 8n * page, 0x1000n)).toBe('EFAULT');
      expect(unmapWithBitmap(base, 8n * page, data)).toBe('0x3000 bytes');
      expect(bits[0]).toBe(0b1_0011n);
      expect(unmapWithBitmap(base, 8n * page, data)).toBe('0x0 bytes');
      expect(unmapWithBitmap(base + 70n * page, 3n * page, data)).toBe('0x3000 bytes');
      expect(bits[0]).toBe(0b111n);
    });

    it('UNMAP_DMA with a bitmap takes no other flag, no other page size, no pages off their border, and all of the struct', () => {
      const data = subject.kernel.addressOf(bits.buffer);
      request(START);
      const [everything, address] = [2, 4];
      expect(unmapWithBitmap(0n, 0n, data, { flags: 1 | everything })).toBe('EINVAL');
      expect(unmapWithBitmap(base, 2n * page, data, { flags: 1 | address })).toBe('EINVAL');
      expect(unmapWithBitmap(base, 2n * page, data, { argsz: 47 })).toBe('EINVAL');
      expect(unmapWithBitmap(base, 2n * page, data, { pgsize: 2n * page })).toBe('EINVAL');
      expect(unmapWithBitmap(base + 0x800n, 8n * page, data)).toBe('EINVAL');
      expect(unmapWithBitmap(base, 2n * page, data)).toBe('0x2000 bytes');
    });

    it('UNMAP_DMA with a bitmap of no bits is EINVAL, even of a range that wraps, which newer kernels have a word of its own for', () => {
      request(START);
      const data = subject.kernel.addressOf(bits.buffer);
      expect(unmapWithBitmap(0xffff_ffff_ffff_f000n, 2n * page, data, { pgsize: 1n << 40n })).toBe('EINVAL');
    });

    it('a bitmap whose first word holds more is read before it is written', () => {
      request(START);
      expect(get({ iova: base + 64n * page, size: 64n * page, data: 0x1000n })).toBe('EFAULT');
    });

    it('of version 1 is EACCES', () => {
      opened.close();
      const seam = new Seam(subject.kernel);
      const fd = seam.ready(subject.edu, VFIO_TYPE1_IOMMU).container;
      expect(answer(subject.kernel.ioctl(fd, VFIO_IOMMU_DIRTY_PAGES.number, 0))).toBe('EACCES');
      seam.closeAll();
    });
  });

  describe('trackDirtyPages()', () => {
    it('tells dirty ranges, and those of what it unmaps', () => {
      container.map({ iova: base, address: memory(4n), size: 4n * page });
      container.map({ iova: base + 6n * page, address: memory(1n), size: page });
      using tracking = container.trackDirtyPages();
      const { unmapped, dirty } = tracking.unmap({ iova: base, size: 64n * page });
      expect([unmapped, dirty.count]).toEqual([5n * page, 5]);
      expect([...dirty.ranges()]).toEqual([
        { iova: base, size: 4n * page },
        { iova: base + 6n * page, size: page },
      ]);
      expect(tracking.read({ iova: base, size: 64n * page }).count).toBe(0);
    });

    it('ends when it is closed, and with the container', () => {
      const tracking = container.trackDirtyPages();
      tracking.close();
      expect(get()).toBe('EINVAL');
      const second = container.trackDirtyPages();
      opened.close();
      expect(second.closed).toBe(true);
    });
  });

  it('a mapping that forgot its address takes a new one, and until then no group joins', () => {
    const address = memory(2n);
    container.map({ iova: base, address, size: page });
    container.map({ iova: base + page, address: address + page, size: page });
    expect(container.forgetAddresses({ iova: base, size: page })).toBe(page);
    expect(container.forgetAllAddresses.bind(container)).toThrow(/^EINVAL/);
    expect(() => container.updateAddress({ iova: base, address, size: 2n * page })).toThrow(/^EINVAL/);
    expect(() => container.updateAddress({ iova: base - page, address, size: 2n * page })).toThrow(/^EINVAL/);
    const seam = new Seam(subject.kernel);
    const group = seam.group(subject.express);
    expect(answer(seam.setContainer(group, container.fd))).toBe('EBUSY');
    container.updateAddress({ iova: base, address, size: page });
    expect(answer(seam.setContainer(group, container.fd))).toBe('0');
    seam.closeAll();
    expect(() => container.map({ iova: 0xfee0_0000n, address, size: page })).toThrow(/^EINVAL/);
    expect(container.forgetAllAddresses()).toBe(2n * page);
    container.updateAddress({ iova: base, address, size: page });
    container.updateAddress({ iova: base + page, address: address + page, size: page });
    expect(() => container.updateAddress({ iova: base + 8n * page, address, size: page })).toThrow(/^ENOENT/);
  });

  describe('limits', () => {
    const parameter = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
    const setLimit = (limit: number): void => {
      expect(subject.kernel.files.writeFile(parameter, new TextEncoder().encode(String(limit)))).toBeGreaterThan(0);
    };
    const refused = (action: () => void): KernelError => {
      try {
        action();
      } catch (error) {
        return error as KernelError;
      }
      throw new Error('nothing was refused');
    };

    it('dma_entry_limit is ENOSPC, and the hint says what to do', () => {
      opened.close();
      setLimit(2);
      try {
        opened = openDevice(subject.kernel, subject.edu.address, { by: 'group' });
        container = opened.dma as Container;
      } finally {
        setLimit(65535);
      }
      expect(container.info().mappingsAvailable).toBe(2);
      opened.dma.allocate(4096);
      opened.dma.allocate(4096);
      const error = refused(() => opened.dma.allocate(4096));
      expect([error.code, error.hint]).toEqual(['ENOSPC', expect.stringContaining('dma_entry_limit')]);
    });

    it('a reserved range, and what is off the page, is EINVAL with a hint', () => {
      const address = memory(1n);
      for (const fields of [{ iova: 0xfee0_0000n }, { iova: base + 8n }, { size: 12n }]) {
        const error = refused(() => container.map({ iova: base, address, size: page, ...fields }));
        expect([error.code, error.hint]).toEqual([
          'EINVAL',
          expect.stringMatching(/smallest page size, and the IOVA inside one of the ranges/),
        ]);
      }
    });
  });
}
