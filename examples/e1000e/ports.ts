import { Container, DmaPool, findDevice, native, type Kernel } from 'vfio';
import { E1000e, Machine, wire } from 'vfio/sim';
import { Card, type CardOptions } from './card.js';
import { blockSize } from './layout.js';

/** Cards in one address space, with one pool, to be closed together. */
export interface Ports extends Disposable {
  readonly cards: readonly Card[];
  readonly pool: DmaPool;
}

const blocks = 4096;

/** Two simulated cards with a cable between them, or the real ones at these addresses. */
export async function openPorts(addresses: readonly string[], options: CardOptions): Promise<Ports> {
  if (addresses.length > 0) return openCards(native(), addresses, options);
  const [one, other] = [new E1000e({ station: '52:54:00:00:00:01' }), new E1000e({ station: '52:54:00:00:00:02' })];
  wire(one, other);
  const { kernel } = new Machine({ devices: [{ model: one }, { model: other }] });
  return openCards(kernel, ['0000:00:03.0', '0000:00:04.0'], options);
}

export async function openCards(kernel: Kernel, addresses: readonly string[], options: CardOptions = {}): Promise<Ports> {
  const container = Container.open(kernel);
  const cards: Card[] = [];
  try {
    const numbers = new Set(addresses.map((address) => groupOf(kernel, address)));
    const groups = new Map([...numbers].map((number) => [number, container.openGroup(number)]));
    container.setIommu();
    const pool = DmaPool.create(container, { blockSize, count: blocks, pageSize: [0x20_0000n, 0x1000n] });
    const devices = addresses.map((address) => groups.get(groupOf(kernel, address))!.openDevice(address));
    // Together: each waits for its link, which takes both ends. And to the end of all, so that none is left under way.
    const opened = await Promise.allSettled(devices.map((device) => Card.open(device, container, pool, options)));
    cards.push(...opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
    const failed = opened.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return { cards, pool, [Symbol.dispose]: () => close(cards, container) };
  } catch (error) {
    close(cards, container);
    throw error;
  }
}

/** The cards first, as they use the memory; and the memory whatever happens. */
function close(cards: readonly Card[], container: Container): void {
  const [card, ...others] = cards;
  try {
    card?.close();
  } finally {
    if (card === undefined) container.close();
    else close(others, container);
  }
}

function groupOf(kernel: Kernel, address: string): number {
  const { group } = findDevice(kernel, address);
  if (group === undefined) throw new Error(`${address} has no IOMMU group`);
  return group;
}
