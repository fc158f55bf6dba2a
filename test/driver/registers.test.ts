/** Registers by name: on memory, where each access can be looked at, and on a device. */
import { afterEach, describe, expect, it } from 'vitest';
import { bit, bits, deviceRegisters, reg16, reg32, reg64, reg8, registers } from '../../lib/driver/index.js';
import { openDevice } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const card = registers({
  CTRL: reg32(0x00, { FD: bit(0), SLU: bit(6), SPEED: bits(8, 2, { '10': 0, '100': 1, '1000': 2 }), RST: bit(26) }),
  PORT: reg8(0x04, { LEVEL: bits(4, 4) }),
  SHORT: reg16(0x06),
  BASE: reg64(0x08, { VALID: bit(63), PAGE: bits(12, 40) }),
});

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

function onMemory() {
  const mapping = new Machine().kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
  closing.push(() => mapping.unmap());
  return { ...deviceRegisters(card, mapping.mmio), mmio: mapping.mmio };
}

describe('a register', () => {
  it('is read and written as wide as it is', () => {
    const { CTRL, PORT, SHORT, BASE, mmio } = onMemory();
    CTRL.write(0xffff_ffff);
    PORT.write(0x12);
    SHORT.write(0x3456);
    BASE.write(0x8000_0000_0000_1000n);
    expect([CTRL.read(), PORT.read(), SHORT.read(), BASE.read()]).toEqual([0xffff_ffff, 0x12, 0x3456, 0x8000_0000_0000_1000n]);
    expect([mmio.read32(4), mmio.read64(8)]).toEqual([0x3456_0012, 0x8000_0000_0000_1000n]);
  });

  it('has fields by name', () => {
    const { CTRL, PORT, BASE } = onMemory();
    CTRL.write({ SLU: 1, SPEED: '1000' });
    expect([CTRL.read(), CTRL.get('SPEED'), CTRL.get('FD')]).toEqual([0x240, 2, 0]);
    expect(CTRL.change({ SPEED: 3, FD: 1 })).toBe(0x341);
    expect(CTRL.read()).toBe(0x341);
    PORT.write({ LEVEL: 15 });
    expect(PORT.read()).toBe(0xf0);
    expect(BASE.change({ VALID: 1, PAGE: 0x12345 })).toBe(0x8000_0000_1234_5000n);
    expect(BASE.get('PAGE')).toBe(0x12345);
  });

  it('is said in words', () => {
    const { CTRL, PORT, BASE } = onMemory();
    expect(CTRL.describe(0x0400_0241)).toBe('CTRL=0x04000241 FD SLU SPEED=1000 RST');
    expect(CTRL.describe(0x300)).toBe('CTRL=0x00000300 SPEED=3');
    expect(CTRL.describe(0)).toBe('CTRL=0x00000000 SPEED=10');
    expect(PORT.describe(0xb0)).toBe('PORT=0xb0 LEVEL=0xb');
    expect(BASE.describe(0n)).toBe('BASE=0x0000000000000000');
  });

  it('refuses what it does not have', () => {
    const { CTRL, PORT } = onMemory();
    expect(() => CTRL.write({ NAME: 1 } as never)).toThrow("Expected one of FD, SLU, SPEED, RST for a field but received 'NAME'");
    expect(() => CTRL.write({ SPEED: '7' } as never)).toThrow('Expected an integer from 0 to 3, or its name, for SPEED but received');
    expect(() => CTRL.change({ FD: 2 })).toThrow('Expected an integer from 0 to 1 for FD but received 2');
    expect(() => PORT.get('NONE' as never)).toThrow('Expected one of LEVEL for a field');
    expect(() => reg8(0, { WIDE: bits(4, 5) })).toThrow("Expected bits from 0 to 7 for WIDE but received '4, 5 bits'");
    expect(CTRL.read()).toBe(0);
  });

  it('is waited for, and says what it was at last', async () => {
    const { CTRL, BASE } = onMemory();
    setTimeout(() => CTRL.change({ RST: 1, FD: 1 }), 5);
    expect(await CTRL.until({ RST: 1 }, { timeoutMilliseconds: 5000 })).toBe(0x0400_0001);
    expect(await BASE.until({ VALID: 0 }, { timeoutMilliseconds: 0 })).toBe(0n);
    await expect(CTRL.until({ RST: 0, SLU: 1 }, { timeoutMilliseconds: 3 })).rejects.toMatchObject({
      code: 'ERR_VFIO_TIMEOUT',
      message: 'RST=0 SLU=1 did not come within 3 ms: CTRL=0x04000001 FD SPEED=10 RST',
    });
    await expect(CTRL.until({ RST: 0 }, { timeoutMilliseconds: 5000, signal: AbortSignal.timeout(5) })).rejects.toThrow('aborted');
  });
});

it('of a device', async () => {
  const edu = registers({
    ID: reg32(0x00, { MAJOR: bits(24, 8), MINOR: bits(16, 8), MARK: bits(0, 16, { edu: 0x00ed }) }),
    FACTORIAL: reg32(0x08),
    STATUS: reg32(0x20, { COMPUTING: bit(0), INTERRUPTS: bit(7) }),
  });
  const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
  using opened = openDevice(kernel, '0000:00:03.0');
  const { ID, FACTORIAL, STATUS } = deviceRegisters(edu, opened.device.region(0).mmio);
  expect(ID.describe(ID.read())).toBe('ID=0x010000ed MAJOR=1 MARK=edu');
  FACTORIAL.write(10);
  await STATUS.until({ COMPUTING: 0 }, { timeoutMilliseconds: 1000 });
  expect(FACTORIAL.read()).toBe(3_628_800);
});
