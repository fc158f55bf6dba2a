/** Each system call of the network card's driver fails once: a clear error, and nothing left. */
import { expect, it } from 'vitest';
import { openCards } from '../../examples/e1000e/ports.js';
import { failEach, Machine } from 'vfio/sim';
import { wiredModels } from './e1000e-cards.js';

it('failing calls leave nothing of the driver', { timeout: 120_000 }, async () => {
  const report = await failEach({
    machine: () => new Machine({ devices: wiredModels().map((model) => ({ model })) }),
    driver: async (kernel) => {
      using ports = await openCards(kernel, ['0000:00:03.0', '0000:00:04.0'], { ringLength: 16 });
      ports.cards[0]!.statistics();
      ports.cards[0]!.onLink(() => {});
      await ports.cards[1]!.frames({ timeoutMilliseconds: 1 });
    },
  });
  expect(report.problems).toEqual([]);
  expect(report.runs.length).toBeGreaterThan(30);
});
