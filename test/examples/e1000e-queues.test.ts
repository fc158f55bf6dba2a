/** The network card's example with two queues each way: in one thread, and as they are lent to others. */
import { describe, expect, it } from 'vitest';
import { Burst } from '../../examples/e1000e/burst.js';
import { drop } from '../../examples/e1000e/tools/drop.js';
import { Generator, Verifier } from '../../examples/e1000e/tools/generate.js';
import { dropInThreads, exchangeInThreads, pktgenInThreads } from '../../examples/e1000e/tools/in-threads.js';
import { LentPort } from '../../examples/e1000e/lent-port.js';
import { pktgen } from '../../examples/e1000e/tools/pktgen.js';
import type { Port } from '../../examples/e1000e/port.js';
import { audit, native, type Kernel } from 'vfio';
import { Capture, E1000e, Machine, wire } from 'vfio/sim';
import { openCards } from '../../examples/e1000e/ports.js';
import { open, wiredModels } from './e1000e-cards.js';

const never = new AbortController().signal;

/** Sends frames of a flow, burst by burst, and takes each as it comes. */
function run(from: Port, to: Port, flow: number, frames: number, size = 100): Verifier {
  const generator = new Generator(from, { size, flow });
  const verifier = new Verifier(to.pool, { isFlow: true });
  const [sending, receiving] = [new Burst(32), new Burst(32)];
  while (generator.made < frames || sending.count > 0) {
    generator.fill(sending, frames);
    from.transmit.send(sending);
    to.receive.receive(receiving);
    verifier.take(receiving);
  }
  return verifier;
}

describe('two queues in one thread', () => {
  it('send as one card, and get flows shared out over them, each in its order', async () => {
    const { one, other, pool } = await open(wiredModels(), { promiscuous: true, queues: 2 });
    expect([one.queues.length, one.queues[0]!.transmit]).toEqual([2, one.transmit]);
    const free = pool.free;
    for (const flow of [0, 1, 2, 3, 254, 255]) {
      for (const from of one.queues) {
        const to = other.queues[flow & 1]!;
        const { received, misplaced, damaged } = run(from, to, flow, 200, 60 + flow);
        expect([flow, received, misplaced, damaged, other.queues.some(({ receive }) => receive.ready)]).toEqual([flow, 200, 0, 0, false]);
      }
    }
    for (const { transmit } of one.queues) transmit.reclaim();
    expect(pool.free).toBe(free);
    expect(other.statistics()).toMatchObject({ received: 2400, missed: 0, crcErrors: 0 });
  });

  it('sleep each for itself', async () => {
    const { one, other } = await open(wiredModels(), { promiscuous: true, queues: 2 });
    const [first, second] = [other.queues[0]!, other.queues[1]!];
    const woken = second.frames({ timeoutMilliseconds: 5000 });
    const asleep = first.frames({ timeoutMilliseconds: 100 });
    const burst = new Burst(1);
    new Generator(one, { size: 60, flow: 1 }).fill(burst);
    one.queues[1]!.transmit.send(burst);
    expect([await one.queues[1]!.sent({ timeoutMilliseconds: 5000 }), await woken, await asleep]).toEqual([true, true, false]);
  });

  it('what is of no protocol comes to the first', async () => {
    const { one, other } = await open(wiredModels(), { promiscuous: true, queues: 2 });
    const burst = new Burst(1);
    new Generator(one, { size: 60 }).fill(burst);
    one.transmit.send(burst);
    expect(other.queues.map(({ receive }) => receive.ready)).toEqual([true, false]);
  });

  it('frames of a flow are right UDP', async () => {
    const [model, capture] = [new E1000e(), new Capture()];
    wire(model, capture);
    const { one } = await open([model]);
    const burst = new Burst(1);
    new Generator(one, { size: 61, flow: 7 }).fill(burst);
    one.transmit.send(burst);
    const header = 'ffffffffffff525400123456' + '0800' + '4500002f000000004011' + '65b9' + '0a0000070affffff' + '00090009001b0000';
    expect(Buffer.from(capture.received[0]!.bytes.subarray(0, 42)).toString('hex')).toBe(header);
    expect(() => new Generator(one, { size: 60, flow: 256 })).toThrow('for flow');
  });

  it.each([0, 3, 1.5, NaN])('there are not %d', async (queues) => {
    await expect(open([new E1000e()], { queues: queues as 1 | 2 })).rejects.toThrow('Expected an integer from 1 to 2 for queues');
  });
});

