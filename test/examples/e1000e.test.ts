/** The network card's driver on simulated cards with a cable between them. */
import { describe, expect, it } from 'vitest';
import { exchange } from '../../examples/e1000e/tools/exchange.js';
import { Forwarder } from '../../examples/e1000e/forward.js';
import { Capture, E1000e, wire, writePcap } from 'vfio/sim';
import { open, stationOf, wiredModels } from './e1000e-cards.js';

const pair = (): ReturnType<typeof open> => open(wiredModels(), { promiscuous: true });

describe('two cards with a cable', () => {
  it('have a link and their stations', async () => {
    const { cards, one } = await pair();
    expect(cards.map(({ station }) => station)).toEqual([stationOf(0), stationOf(1)]);
    expect(one.link).toEqual({ up: true, megabits: 1000, fullDuplex: true });
  });

  it('exchange frames, each whole, in order, once', async () => {
    const { one, other, pool } = await pair();
    const free = pool.free;
    const frames = 5000;
    for (const size of [60, 1514]) {
      const exchanged = await exchange(one, other, { frames, size });
      expect(exchanged).toMatchObject({ sent: frames, received: frames, misplaced: 0, damaged: 0 });
    }
    expect([one.statistics().sent, other.statistics().received]).toEqual([2 * frames, 2 * frames]);
    expect([one.transmit.pending, pool.free]).toEqual([0, free]);
  });

  it('say what was lost, a second after the last that came', async () => {
    const models = [0, 1].map((index) => new E1000e({ station: stationOf(index) }));
    let sent = 0;
    // Of ten frames one is lost on the way.
    models[0]!.sendTo({ receive: (frame) => (sent += 1) % 10 !== 0 && models[1]!.receive(frame), sendTo() {} });
    const { one, other, pool } = await open(models, { promiscuous: true });
    const free = pool.free;
    expect(await exchange(one, other, { frames: 1000 })).toMatchObject({ sent: 1000, received: 900, damaged: 0 });
    expect([one.transmit.pending, pool.free]).toEqual([0, free]);
  });

  it('end early when they are told to, and give all blocks back', async () => {
    const { one, other, pool } = await pair();
    const free = pool.free;
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    const { received, misplaced, damaged } = await exchange(one, other, { frames: 1e9, signal: stop.signal });
    expect([received > 0, misplaced, damaged]).toEqual([true, 0, 0]);
    expect([one.transmit.pending, pool.free]).toEqual([0, free]);
  });

  it.each([{ frames: 0 }, { frames: NaN }, { frames: 1, size: 59 }, { frames: 1, burst: 1.5 }])('refuse %o', async (options) => {
    const { one, other } = await pair();
    await expect(exchange(one, other, options)).rejects.toThrow(RangeError);
  });
});

it('frames are forwarded from one port to another, in their order, without a copy', async () => {
  const models = [0, 1].map((index) => new E1000e({ station: stationOf(index) }));
  const frames = Array.from({ length: 200 }, (_, index) => new Uint8Array(60 + index).fill(index));
  const source = new Capture(writePcap(frames.map((bytes) => ({ bytes, time: 0n }))));
  const sink = new Capture();
  wire(models[0]!, source);
  wire(models[1]!, sink);
  const { one, other, pool } = await open(models, { promiscuous: true });
  const free = pool.free;
  const forwarder = new Forwarder(one, other);
  source.play();
  while (forwarder.forwarded < frames.length) if (forwarder.turn() === 0) await new Promise(setImmediate);
  expect(sink.received.map(({ bytes }) => [...bytes])).toEqual(frames.map((bytes) => [...bytes]));
  other.transmit.reclaim();
  expect(pool.free).toBe(free);
});

it('the card counts, and no number is lost when somebody else asks', async () => {
  const { one, other } = await pair();
  await exchange(one, other, { frames: 100, size: 60 });
  other.statistics();
  await exchange(one, other, { frames: 100, size: 1514 });
  const sent = { sent: 200, sentBroadcast: 200, sentMulticast: 0, collisions: 0 };
  expect(one.statistics()).toMatchObject({ ...sent, received: 0, receivedBytes: 0 });
  const received = { received: 200, receivedBroadcast: 200, receivedMulticast: 0, receivedBytes: 100 * (64 + 1518) };
  expect(other.statistics()).toMatchObject({ ...received, missed: 0, crcErrors: 0, sent: 0, sentBytes: 0 });
});
