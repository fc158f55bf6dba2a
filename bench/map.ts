/** The simulated IOMMU with few and with many mappings: the cost of one more grows like log n. There is no C to it. */
import { Container } from 'vfio';
import { Edu, Machine } from 'vfio/sim';
import { beside } from './floor.js';

function filled(count: number): { container: Container; address: bigint } {
  const { kernel } = new Machine({ devices: [{ model: new Edu(), group: 0 }], dmaEntryLimit: 2 ** 31 });
  const container = Container.open(kernel);
  container.openGroup(0);
  container.setIommu();
  const { memory, size } = container.allocate(4096);
  const address = kernel.addressOf(memory);
  for (let page = 0; page < count; page += 1) container.map({ iova: 0x1_0000_0000n + BigInt(page) * 8192n, address, size: BigInt(size) });
  return { container, address };
}

const tasks = Object.fromEntries(
  [100, 10_000, 1_000_000].map((count) => {
    const { container, address } = filled(count);
    const iova = 0x1_0000_1000n + BigInt(count >> 1) * 8192n;
    return [
      `map and unmap among ${count}`,
      () => {
        container.map({ iova, address, size: 4096n });
        container.unmap({ iova, size: 4096n });
      },
    ];
  }),
);
await beside('The simulated IOMMU', new Map(), tasks, 10);
