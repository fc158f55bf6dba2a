/** When an NVMe queue's doorbell is rung, with doorbells in memory and without. */
import { afterEach, expect, it } from 'vitest';
import { Controller } from '../../examples/nvme/controller.js';
import { Doorbell, ShadowDoorbells } from '../../examples/nvme/doorbell.js';
import { verify } from '../../examples/nvme/tools/verify.js';
import { openDevice, type Mmio, type OpenDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';

/** One that notes what it is told by the doorbells of the first I/O queue. */
class Drive extends Nvme {
  readonly rung: number[] = [];

  protected override writeBar(...[bar, offset, width, value]: Parameters<Nvme['writeBar']>): void {
    if (offset === 0x1008) this.rung.push(Number(value));
    super.writeBar(bar, offset, width, value);
  }
}

const closing: OpenDevice[] = [];
afterEach(() => closing.splice(0).forEach((opened) => opened.close()));

function open(): { drive: Drive; opened: OpenDevice } {
  const drive = new Drive({ size: 2 << 20 });
  const opened = openDevice(new Machine({ devices: [{ model: drive }] }).kernel, '0000:00:03.0');
  closing.push(opened);
  return { drive, opened };
}

function recorded(): { mmio: Mmio; writes: [offset: number, value: number][] } {
  const writes: [offset: number, value: number][] = [];
  const mmio = { write32: (offset: number, value: number) => void writes.push([offset, value]) } as Mmio;
  return { mmio, writes };
}

it('without doorbells in memory a register is written for each place that is new', () => {
  const { mmio, writes } = recorded();
  const doorbell = new Doorbell(mmio, 0x1000, 12);
  for (const place of [1, 1, 5, 0]) doorbell.ring(place);
  expect(writes).toEqual([
    [0x100c, 1],
    [0x100c, 5],
    [0x100c, 0],
  ]);
});

it('with doorbells in memory only where the controller has not looked further', () => {
  const { opened } = open();
  const { mmio, writes } = recorded();
  const shadow = new ShadowDoorbells(opened.dma, opened);
  const words = new Uint32Array(shadow.buffer.memory);
  const doorbell = new Doorbell(mmio, 0x1000, 12, shadow);
  const ring = (looked: number, place: number): number[] => {
    words[4096 / 4 + 3] = looked;
    doorbell.ring(place);
    expect(words[3]).toBe(place);
    return writes.splice(0).map(([, value]) => value);
  };
  expect(ring(0, 1)).toEqual([1]);
  // It looks on until it has come to 5.
  expect(ring(5, 3)).toEqual([]);
  expect(ring(5, 5)).toEqual([]);
  expect(ring(5, 6)).toEqual([6]);
  // Round a ring of 8.
  expect(ring(6, 2)).toEqual([2]);
  expect(ring(4, 3)).toEqual([]);
});

it.each([true, false])('all is read that was written, with doorbells in memory: %s', async (shadowDoorbells) => {
  const { drive, opened } = open();
  await using controller = await Controller.open(opened, { shadowDoorbells, completion: 'polling', depth: 24 });
  const { reads, writes } = await verify(controller, controller.namespaces[0]!, opened.dma, { operations: 2000, depth: 23, seed: 3 });
  expect(reads + writes).toBe(2000);
  expect(drive.rung.length).toBeGreaterThan(0);
  expect(drive.rung.every((place) => place < 24)).toBe(true);
});
