import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDevice } from '../../lib/index.js';
import { Clock } from '../../lib/sim/clock.js';
import { Edu, Machine } from '../../lib/sim/index.js';

describe('virtual time', () => {
  it('stands still until it is moved', async () => {
    const clock = new Clock('virtual');
    const seen: string[] = [];
    clock.after(5, () => seen.push(`five at ${clock.now}`));
    clock.after(2, () => seen.push(`two at ${clock.now}`));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect([seen, clock.now, clock.next]).toEqual([[], 0, 2]);
    clock.advance(1.5);
    expect([seen, clock.now, clock.next]).toEqual([[], 1.5, 0.5]);
    clock.advance(10);
    expect([seen, clock.now, clock.next]).toEqual([['two at 2', 'five at 5'], 11.5, undefined]);
  });

  it('runs what an event asks for, if its time comes too', () => {
    const clock = new Clock('virtual');
    let ticks = 0;
    const tick = (): void => {
      ticks += 1;
      clock.after(0.25, tick);
    };
    clock.after(0.25, tick);
    clock.advance(1);
    expect(ticks).toBe(4);
    clock.advance(0.000_001);
    expect([ticks, clock.next]).toEqual([4, 0.249_999]);
  });

  it('runs events in order of time, and those of one time in the order they were asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 60 }), (times) => {
        const clock = new Clock('virtual');
        const seen: [number, number][] = [];
        times.forEach((time, index) => clock.after(time, () => seen.push([time, index])));
        clock.advance(20);
        expect(seen).toEqual(times.map((time, index) => [time, index] as [number, number]).sort((a, b) => a[0] - b[0] || a[1] - b[1]));
      }),
    );
  });

  it('an action that throws is told to who moved the clock, and the others still come', () => {
    const clock = new Clock('virtual');
    let came = false;
    clock.after(1, () => {
      throw new Error('broken model');
    });
    clock.after(2, () => (came = true));
    expect(() => clock.advance(3)).toThrow('broken model');
    expect([clock.now, came]).toEqual([1, false]);
    clock.advance(1);
    expect(came).toBe(true);
  });

  it('lets a driver that spins on a register get on, a microsecond with each look', () => {
    const machine = new Machine({ time: 'virtual', devices: [{ model: new Edu() }] });
    using opened = openDevice(machine.kernel, '0000:00:03.0');
    const { mmio } = opened.device.region(0);
    mmio.write32(0x08, 5);
    const start = machine.clock.now;
    let looks = 0;
    while ((mmio.read32(0x20) & 1) !== 0) looks += 1;
    expect(looks).toBeGreaterThan(100);
    expect(machine.clock.now - start).toBeCloseTo((looks + 1) / 1000, 6);
    expect(mmio.read32(0x08)).toBe(120);
  });

  it('has an interrupt come when the clock is moved, and not before', async () => {
    const machine = new Machine({ time: 'virtual', devices: [{ model: new Edu() }] });
    using opened = openDevice(machine.kernel, '0000:00:03.0');
    opened.device.enableBusMaster();
    const [interrupt] = opened.device.interrupt('msi').enable();
    const { mmio } = opened.device.region(0);
    mmio.write32(0x20, 0x80);
    mmio.write32(0x08, 5);
    await expect(interrupt!.wait({ timeoutMilliseconds: 20 })).rejects.toMatchObject({ code: 'ERR_VFIO_TIMEOUT' });
    machine.clock.advance(machine.clock.next!);
    expect(await interrupt!.wait({ timeoutMilliseconds: 1000 })).toBe(1);
  });
});

describe('real time', () => {
  it('runs events as this process gets older, and cannot be moved', async () => {
    const { clock } = new Machine();
    const start = clock.now;
    const came = new Promise<number>((resolve) => clock.after(5, () => resolve(clock.now)));
    const alive = setInterval(() => {}, 1000);
    expect((await came) - start).toBeGreaterThanOrEqual(5);
    clearInterval(alive);
    expect(() => clock.advance(1)).toThrow(/time: 'virtual'/);
  });
});

it('a time that is none is refused', () => {
  for (const wrong of [-1, Number.NaN, Infinity]) expect(() => new Clock('virtual').after(wrong, () => {})).toThrow(RangeError);
  expect(() => new Machine({ time: 'slow' as 'real' })).toThrow(/for time but received 'slow'/);
});
