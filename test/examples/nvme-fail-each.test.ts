/** Each system call of the NVMe driver fails once: a clear error, and nothing left. */
import { expect, it } from 'vitest';
import { Controller } from '../../examples/nvme/controller.js';
import { openDevice } from 'vfio';
import { failEach, Machine, Nvme } from 'vfio/sim';

it.each(['interrupts', 'polling'] as const)('with %s', { timeout: 120_000 }, async (completion) => {
  const report = await failEach({
    machine: () => new Machine({ devices: [{ model: new Nvme({ size: 1 << 20 }) }] }),
    driver: async (kernel) => {
      using opened = openDevice(kernel, '0000:00:03.0');
      await using controller = await Controller.open(opened, { completion, depth: 8 });
      const buffer = opened.dma.allocate(8192);
      await controller.namespaces[0]!.write(0n, 16, buffer);
      await controller.namespaces[0]!.read(0n, 16, buffer);
    },
  });
  expect(report.problems).toEqual([]);
  expect(report.runs.length).toBeGreaterThan(30);
});
