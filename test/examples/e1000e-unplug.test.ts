/** The network card's example when its card goes away, and when it is closed. */
import { expect, it } from 'vitest';
import { bridge } from '../../examples/e1000e/tools/bridge.js';
import { Burst } from '../../examples/e1000e/burst.js';
import { exchange } from '../../examples/e1000e/tools/exchange.js';
import { Generator } from '../../examples/e1000e/tools/generate.js';
import { openCards } from '../../examples/e1000e/ports.js';
import { Station } from '../../examples/e1000e/station.js';
import { Machine } from 'vfio/sim';
import { open, wiredModels, type Cards } from './e1000e-cards.js';

const never = new AbortController().signal;
const busy: Readonly<Record<string, (cards: Cards) => Promise<unknown>>> = {
  'an exchange': ({ one, other }) => exchange(one, other, { frames: 1e9 }),
  'a bridge': ({ one, other }) => bridge(one, other, never),
  'who sleeps for frames': ({ other }) => other.frames(),
  'a station that answers': ({ other }) => new Station(other, '10.0.0.1').answer(never),
  'a ping': ({ other }) => new Station(other, '10.0.0.1').ping('10.0.0.2', { timeoutMilliseconds: 60_000 }),
};

it.each(Object.entries(busy))('%s ends when the card is pulled out, and nothing is left of it', async (_what, run) => {
  const cards = await open(wiredModels());
  const { kernel } = cards.machine;
  const running = run(cards);
  const gone = new Promise((resolve) => setTimeout(resolve, 20)).then(() => cards.machine.device('0000:00:04.0').unplug());
  await expect(running).rejects.toMatchObject({
    code: 'ERR_CARD_GONE',
    message: 'The card 0000:00:04.0 is gone: its registers read as ones',
  });
  cards[Symbol.dispose]();
  await gone;
  expect(kernel.files.readdir('/sys/bus/pci/devices')).toEqual(['0000:00:03.0']);
});

it('a card that hangs is found out without an interrupt, by who sleeps', async () => {
  const { other, machine } = await open(wiredModels());
  const sleeping = other.frames();
  await new Promise(setImmediate);
  machine.device('0000:00:04.0').silence();
  await expect(sleeping).rejects.toMatchObject({ code: 'ERR_CARD_GONE' });
});

it('a card that is gone when it is opened is an error, and nothing is left', async () => {
  const machine = new Machine({ devices: wiredModels().map((model) => ({ model })) });
  machine.device('0000:00:04.0').silence();
  await expect(openCards(machine.kernel, ['0000:00:03.0', '0000:00:04.0'])).rejects.toMatchObject({ code: 'ERR_CARD_GONE' });
  machine.device('0000:00:04.0').mend();
  const ports = await openCards(machine.kernel, ['0000:00:03.0', '0000:00:04.0']);
  ports[Symbol.dispose]();
});

it('a closed card takes no frame, sends none, and may be closed again', async () => {
  const models = wiredModels();
  const { one, other, machine } = await open(models);
  other.close();
  other.close();
  const sending = new Burst(32);
  new Generator(one, { size: 60 }).fill(sending);
  one.transmit.send(sending);
  expect([other.receive.ready, machine.faults]).toEqual([false, []]);
  expect(other.registers.RCTL.read() & 2).toBe(0);
});
