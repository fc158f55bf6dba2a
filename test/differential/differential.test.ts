/** The machinery of the differential runs, on simulated kernels alone: the runs against real ones are the lab's. */
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_DEVICE_GET_IRQ_INFO } from '../../lib/abi/vfio/irq.js';
import { VFIO_IOMMU_MAP_DMA } from '../../lib/abi/vfio/type1.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { simulatedTwice } from './kernels.js';
import { describe as describeReport, run } from './report.js';

const seed = Number(process.env['SEED'] ?? 1);

describe.each(['6.12', '7.3'] as const)('on Linux %s', (version) => {
  it.each(['intel', 'amd', 'virtio', 'none'] as const)(`a simulated %s machine answers as another one does, seed ${seed}`, (iommu) => {
    const report = run(simulatedTwice(version, iommu), { seed, calls: 1500, most: 1 });
    expect(describeReport(report)).toContain('0 differences');
    expect(report.calls).toBeGreaterThanOrEqual(1500);
  });
});

/** A kernel that is wrong about one request. */
function broken(request: number, wrong: (argument: Uint8Array) => boolean, answer: (result: number, argument: Uint8Array) => number) {
  return (kernel: Kernel): Kernel =>
    new Proxy(kernel, {
      get(target, name: keyof Kernel) {
        if (name !== 'ioctl') return typeof target[name] === 'function' ? target[name].bind(target) : target[name];
        return (fd: number, number: number, argument?: number | Uint8Array) => {
          const result = target.ioctl(fd, number, argument);
          return number === request && argument instanceof Uint8Array && wrong(argument) ? answer(result, argument) : result;
        };
      },
    });
}

const word = (argument: Uint8Array, at: number): number => new DataView(argument.buffer).getUint32(at, true);

describe('a kernel that is wrong is found, and the sequence that shows it made as short as can be:', () => {
  it('another errno', () => {
    const wrong = broken(
      VFIO_IOMMU_MAP_DMA.number,
      () => true,
      (result) => (result === -errno.EEXIST ? -errno.EBUSY : result),
    );
    const { found } = run(simulatedTwice('6.12', 'intel', wrong), { seed, calls: 20_000, most: 1 });
    // A mediated device, if it was found on one, has to be made before.
    const needed = found[0]?.operations.filter(({ call }) => call !== 'create');
    expect(needed?.map((operation) => (operation.call === 'ioctl' ? operation.request : operation.call))).toEqual([
      'open',
      'open',
      'VFIO_GROUP_SET_CONTAINER',
      'VFIO_SET_IOMMU',
      'VFIO_IOMMU_MAP_DMA',
      'VFIO_IOMMU_MAP_DMA',
    ]);
    expect(found[0]?.left.result).toBe('EEXIST');
    expect(found[0]?.right.result).toBe('EBUSY');
  });

  it('another byte', () => {
    const wrong = broken(
      VFIO_DEVICE_GET_IRQ_INFO.number,
      (argument) => word(argument, 8) === 1,
      (result, argument) => {
        argument[12] = 7;
        return result;
      },
    );
    const { found } = run(simulatedTwice('7.3', 'amd', wrong), { seed, calls: 20_000, most: 1 });
    const last = found[0]?.operations.at(-1);
    expect(last).toMatchObject({ call: 'ioctl', request: VFIO_DEVICE_GET_IRQ_INFO.name, fields: { index: 1 } });
    expect(found[0]?.operations.length).toBeLessThanOrEqual(6);
  });
});
