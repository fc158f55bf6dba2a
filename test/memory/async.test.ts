/** Mapping on another thread: what it gives is what `map` and `allocate` give, whatever is closed or fails meanwhile. */
import { afterEach, describe, expect, it } from 'vitest';
import { IOMMU_DESTROY, IOMMU_IOAS_MAP, VFIO_IOMMU_MAP_DMA } from '../../lib/abi/index.js';
import {
  audit,
  ClosedError,
  Container,
  DmaPool,
  fail,
  Iommufd,
  KernelError,
  openDevice,
  trace,
  type AddressSpace,
  type AuditedKernel,
  type OpenWay,
} from '../../lib/index.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const page = 0x1000n;
const large = 0x20_0000n;
const address = '0000:00:03.0';
const ways: readonly OpenWay[] = ['group', 'node', 'compatibility'];

/** Reads one byte as a device does. */
class Reader extends Edu {
  at(iova: bigint): number | undefined {
    const byte = new Uint8Array(1);
    return this.dma.read(iova, byte) ? byte[0] : undefined;
  }
}

describe.each(ways)('by the %s', (by) => {
  const closing: { close(): void }[] = [];
  let model: Reader;
  let kernel: AuditedKernel;

  function open(around: (kernel: Kernel) => Kernel = (same) => same): { readonly space: AddressSpace; close(): void } {
    model = new Reader();
    kernel = audit(around(new Machine({ devices: [{ model }] }).kernel));
    const opened = openDevice(kernel, address, { by });
    opened.device.enableBusMaster();
    closing.push(opened);
    return { space: opened.dma, close: () => opened.close() };
  }
  afterEach(() => {
    closing.splice(0).forEach((each) => each.close());
    expect(kernel.held()).toEqual([]);
  });
  const held = (): string[] => kernel.held().map(({ what }) => what);

  it('allocates what a device and this process share', async () => {
    const { space } = open();
    const buffer = await space.allocateAsync(5000);
    expect([buffer.size, buffer.iova % page, buffer.pageSize]).toEqual([8192, 0n, page]);
    buffer.bytes[8191] = 7;
    expect(model.at(buffer.iova + 8191n)).toBe(7);
    buffer.close();
    expect(model.at(buffer.iova)).toBeUndefined();
    expect(held()).not.toContain('IOVAs');
  });

  it('of huge pages, shared, low, aligned, only to be read', async () => {
    const { space } = open();
    const buffer = await space.allocateAsync(1, { pageSize: large, shared: true, below: 0xfff_ffffn, alignment: 2n * large, write: false });
    expect([buffer.size, buffer.iova % (2n * large), buffer.iova < 0xfff_ffffn]).toEqual([Number(large), 0n, true]);
    expect(buffer.share().size).toBe(Number(large));
    const next = await space.allocateAsync(1, { alignment: 2n * large });
    expect([next.iova % (2n * large), next.iova]).not.toEqual([0n, buffer.iova]);
  });

  it('maps where it is told, and else where it is free', async () => {
    const { space } = open();
    const { memory } = space.allocate(4096);
    const from = kernel.addressOf(memory);
    expect(await space.mapAsync({ iova: large, address: from, size: page })).toBe(large);
    const iovas = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        space.mapAsync({ address: from, size: page, ...(index % 2 === 0 && { below: 0xfff_ffffn }) }),
      ),
    );
    expect(new Set([...iovas, large]).size).toBe(21);
    await expect(space.mapAsync({ iova: large, address: from, size: page })).rejects.toMatchObject({ code: 'EEXIST' });
    for (const iova of [large, ...iovas]) expect(space.unmap({ iova, size: page })).toBe(page);
  });

  it('goes on behind what the caller mapped itself', async () => {
    const { space } = open();
    const from = kernel.addressOf(space.allocate(4096).memory);
    const first = await space.mapAsync({ address: from, size: page, below: 0xffff_ffffn });
    space.unmap({ iova: first, size: page });
    space.map({ iova: first, address: from, size: page });
    const second = await space.mapAsync({ address: from, size: page, below: 0xffff_ffffn });
    expect(second).toBeGreaterThan(first);
  });

  it('refuses what map() refuses, and takes nothing', async () => {
    const { space } = open();
    const from = kernel.addressOf(space.allocate(4096).memory);
    const before = held();
    await expect(space.mapAsync({ address: from, size: page, alignment: 3n })).rejects.toThrow('alignment');
    await expect(space.mapAsync({ address: from, size: page, below: 0xfffn })).rejects.toThrow(
      'a size for which an IOVA up to 0xfff is free',
    );
    await expect(space.mapAsync({ address: from + 1n, size: page })).rejects.toBeInstanceOf(KernelError);
    await expect(space.mapAsync({ address: from, size: page, read: false, write: false })).rejects.toThrow();
    await expect(space.allocateAsync(0)).rejects.toThrow('size');
    await expect(space.allocateAsync(4096, { alignment: -1n })).rejects.toThrow('alignment');
    await expect(space.allocateAsync(4096, { below: 0xfffn })).rejects.toThrow('a size for which an IOVA up to 0xfff is free');
    expect(held()).toEqual(before);
  });

  it('takes nothing where the kernel refuses', async () => {
    for (const made of [false, true]) {
      const { space, close } = open((real) =>
        fail(real, {
          on: ({ request }) => request?.name === VFIO_IOMMU_MAP_DMA.name || request?.name === IOMMU_IOAS_MAP.name,
          errno: 'ENOMEM',
          nth: 1,
          made,
        }),
      );
      const before = held();
      await expect(space.allocateAsync(4096)).rejects.toMatchObject({ code: 'ENOMEM' });
      expect(held()).toEqual(before);
      const again = await space.allocateAsync(4096);
      expect(again.size).toBe(4096);
      close();
    }
  });

  it('takes nothing where there is no memory; a kernel that cannot bring pages in ahead is no hindrance', async () => {
    const { space, close } = open((real) => fail(real, { on: 'madvise', errno: 'ENOMEM' }));
    const before = held();
    await expect(space.allocateAsync(4096)).rejects.toMatchObject({ code: 'ENOMEM', syscall: 'madvise' });
    expect(held()).toEqual(before);
    close();
    const older = open((real) => fail(real, { on: 'madvise', errno: 'EINVAL' }));
    expect((await older.space.allocateAsync(5000)).bytes.every((byte) => byte === 0)).toBe(true);
  });

  it('closed meanwhile, it rejects and nothing is left', async () => {
    const { space, close } = open();
    const from = kernel.addressOf(space.allocate(4096).memory);
    const mapping = space.mapAsync({ address: from, size: page });
    const placed = space.mapAsync({ address: from, size: page, below: 0xfff_ffffn });
    const buffer = space.allocateAsync(4096);
    close();
    for (const each of [mapping, placed, buffer]) await expect(each).rejects.toBeInstanceOf(ClosedError);
    expect(held()).toEqual([]);
    await expect(space.mapAsync({ address: from, size: page })).rejects.toBeInstanceOf(ClosedError);
    await expect(space.allocateAsync(4096)).rejects.toBeInstanceOf(ClosedError);
  });

  it('whole pools, too', async () => {
    const { space } = open();
    const pool = await DmaPool.createAsync(space, { blockSize: 2048, count: 100 });
    expect(pool.free).toBe(100);
    await expect(DmaPool.createAsync(space, { blockSize: 0, count: 1 })).rejects.toThrow('blockSize');
  });
});

