/** Each system call of the drivers fails once: a clear error, and nothing left. */
import { expect, it } from 'vitest';
import { openCards } from '../../examples/e1000e/ports.js';
import { Controller } from '../../examples/nvme/controller.js';
import { openDevice } from 'vfio';
import { E1000e, failEach, Machine, Nvme, wire } from 'vfio/sim';

it('of the NVMe driver', { timeout: 120_000 }, async () => {
  const report = await failEach({
    machine: () => new Machine({ devices: [{ model: new Nvme({ size: 1 << 20 }) }] }),
    driver: async (kernel) => {
      using opened = openDevice(kernel, '0000:00:03.0');
      const controller = await Controller.open(opened);
      const buffer = opened.dma.allocate(8192);
      await controller.namespaces[0]!.write(0n, 16, buffer);
      await controller.namespaces[0]!.read(0n, 16, buffer);
      await controller.shutdown();
    },
  });
  expect(report.problems).toEqual([]);
  expect(report.runs.length).toBeGreaterThan(30);
});

it("of the network card's driver", { timeout: 120_000 }, async () => {
  const report = await failEach({
    machine: () => {
      const models = ['52:54:00:00:00:01', '52:54:00:00:00:02'].map((station) => new E1000e({ station }));
      wire(models[0]!, models[1]!);
      return new Machine({ devices: models.map((model) => ({ model })) });
    },
    driver: async (kernel) => {
      using ports = await openCards(kernel, ['0000:00:03.0', '0000:00:04.0'], { ringLength: 16 });
      ports.cards[0]!.statistics();
    },
  });
  expect(report.problems).toEqual([]);
  expect(report.runs.length).toBeGreaterThan(30);
});
