/** A device's registers in another thread than the one that has the device. */
import { expect, it } from 'vitest';
import { audit, openDevice, SharedRegion } from '../../lib/index.js';
import { E1000e, Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';

it('are the same, until either closes its own', () => {
  const kernel = audit(new Machine({ devices: [{ model: new Edu() }] }).kernel);
  using opened = openDevice(kernel, address);
  const before = kernel.held().length;
  const shared = SharedRegion.open(kernel, structuredClone(opened.device.region(0).share()));
  expect(shared.size).toBe(1 << 20);
  shared.mmio.write32(4, 0x1234);
  expect([shared.fastMmio.read32(4), opened.device.region(0).mmio.read32(4)]).toEqual([0xffff_edcb, 0xffff_edcb]);
  const { mmio } = shared;
  shared.close();
  shared.close();
  expect(() => shared.mmio).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  expect(() => shared.fastMmio).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  expect(() => mmio.read32(4)).toThrow();
  opened.device.region(0).close();
  expect(kernel.held().length).toBeLessThanOrEqual(before);
});

it('that cannot be mapped as a whole stay where they are', () => {
  using opened = openDevice(new Machine({ devices: [{ model: new E1000e() }] }).kernel, address);
  expect(() => opened.device.region(2).share()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NOT_SHARED' }));
  const region = opened.device.region(0);
  region.close();
  expect(() => region.share()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
});

it('refuses what is none', () => {
  const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
  using opened = openDevice(kernel, address);
  const told = opened.device.region(0).share();
  for (const wrong of [-1, 0.5, NaN, 2 ** 53]) {
    expect(() => SharedRegion.open(kernel, { ...told, fd: wrong })).toThrow('for fd');
    expect(() => SharedRegion.open(kernel, { ...told, offset: wrong })).toThrow('for offset');
    expect(() => SharedRegion.open(kernel, { ...told, size: wrong })).toThrow('for size');
  }
  expect(() => SharedRegion.open(kernel, { ...told, fd: 0x7fff_fff0 })).toThrow(expect.objectContaining({ code: 'EBADF' }));
});
