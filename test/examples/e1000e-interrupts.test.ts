/** Sleeping until the network card interrupts. */
import { expect, it } from 'vitest';
import { bridge } from '../../examples/e1000e/tools/bridge.js';
import { Burst } from '../../examples/e1000e/burst.js';
import type { Link } from '../../examples/e1000e/card.js';
import { Generator } from '../../examples/e1000e/tools/generate.js';
import { Capture, E1000e, wire, writePcap } from 'vfio/sim';
import { open, stationOf, wiredModels } from './e1000e-cards.js';

const long = { timeoutMilliseconds: 10_000 };

it('frames wake who sleeps for them, again and again', async () => {
  const { one, other, pool } = await open(wiredModels());
  const [generator, sending, receiving] = [new Generator(one, { size: 60 }), new Burst(1), new Burst(32)];
  for (let round = 1; round <= 5; round += 1) {
    const sleeping = other.frames(long);
    await new Promise((resolve) => setTimeout(resolve, 5));
    generator.fill(sending, round);
    one.transmit.send(sending);
    expect(await sleeping).toBe(true);
    expect(other.receive.receive(receiving)).toBe(1);
    receiving.giveBack(pool);
  }
  expect(await other.frames({ timeoutMilliseconds: 20 })).toBe(false);
});

it('what came before one sleeps is not slept over', async () => {
  const { one, other } = await open(wiredModels());
  const sending = new Burst(1);
  new Generator(one, { size: 60 }).fill(sending);
  one.transmit.send(sending);
  expect(await other.frames(long)).toBe(true);
  expect(await one.sent(long)).toBe(true);
});

it('all who sleep are woken', async () => {
  const { one, other } = await open(wiredModels());
  const sleeping = [other.frames(long), other.frames(long)];
  await new Promise(setImmediate);
  const sending = new Burst(1);
  new Generator(one, { size: 60 }).fill(sending);
  one.transmit.send(sending);
  expect(await Promise.all(sleeping)).toEqual([true, true]);
});

it('a signal ends sleep, also one from before', async () => {
  const { one } = await open(wiredModels());
  expect(await one.frames({ signal: AbortSignal.timeout(20) })).toBe(false);
  expect(await one.frames({ signal: AbortSignal.abort() })).toBe(false);
});

it('a lost interrupt delays frames, and no more', async () => {
  const { one, other, machine } = await open(wiredModels());
  machine.device('0000:00:04.0').loseInterrupts();
  const sleeping = other.frames(long);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const sending = new Burst(1);
  new Generator(one, { size: 60 }).fill(sending);
  one.transmit.send(sending);
  expect(await sleeping).toBe(true);
});

it('closing a card ends sleep with an error', async () => {
  const { one } = await open(wiredModels());
  const sleeping = one.frames(long);
  await new Promise(setImmediate);
  one.close();
  await expect(sleeping).rejects.toMatchObject({ code: 'ERR_VFIO_CLOSED' });
});

it('a link that goes and comes is told of', { timeout: 10_000 }, async () => {
  const models = wiredModels();
  const { one } = await open(models);
  const links: Link[] = [];
  const both = new Promise<void>((resolve) => one.onLink((link) => links.push(link) === 2 && resolve()));
  models[0].plugged = false;
  setTimeout(() => (models[0].plugged = true), 50);
  await both;
  expect(links.map(({ up }) => up)).toEqual([false, true]);
});

it('a bridge sleeps between frames and forwards each, both ways', async () => {
  const models = [0, 1].map((index) => new E1000e({ station: stationOf(index) }));
  const frames = Array.from({ length: 20 }, (_, index) => ({ bytes: new Uint8Array(60).fill(index), time: 0n }));
  const ends = models.map(() => new Capture(writePcap(frames)));
  models.forEach((model, index) => wire(model, ends[index]!));
  const { one, other, pool } = await open(models, { promiscuous: true });
  const free = pool.free;
  const stop = new AbortController();
  const bridging = bridge(one, other, stop.signal);
  for (let round = 1; round <= 3; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const end of ends) end.play();
    while (ends.some(({ received }) => received.length < round * frames.length)) await new Promise(setImmediate);
  }
  stop.abort();
  expect(await bridging).toEqual([60, 60]);
  for (const { transmit } of [one, other]) transmit.reclaim();
  expect(pool.free).toBe(free);
});
