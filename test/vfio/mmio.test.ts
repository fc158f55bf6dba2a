/** Registers of a region, many at once: through its mapping and through its file. */
import { expect, it } from 'vitest';
import { openDevice } from '../../lib/open.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const status = 0x20;

it('a region that cannot be mapped has every form, through its file', () => {
  using opened = openDevice(new Machine({ devices: [{ model: new Edu() }] }).kernel, address);
  const region = opened.device.region(7);
  const ids = new Uint16Array(2);
  region.mmio.readRange(0, ids);
  expect([...ids]).toEqual([0x1234, 0x11e8]);
  const line = new Uint8Array(1);
  region.mmio.writeList(Uint32Array.of(0x3c), Uint8Array.of(5));
  region.mmio.readRange(0x3c, line);
  expect(line[0]).toBe(5);
  expect(region.mmio.poll16(0, { mask: 0xff00, wanted: 0x1200, timeoutMilliseconds: 0 })).toBe(0x1234);
  expect(region.mmio.poll16(0, { mask: 1, wanted: 1, timeoutMilliseconds: 0.1 })).toBeUndefined();
  expect(region.fastMmio.read16(0)).toBe(0x1234);
  expect(() => region.mmio.readRange(region.size - 2, ids)).toThrow(/^Expected a multiple of 2 from 0 to \d+ for offset but received /);
});

it('nothing of a list reaches the device if one register is outside', () => {
  using opened = openDevice(new Machine({ devices: [{ model: new Edu() }] }).kernel, address);
  const { mmio, size } = opened.device.region(0);
  expect(() => mmio.writeList(Uint32Array.of(4, size), Uint32Array.of(1, 1))).toThrow(`for offsets[1] but received ${size}`);
  expect(mmio.read32(4)).toBe(0);
});

it("a poll goes by the machine's own time", () => {
  const machine = new Machine({ devices: [{ model: new Edu() }], time: 'virtual' });
  using opened = openDevice(machine.kernel, address);
  const { mmio, fastMmio } = opened.device.region(0);
  const busy = { mask: 1, wanted: 0 };
  mmio.write32(8, 10); // 10!, for 0.2 ms
  expect(fastMmio.poll32(status, { ...busy, timeoutMilliseconds: 0.1 })).toBeUndefined();
  expect(fastMmio.poll32(status, { ...busy, timeoutMilliseconds: 0.2 })).toBe(0);
  expect(mmio.read32(8)).toBe(3_628_800);
});

it('is closed with its region, whichever accessor is kept', () => {
  using opened = openDevice(new Machine({ devices: [{ model: new Edu() }] }).kernel, address);
  const region = opened.device.region(0);
  const { mmio, fastMmio } = region;
  region.close();
  for (const registers of [mmio, fastMmio]) expect(() => registers.read32(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  expect(() => region.fastMmio).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
});
