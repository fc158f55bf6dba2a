/** The network card's driver on simulated cards with a cable between them. */
import { afterEach, describe, expect, it } from 'vitest';
import { Burst } from '../../examples/e1000e/burst.js';
import { Card } from '../../examples/e1000e/card.js';
import { openDevice, type OpenDevice } from 'vfio';
import { E1000e, Machine, wire } from 'vfio/sim';

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

const stations = ['52:54:00:00:00:01', '52:54:00:00:00:02'] as const;

async function pair(): Promise<[Card, Card]> {
  const models = stations.map((station) => new E1000e({ station }));
  wire(models[0]!, models[1]!);
  const { kernel } = new Machine({ devices: models.map((model) => ({ model })) });
  const cards = ['0000:00:03.0', '0000:00:04.0'].map((address) => {
    const opened = openDevice(kernel, address);
    closing.push(opened);
    return Card.open(opened, { ringLength: 64, promiscuous: true });
  });
  return (await Promise.all(cards)) as [Card, Card];
}

describe('two cards with a cable', () => {
  it('have a link and their stations', async () => {
    const cards = await pair();
    expect(cards.map(({ station }) => station)).toEqual(stations);
    expect(cards[0].link).toEqual({ up: true, megabits: 1000, fullDuplex: true });
  });

  it('exchange frames, each whole, in order, once', async () => {
    const [one, other] = await pair();
    const [sending, receiving] = [new Burst(32), new Burst(32)];
    const total = 5000;
    let [sent, received] = [0, 0];
    while (received < total) {
      while (sending.count < sending.capacity && sent + sending.count < total) {
        const block = one.pool.take();
        if (block === undefined) break;
        const number = sent + sending.count;
        const length = 60 + (number % 1400);
        block.bytes.fill(number & 0xff, 0, length);
        new DataView(block.bytes.buffer, block.bytes.byteOffset).setUint32(14, number);
        sending.add(block, length);
      }
      sent += one.transmit.send(sending);
      receiving.count = 0;
      other.receive.receive(receiving);
      for (let index = 0; index < receiving.count; index += 1) {
        const block = receiving.blocks[index]!;
        const number = new DataView(block.bytes.buffer, block.bytes.byteOffset).getUint32(14);
        expect([number, receiving.lengths[index], block.bytes[59 + (number % 1400)]]).toEqual([
          received,
          60 + (received % 1400),
          received & 0xff,
        ]);
        received += 1;
        other.pool.give(block);
      }
    }
    expect([one.transmit.pending, sent]).toEqual([0, total]);
    expect([one.statistics().sent, other.statistics().received]).toEqual([total, total]);
    expect(one.pool.free).toBe(one.pool.count - 64);
    expect(other.pool.free).toBe(other.pool.count - 64);
  });
});
