/** One vector, on the real kernel's eventfds and on the simulated ones; and many. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { aroundKernel } from '../../lib/kernel/around.js';
import { Interrupt, native, openDevice, Resource } from '../../lib/index.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Edu, Machine, msix, PciFunction } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const one = new Uint8Array(new BigUint64Array([1n]).buffer);

class Owner extends Resource {
  constructor() {
    super('Owner');
  }
  protected override release(): void {}
}

class Card extends PciFunction {}

describe.each<[string, () => Kernel]>([
  ['the real kernel', native],
  ['the simulated kernel', () => new Machine().kernel],
])('%s', (_name, make) => {
  const vector = (): { owner: Owner; interrupt: Interrupt; signal: () => void } => {
    const kernel = make();
    const owner = new Owner();
    const interrupt = new Interrupt(owner, kernel, 'Vector', undefined);
    return { owner, interrupt, signal: () => kernel.write(interrupt.fd, one) };
  };

  it('poll() counts what came since the last time, without the event loop', () => {
    const { owner, interrupt, signal } = vector();
    expect(interrupt.poll()).toBe(0);
    signal();
    signal();
    expect([interrupt.poll(), interrupt.poll()]).toEqual([2, 0]);
    owner.close();
    expect(() => interrupt.poll()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });

  it('poll() has what the event loop took before, and what it takes nobody else gets', async () => {
    const { owner, interrupt, signal } = vector();
    signal();
    for (let i = 0; i < 5; i += 1) await turn();
    expect([interrupt.poll(), interrupt.poll()]).toEqual([1, 0]);
    const heard: number[] = [];
    interrupt.on('signal', (count) => heard.push(count));
    signal();
    expect(interrupt.poll()).toBe(1);
    for (let i = 0; i < 5; i += 1) await turn();
    expect(heard).toEqual([]);
    owner.close();
  });

  it('wait() that spins has what is there before a turn of the event loop', async () => {
    const { owner, interrupt, signal } = vector();
    signal();
    let turned = false;
    setImmediate(() => (turned = true));
    expect(await interrupt.wait({ spinMicroseconds: 10_000 })).toBe(1);
    expect(turned).toBe(false);
    owner.close();
  });

  it('wait() that has spun sleeps, and is woken, times out, or ends like any other', async () => {
    const { owner, interrupt, signal } = vector();
    setTimeout(signal, 5);
    expect(await interrupt.wait({ spinMicroseconds: 50 })).toBe(1);
    const late = interrupt.wait({ spinMicroseconds: 50, timeoutMilliseconds: 5 });
    await expect(late).rejects.toMatchObject({ code: 'ERR_VFIO_TIMEOUT' });
    const ended = expect(interrupt.wait({ spinMicroseconds: 50 })).rejects.toMatchObject({ code: 'ERR_VFIO_CLOSED' });
    owner.close();
    await ended;
  });

  it('who spins does not overtake who has waited longer', async () => {
    const { owner, interrupt, signal } = vector();
    const first = interrupt.wait();
    signal();
    const second = interrupt.wait({ spinMicroseconds: 1000 });
    expect(await first).toBe(1);
    signal();
    expect(await second).toBe(1);
    owner.close();
  });

  it.each([-1, 0.5, NaN, 10_001, '5'])('%s is no time to spin', async (spinMicroseconds) => {
    const { owner, interrupt } = vector();
    const waiting = interrupt.wait({ spinMicroseconds: spinMicroseconds as number });
    await expect(waiting).rejects.toThrow(/^Expected an integer from 0 to 10000 for spinMicroseconds but received /);
    owner.close();
  });

  it('closing one of many asks as much of the kernel as closing one of few', () => {
    const closing = (count: number): string[] => {
      const calls: string[] = [];
      const owner = new Owner();
      const kernel = aroundKernel(make(), ({ name }) => {
        calls.push(name);
        return undefined;
      });
      const vectors = Array.from({ length: count }, () => new Interrupt(owner, kernel, 'Vector', undefined));
      calls.length = 0;
      vectors[count >> 1]!.close();
      const taken = calls.slice();
      owner.close();
      return taken;
    };
    expect(closing(300)).toEqual(closing(1));
    expect(closing(1)).toEqual(['unwatch', 'close']);
  });
});

it('poll() unmasks a line that was served, as wait() does', () => {
  const { kernel } = new Machine({ devices: [{ model: new Edu(), address }] });
  using opened = openDevice(kernel, address);
  const registers = opened.device.region(0).mmio;
  const [line] = opened.device.interrupt('intx').enable();
  for (const reason of [1, 2, 4]) {
    registers.write32(0x60, reason);
    expect([line!.poll(), registers.read32(0x24)]).toEqual([1, reason]);
    registers.write32(0x64, reason);
    expect(line!.poll()).toBe(0);
  }
  // Not served: it comes again as soon as it is asked for.
  registers.write32(0x60, 1);
  expect([line!.poll(), line!.poll()]).toEqual([1, 1]);
});

it('all 2,048 vectors of MSI-X at once', async () => {
  const vectors = 2048;
  const model = new Card({
    vendor: 0x1af4,
    device: 0x10f0,
    classCode: 0xff0000,
    bars: { 0: 0x1_0000 },
    capabilities: [msix({ vectors, bar: 0, table: 0, pendingBits: 0x8000 })],
  });
  const { kernel } = new Machine({ devices: [{ model, address }] });
  using opened = openDevice(kernel, address);
  const messages = opened.device.interrupt('msix');
  const heard = messages.enable(vectors).map((vector) => {
    let sum = 0;
    vector.on('signal', (count) => (sum += count));
    return () => sum;
  });
  messages.trigger(0, vectors);
  messages.trigger(7, 1);
  for (let i = 0; i < 100 && heard.some((sum) => sum() === 0); i += 1) await turn();
  expect(heard.map((sum) => sum())).toEqual(Array.from({ length: vectors }, (_, index) => (index === 7 ? 2 : 1)));
  messages.disable();
  expect(messages.vectors).toEqual([]);
});
