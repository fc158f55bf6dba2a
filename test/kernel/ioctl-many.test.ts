/** Lists of requests through the kernels around a kernel: each is a call of its own there. */
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map } from '../../lib/abi/vfio/type1.js';
import { audit, fail, KernelError, openDevice, trace, type Kernel, type TracedCall } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const machine = (): Machine => new Machine({ devices: [{ model: new Edu() }] });
const page = 4096n;

/** Four pages mapped in one go. */
function mapFour(kernel: Kernel, by: 'group' | 'node'): { iovas: bigint[]; close: () => void } {
  const opened = openDevice(kernel, address, { by });
  const buffer = opened.dma.allocate(4096);
  const from = kernel.addressOf(buffer.memory);
  const list = Array.from({ length: 4 }, (_, index) => ({ iova: 0x20_0000n + BigInt(index) * page, address: from, size: page }));
  try {
    return { iovas: opened.dma.mapMany(list), close: () => opened.close() };
  } catch (error) {
    opened.close();
    throw error;
  }
}

describe.each(['group', 'node'] as const)('by %s', (by) => {
  it('a trace shows each request of a list', () => {
    const calls: TracedCall[] = [];
    const { close } = mapFour(
      trace(machine().kernel, (call) => calls.push(call)),
      by,
    );
    close();
    const maps = calls.filter(({ request }) => /MAP(_DMA)?$/.test(request?.name ?? '') && !/UNMAP/.test(request?.name ?? ''));
    expect(maps).toHaveLength(5);
    expect(maps.slice(1).map(({ text }) => /iova=(0x\w+)/.exec(text)?.[1])).toEqual(['0x200000', '0x201000', '0x202000', '0x203000']);
    expect(maps.every(({ result }) => result === 0)).toBe(true);
  });

  it('any one of a list can fail, and then nothing of it is held', () => {
    for (let nth = 2; nth <= 5; nth += 1) {
      const kernel = audit(
        fail(machine().kernel, {
          on: ({ request }) => request?.name === 'VFIO_IOMMU_MAP_DMA' || request?.name === 'IOMMU_IOAS_MAP',
          nth,
          errno: 'ENOMEM',
        }),
      );
      let thrown: unknown;
      try {
        mapFour(kernel, by);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(KernelError);
      expect([(thrown as KernelError).code, (thrown as KernelError).index]).toEqual(['ENOMEM', nth - 2]);
      expect(kernel.held()).toEqual([]);
    }
  });

  it('an account has each of a list until it is unmapped', () => {
    const kernel = audit(machine().kernel);
    const opened = openDevice(kernel, address, { by });
    const from = kernel.addressOf(opened.dma.allocate(4096).memory);
    const list = Array.from({ length: 4 }, (_, index) => ({ iova: 0x20_0000n + BigInt(index) * page, address: from, size: page }));
    const held = (): number => kernel.held().filter(({ what }) => what === 'IOVAs').length;
    opened.dma.mapMany(list);
    expect(held()).toBe(5);
    opened.dma.unmapMany(list.slice(1));
    expect(held()).toBe(2);
    opened.close();
  });

  it('what a call is told to may map memory of its own meanwhile', () => {
    const { kernel } = machine();
    let own: bigint | undefined;
    let inside = (): bigint | undefined => undefined;
    const opened = openDevice(
      trace(kernel, ({ request }) => {
        if (/(UNMAP|MAP)(_DMA)?$/.test(request?.name ?? '')) own ??= inside();
      }),
      address,
      { by },
    );
    const from = kernel.addressOf(opened.dma.allocate(4096).memory);
    own = undefined;
    inside = () => {
      inside = () => undefined;
      return opened.dma.map({ address: from, size: page });
    };
    const iova = opened.dma.map({ address: from, size: page });
    expect(own).not.toBe(iova);
    own = undefined;
    inside = () => {
      inside = () => undefined;
      return opened.dma.unmap({ iova: iova + 0x10_0000n, size: page });
    };
    opened.dma.map({ iova: iova + 0x10_0000n, address: from, size: page });
    expect(own).toBe(page);
    opened.close();
  });
});

describe('a trace of ioctlMany', () => {
  const traced = (): { kernel: Kernel; calls: TracedCall[] } => {
    const calls: TracedCall[] = [];
    return { kernel: trace(machine().kernel, (call) => calls.push(call)), calls };
  };

  it('answers as the kernel does', () => {
    const { kernel, calls } = traced();
    const results = new Int32Array(3).fill(9);
    expect(kernel.ioctlMany(0x3fff_ffff, 0x1234, new Uint8Array(24), results)).toBe(0);
    expect([...results]).toEqual([-errno.EBADF, 9, 9]);
    expect(calls).toHaveLength(1);
    expect(kernel.ioctlMany(0x3fff_ffff, 0x1234, new Uint8Array(0), new Int32Array(0))).toBe(0);
  });

  it('refuses what is no list of structs, with no call told', () => {
    const { kernel, calls } = traced();
    const { number } = VFIO_IOMMU_MAP_DMA;
    expect(() => kernel.ioctlMany(3, number, new Uint8Array(33), new Int32Array(2))).toThrow(
      'Expected 2 structs of one size for structs but received 33',
    );
    expect(() => kernel.ioctlMany(3, number, new Uint8Array(32), [] as unknown as Int32Array)).toThrow(
      'Expected an Int32Array for results',
    );
    const maps = vfio_iommu_type1_dma_map.array(new ArrayBuffer(64));
    maps.at(0).argsz = 32;
    maps.at(1).argsz = 64;
    expect(() => kernel.ioctlMany(3, number, maps.bytes, new Int32Array(2))).toThrow(/^Expected an argsz of at most 32 bytes/);
    expect(calls).toEqual([]);
  });
});