describe('queues that are lent', () => {
  const openLent = async (kernel: Kernel): Promise<{ ports: LentPort[]; close(): void }> => {
    const opened = await openCards(kernel, ['0000:00:03.0', '0000:00:04.0'], { ringLength: 64, promiscuous: true, queues: 2, lent: true });
    const ports = opened.cards.flatMap((card) => card.lend(256)).map((lent) => LentPort.open(kernel, structuredClone(lent)));
    const close = (): void => {
      for (const port of ports) port.close();
      opened[Symbol.dispose]();
    };
    return { ports, close };
  };

  it('send and receive, each with its own memory and registers, and leave nothing', async () => {
    const { kernel } = new Machine({ devices: wiredModels().map((model) => ({ model })) });
    const audited = audit(kernel);
    const { ports, close } = await openLent(audited);
    const free = ports.map(({ pool }) => pool.free);
    for (const flow of [0, 1]) {
      const [from, to] = [ports[flow]!, ports[2 + flow]!];
      const { received, misplaced, damaged } = run(from, to, flow, 1000);
      expect([received, misplaced, damaged]).toEqual([1000, 0, 0]);
      const stop = new AbortController();
      const dropped = drop(to, stop.signal);
      expect(await pktgen(from, { frames: 100, flow, signal: never })).toMatchObject({ sent: 100 });
      await new Promise((resolve) => setTimeout(resolve, 50));
      stop.abort();
      expect(await dropped).toBe(100);
      expect(await to.frames({ timeoutMilliseconds: 5 })).toBe(false);
    }
    expect(ports.map(({ pool }) => pool.free)).toEqual(free);
    close();
    expect(audited.held()).toEqual([]);
  });

  it('are not those of the thread that has the card', async () => {
    const { one } = await open([new E1000e()], { lent: true });
    expect(one.queues).toEqual([]);
    expect(() => one.transmit).toThrow('The queues of 0000:00:03.0 are lent: other threads drive them');
    expect(one.link.up).toBe(true);
  });

  it('are of a kernel that all threads have: one that has not says so, and is over', { timeout: 60_000 }, async () => {
    const { one, other } = await open(wiredModels(), { queues: 2, lent: true });
    expect(() => LentPort.open(native(), one.lend(128)[0]!)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    const options = { frames: 10, signal: never };
    await expect(exchangeInThreads(one, other, options)).rejects.toThrow('EBADF');
    await expect(pktgenInThreads(one, options)).rejects.toThrow('EBADF');
    await expect(dropInThreads(one, never)).rejects.toThrow('EBADF');
    await expect(exchangeInThreads(one, other, { ...options, frames: 0 })).rejects.toThrow('for frames');
    await expect(pktgenInThreads(one, { ...options, frames: 1 })).rejects.toThrow('Expected an integer from 2 on for frames');
    await expect(pktgenInThreads(one, { ...options, rate: 0 })).rejects.toThrow('for rate');
  });

  it('need blocks for their ring', async () => {
    const { one, machine } = await open([new E1000e()], { lent: true });
    const audited = audit(machine.kernel);
    expect(() => LentPort.open(audited, one.lend(62)[0]!)).toThrow('The pool has too few blocks for a ring of 64');
    expect(audited.held()).toEqual([]);
  });
});
