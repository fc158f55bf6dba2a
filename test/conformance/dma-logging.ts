/** DMA logging, as the VFIO core has it for all drivers, on mtty. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '../../lib/abi/vfio/dma-logging.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const [GET, SET] = [1 << 16, 1 << 17];

export function dmaLogging(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let devices: MediatedDevices;
  let page: Mapping;
  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    devices = new MediatedDevices(subject.kernel);
    page = subject.kernel.mmap(-1, 8192, 3, 0x22, 0) as Mapping;
  });
  afterEach(() => {
    page.unmap();
    seam.closeAll();
    devices.removeAll();
  });

  const feature = (fd: number, flags: number, payload: Uint8Array): string => answer(seam.feature(fd, flags, payload));
  const device = (): number => seam.ready(devices.make('mtty-1')).device;

  const start = (
    fd: number,
    ranges: readonly (readonly [bigint, bigint])[],
    pageSize = 4096n,
    count = ranges.length,
    at?: bigint,
  ): string => {
    const bytes = new Uint8Array(page.memory!);
    ranges.forEach(([iova, length], index) => {
      const range = vfio_device_feature_dma_logging_range.create();
      Object.assign(range, { iova, length });
      bytes.set(range.bytes, index * 16);
    });
    const control = vfio_device_feature_dma_logging_control.create();
    Object.assign(control, { page_size: pageSize, num_ranges: count, ranges: at ?? subject.kernel.addressOf(page.memory!) });
    const result = feature(fd, SET | 6, control.bytes);
    if (result === '0') expect(control.page_size).toBe(pageSize);
    return result;
  };
  const report = (fd: number, iova: bigint, length: bigint, pageSize = 4096n, bitmap = subject.kernel.addressOf(page.memory!)): string => {
    const view = vfio_device_feature_dma_logging_report.create();
    Object.assign(view, { iova, length, page_size: pageSize, bitmap });
    return feature(fd, GET | 8, view.bytes);
  };

  it('starts, reports and stops, as often as one likes', () => {
    const fd = device();
    expect(feature(fd, SET | 7, new Uint8Array())).toBe('0');
    expect(report(fd, 0n, 0x10_0000n)).toBe('0');
    expect(start(fd, [[0n, 0x10_0000n]])).toBe('0');
    expect(start(fd, [[0n, 0x10_0000n]])).toBe('0');
    new Uint8Array(page.memory!).fill(0x81, 0, 32);
    expect(report(fd, 0n, 0x10_0000n)).toBe('0');
    expect([...new Uint8Array(page.memory!, 0, 32)]).toEqual(Array(32).fill(0x81));
    expect(feature(fd, SET | 7, new Uint8Array())).toBe('0');
    expect(feature(fd, SET | 7, new Uint8Array())).toBe('0');
  });

  it('START takes 1 to 256 ranges that can be read', () => {
    const fd = device();
    expect(start(fd, [], 4096n, 0)).toBe('EINVAL');
    const ranges = Array.from({ length: 257 }, (_, index) => [BigInt(index) * 8192n, 4096n] as const);
    expect(start(fd, ranges)).toBe('E2BIG');
    expect(start(fd, ranges, 4096n, 0xffff_ffff)).toBe('E2BIG');
    expect(start(fd, ranges.slice(0, 256))).toBe('0');
    expect(start(fd, [], 4096n, 1, 0x1000n)).toBe('EFAULT');
    expect(start(fd, [], 4096n, 257, 0x1000n)).toBe('E2BIG');
  });

  it('START takes ranges that are aligned, do not overflow and do not overlap, in this order', () => {
    const fd = device();
    const last = 0xffff_ffff_ffff_f000n;
    expect(start(fd, [[0x800n, 4096n]])).toBe('EINVAL');
    expect(start(fd, [[0n, 4097n]])).toBe('EINVAL');
    expect(start(fd, [[last, 4097n]])).toBe('EINVAL');
    expect(start(fd, [[last, 4096n]])).toBe('EOVERFLOW');
    expect(start(fd, [[last - 4096n, 4096n]])).toBe('0');
    expect(
      start(fd, [
        [0n, 8192n],
        [4096n, 4096n],
      ]),
    ).toBe('EINVAL');
    expect(
      start(fd, [
        [8192n, 4096n],
        [0n, 8192n],
      ]),
    ).toBe('0');
    expect(
      start(fd, [
        [0n, 4096n],
        [0n, 4096n],
        [last, 4096n],
      ]),
    ).toBe('EINVAL');
    expect(
      start(fd, [
        [last, 4096n],
        [0n, 4096n],
        [0n, 4096n],
      ]),
    ).toBe('EOVERFLOW');
  });

  it('START leaves the page size to the driver: here any mask will do', () => {
    const fd = device();
    expect(start(fd, [[0x800n, 0x800n]], 2048n)).toBe('0');
    expect(start(fd, [[1n, 3n]], 1n)).toBe('0');
    expect(start(fd, [[0n, 4096n]], 0n)).toBe('EINVAL');
    expect(start(fd, [[0n, 0n]], 0n)).toBe('0');
    expect(
      start(fd, [
        [0n, 0n],
        [4096n, 4096n],
      ]),
    ).toBe('EINVAL');
    expect(
      start(fd, [
        [4096n, 0n],
        [4096n, 4096n],
      ]),
    ).toBe('0');
  });

  it('REPORT wants a page size that is a power of two from 4096, and a range that does not overflow', () => {
    const fd = device();
    for (const size of [0n, 1n, 2048n, 4095n, 4097n, 12288n]) expect([size, report(fd, 0n, 4096n, size)]).toEqual([size, 'EINVAL']);
    for (const size of [4096n, 0x20_0000n, 1n << 63n]) expect([size, report(fd, 0n, 4096n, size)]).toEqual([size, '0']);
    expect(report(fd, 0xffff_ffff_ffff_f000n, 4096n, 3n)).toBe('EINVAL');
    expect(report(fd, 0xffff_ffff_ffff_f000n, 4096n)).toBe('EOVERFLOW');
    expect(report(fd, 1n, 3n)).toBe('0');
    expect(report(fd, 0n, 0n)).toBe('0');
    expect(report(fd, 0n, 4096n, 4096n, 0x1000n)).toBe('0');
  });
}
