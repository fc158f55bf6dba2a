/** What the educational device does where its driver does not look, as QEMU 7.2 has it. */
import { expect, it } from 'vitest';
import { openDevice } from '../../lib/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const [liveness, factorial, status, dmaSource] = [0x04, 0x08, 0x20, 0x80];

it('edu: a register takes no write of another width than its own', () => {
  using opened = openDevice(new Machine({ devices: [{ model: new Edu() }] }).kernel, '0000:00:03.0');
  const region = opened.device.region(0);
  region.mmio.write32(liveness, 0xffff_fffe);
  for (const bytes of [1, 2, 8]) region.write(liveness & ~(bytes - 1), new Uint8Array(bytes).fill(0xff));
  region.mmio.write64(0, 0x1234_5678_0000_0000n);
  expect(region.mmio.read32(liveness)).toBe(1);
  // That would begin to compute.
  region.mmio.write64(factorial, 5n);
  expect([region.mmio.read32(factorial), region.mmio.read32(status) & 1]).toEqual([0, 0]);
  region.mmio.write32(dmaSource, 0x1234);
  for (const bytes of [1, 2]) region.write(dmaSource, new Uint8Array(bytes).fill(0xff));
  expect(region.mmio.read32(dmaSource)).toBe(0x1234);
});

it('edu: a number that comes while another is computed is dropped', () => {
  const machine = new Machine({ time: 'virtual', devices: [{ model: new Edu() }] });
  using opened = openDevice(machine.kernel, '0000:00:03.0');
  const { mmio } = opened.device.region(0);
  mmio.write32(factorial, 5);
  mmio.write32(factorial, 3);
  expect(mmio.read32(status) & 1).toBe(1);
  machine.clock.advance(1);
  expect([mmio.read32(status) & 1, mmio.read32(factorial)]).toEqual([0, 120]);
});
