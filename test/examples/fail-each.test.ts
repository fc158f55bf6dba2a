/** Each system call of the network card's driver fails once: a clear error, and nothing left. */
import { expect, it } from 'vitest';
import { openCards } from '../../examples/e1000e/ports.js';
import { E1000e, failEach, Machine, wire } from 'vfio/sim';

it('with two ports', { timeout: 120_000 }, async () => {
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
