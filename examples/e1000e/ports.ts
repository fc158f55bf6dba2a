import { native, openDevice, type OpenDevice } from 'vfio';
import { E1000e, Machine, wire } from 'vfio/sim';
import { Card, type CardOptions } from './card.js';

/** Cards that were opened, to be closed together. */
export interface Ports extends Disposable {
  readonly cards: readonly Card[];
}

/** Two simulated cards with a cable between them, or the real ones at these addresses. */
export async function openPorts(addresses: readonly string[], options: CardOptions): Promise<Ports> {
  const kernel = addresses.length > 0 ? native() : simulatedPair();
  const opened: OpenDevice[] = [];
  const close = (): void => opened.splice(0).forEach((each) => each.close());
  try {
    for (const address of addresses.length > 0 ? addresses : simulatedAddresses) opened.push(openDevice(kernel, address));
    // Together: each waits for its link, which takes both ends.
    return { cards: await Promise.all(opened.map((each) => Card.open(each, options))), [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

const simulatedAddresses = ['0000:00:03.0', '0000:00:04.0'];

function simulatedPair() {
  const [one, other] = [new E1000e({ station: '52:54:00:00:00:01' }), new E1000e({ station: '52:54:00:00:00:02' })];
  wire(one, other);
  return new Machine({ devices: [{ model: one }, { model: other }] }).kernel;
}