it('an address space that is closed while something is mapped in it is destroyed after that', async () => {
  const destroyed: number[] = [];
  const kernel = audit(
    trace(new Machine({ devices: [{ model: new Edu() }] }).kernel, ({ request, before }) => {
      if (request?.name === IOMMU_DESTROY.name) destroyed.push(before?.[4] ?? -1);
    }),
  );
  const iommufd = Iommufd.open(kernel);
  const ioas = iommufd.createIoas();
  const buffer = iommufd.createIoas().allocate(4096);
  const memory = { address: kernel.addressOf(buffer.memory), size: page };
  const maps = [ioas.mapAsync(memory), ioas.mapAsync({ ...memory, below: 0xfff_ffffn }), ioas.allocateAsync(4096)];
  ioas.close();
  expect(destroyed).toEqual([]);
  for (const result of await Promise.allSettled(maps)) expect(result).toMatchObject({ reason: expect.any(ClosedError) as unknown });
  expect(destroyed).toEqual([ioas.id]);
  expect(kernel.held().filter(({ what }) => what === 'object' || what === 'IOVAs')).toHaveLength(2);
  const other = iommufd.createIoas();
  const gone = [other.mapAsync(memory), other.allocateAsync(4096)];
  iommufd.close();
  for (const result of await Promise.allSettled(gone)) expect(result).toMatchObject({ reason: expect.any(ClosedError) as unknown });
  expect(kernel.held()).toEqual([]);
});

it('what a container over /dev/iommu was mapping when it was closed is not left there', async () => {
  const kernel = audit(new Machine({ devices: [{ model: new Edu() }] }).kernel);
  const iommufd = Iommufd.open(kernel);
  const container = Container.over(iommufd);
  container.openGroup(0);
  container.setIommu();
  const buffer = iommufd.createIoas().allocate(4096);
  const memory = { address: kernel.addressOf(buffer.memory), size: page };
  const late = [container.mapAsync(memory), container.allocateAsync(4096)];
  expect(kernel.held().filter(({ what }) => what === 'IOVAs')).toHaveLength(1);
  container.close();
  for (const result of await Promise.allSettled(late)) expect(result).toMatchObject({ reason: expect.any(ClosedError) as unknown });
  expect(kernel.held().filter(({ what }) => what === 'IOVAs')).toHaveLength(1);
  iommufd.close();
  expect(kernel.held()).toEqual([]);
});
