import { describe, expect, it, vi } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { O_RDWR } from '../../lib/abi/system.js';
import { VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map } from '../../lib/abi/vfio/type1.js';
import { openDevice, trace, type TracedCall } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';

function traced(): { kernel: ReturnType<typeof trace>; calls: TracedCall[] } {
  const calls: TracedCall[] = [];
  const { kernel } = new Machine({ kernel: '6.12', devices: [{ model: new Edu() }] });
  return { kernel: trace(kernel, (call) => calls.push(call)), calls };
}

describe('trace', () => {
  it('says each call with its arguments and its result, as strace would', () => {
    const { kernel, calls } = traced();
    using opened = openDevice(kernel, address, { by: 'group' });
    opened.dma.allocate(4096);
    const texts = calls.map(({ text }) => text.replaceAll(/\b10737418\d\d\b/g, 'FD').replaceAll(/0x7f0[0-9a-f]+/g, 'ADDRESS'));
    expect(texts).toEqual(
      expect.arrayContaining([
        'open("/dev/vfio/vfio", RDWR) = FD',
        'ioctl(FD, VFIO_GROUP_SET_CONTAINER, [FD]) = 0',
        'ioctl(FD, VFIO_SET_IOMMU, 3) = 0',
        'ioctl(FD, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0") = FD',
        'mmap(-1, 0x1000, READ|WRITE, PRIVATE|ANONYMOUS|POPULATE, 0x0) = 0',
        'ioctl(FD, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=READ|WRITE, vaddr=ADDRESS, iova=0x10000, size=0x1000}) = 0',
      ]),
    );
    expect(texts.join('\n')).toMatch(/VFIO_DEVICE_GET_INFO, \{argsz=24, flags=0, .*\} => \{argsz=24, flags=PCI, num_regions=9/);
  });

  it('names a request by the kind of file it is made on, and a refusal by its error', () => {
    const { kernel, calls } = traced();
    const container = kernel.open('/dev/vfio/vfio', O_RDWR);
    const map = vfio_iommu_type1_dma_map.create();
    map.argsz = 32;
    map.flags = 1;
    expect(kernel.ioctl(container, VFIO_IOMMU_MAP_DMA.number, map.bytes)).toBe(-errno.EINVAL);
    const call = calls.at(-1)!;
    expect(call).toMatchObject({ name: 'ioctl', fd: container, kind: 'container', request: VFIO_IOMMU_MAP_DMA, result: -errno.EINVAL });
    expect(call.before).toEqual(map.bytes);
    expect(call.text).toBe(`ioctl(${container}, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=READ, vaddr=NULL, iova=0, size=0}) = -1 EINVAL`);
    expect(kernel.ioctl(container, 0x1234)).toBe(-errno.EINVAL);
    expect(calls.at(-1)!.text).toBe(`ioctl(${container}, 0x1234) = -1 EINVAL`);
    kernel.close(container);
    expect(kernel.close(container)).toBe(-errno.EBADF);
    expect(calls.at(-1)!.kind).toBeUndefined();
  });

  it('shows what was read and written, and that watches and mappings end', () => {
    const { kernel, calls } = traced();
    const counter = kernel.eventfd(2, 0x800);
    kernel.read(counter, new Uint8Array(8));
    const watch = kernel.watch(counter, () => {});
    if (typeof watch === 'number') throw new Error(`watch answered ${watch}`);
    watch.stop();
    const memory = kernel.memfd('ring', 4096, 0);
    kernel.pwrite(memory, new Uint8Array([1, 0xab]), 16);
    const mapping = kernel.mmap(memory, 4096, 3, 1, 0);
    if (typeof mapping === 'number') throw new Error(`mmap answered ${mapping}`);
    expect(mapping.length).toBe(4096);
    mapping.unmap();
    kernel.files.readFile('/nowhere');
    kernel.close(memory);
    expect(calls.map(({ text }) => text)).toEqual([
      `eventfd(2, NONBLOCK) = ${counter}`,
      `read(${counter}, [02 00 00 00 00 00 00 00], 8) = 8`,
      `watch(${counter}) = 0`,
      'unwatch() = 0',
      `memfd("ring", 0x1000, 0) = ${memory}`,
      `pwrite(${memory}, [01 ab], 2, 0x10) = 2`,
      `mmap(${memory}, 0x1000, READ|WRITE, SHARED, 0x0) = 0`,
      'munmap(0x1000) = 0',
      'readFile("/nowhere") = -1 ENOENT',
      `close(${memory}) = 0`,
    ]);
    kernel.close(counter);
  });

  it('knows the fds that requests give', () => {
    const { kernel, calls } = traced();
    openDevice(kernel, address, { by: 'node' }).close();
    const kinds = new Set(calls.flatMap(({ name, kind }) => (name === 'ioctl' && kind !== undefined ? [kind] : [])));
    expect([...kinds].sort()).toEqual(['device', 'iommufd']);
    expect(calls.filter(({ name, request }) => name === 'ioctl' && request === undefined)).toEqual([]);
  });

  it('goes to standard error where nobody else takes it', () => {
    const lines: unknown[] = [];
    const spy = vi.spyOn(console, 'error').mockImplementation((line) => lines.push(line));
    trace(new Machine().kernel).eventfd(0, 0);
    spy.mockRestore();
    expect(lines).toEqual([expect.stringMatching(/^eventfd\(0, 0\) = \d+$/)]);
  });
});
