/** The base class of device models, as a bus sees a model. What vfio-pci makes of one is the conformance suite's. */
import { describe, expect, it } from 'vitest';
import {
  advancedFeatures,
  bit,
  bits,
  errorReporting,
  express,
  Machine,
  manyFunctions,
  msi,
  msix,
  PciFunction,
  powerManagement,
  reg16,
  reg32,
  reg64,
  reg8,
  RegisterBlock,
  registers,
  serialNumber,
  vendorSpecific,
  type PciIdentity,
} from '../../lib/sim/index.js';

const declared = registers({
  CONTROL: reg32(0x00, { START: bit(0), MODE: { from: 1, count: 3 } }),
  STATUS: reg16(0x04),
  BYTE: reg8(0x06),
  ADDRESS: reg64(0x08),
  COUNT: reg32(0x10),
});

class Card extends PciFunction {
  readonly writes: string[] = [];
  readonly seen: number[] = [];
  reads = 0;
  readonly block = new RegisterBlock(declared, {
    CONTROL: { reset: 0x10, writable: 0xff, write: (value, written) => this.writes.push(`${value.toString(16)} ${written.toString(16)}`) },
    STATUS: { reset: 0xf00f, writable: 0, clearable: 0x000f },
    COUNT: { read: () => (this.reads += 1) },
  });

  constructor(identity: Partial<PciIdentity> = {}) {
    super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: { 0: 4096 }, ...identity });
    this.attach(0, this.block);
    this.sink = { msi: (vector) => this.seen.push(vector), intx: () => {} };
    new Machine({ devices: [{ model: this }] });
    this.writeConfig(4, 2, 0x6);
  }

  interrupt(vector: number): void {
    this.sendMsi(vector);
  }

  override attach(bar: number, block: RegisterBlock, start?: number, end?: number): void {
    super.attach(bar, block, start, end);
  }
}

describe('registers', () => {
  it('keep what can be written, clear what a 1 clears, and say what was written', () => {
    const card = new Card();
    expect(card.busRead(0, 0x00, 4)).toBe(0x10n);
    card.busWrite(0, 0x00, 4, 0x1234n);
    expect(card.busRead(0, 0x00, 4)).toBe(0x34n);
    expect(card.writes).toEqual(['34 1234']);
    card.busWrite(0, 0x04, 2, 0xff03n);
    expect(card.busRead(0, 0x04, 2)).toBe(0xf00cn);
    expect([card.busRead(0, 0x10, 4), card.busRead(0, 0x10, 4)]).toEqual([1n, 2n]);
    card.busWrite(0, 0x10, 4, 77n);
    expect(card.busRead(0, 0x10, 4)).toBe(3n);
    expect(card.writes.length).toBe(1);
  });

  it('are read and written in parts, and several at once', () => {
    const card = new Card();
    card.busWrite(0, 0x08, 8, 0x1122_3344_5566_7788n);
    expect(card.block.get('ADDRESS')).toBe(0x1122_3344_5566_7788n);
    expect([card.busRead(0, 0x08, 4), card.busRead(0, 0x0c, 4), card.busRead(0, 0x0b, 1)]).toEqual([0x5566_7788n, 0x1122_3344n, 0x55n]);
    card.busWrite(0, 0x0c, 2, 0xaaaan);
    expect(card.block.get('ADDRESS')).toBe(0x1122_aaaa_5566_7788n);
    card.busWrite(0, 0x06, 1, 0xeen);
    expect(card.busRead(0, 0x04, 4)).toBe(0x00ee_f00fn);
    expect(card.busRead(0, 0x00, 8)).toBe(0x00ee_f00f_0000_0010n);
    expect(card.busRead(0, 0x40, 4)).toBe(0n);
  });

  it('are changed by the device without limits, and reset together', () => {
    const card = new Card();
    card.block.set('STATUS', 0xffff);
    card.block.set('ADDRESS', 5n);
    expect([card.block.get('STATUS'), card.block.get('ADDRESS')]).toEqual([0xffff, 5n]);
    card.reset();
    expect([card.block.get('CONTROL'), card.block.get('STATUS'), card.block.get('ADDRESS')]).toEqual([0x10, 0xf00f, 0n]);
  });

  it('are declared side by side, in any order', () => {
    const side = registers({ HIGH: reg32(8, { LAST: bit(31), ALL: bits(0, 32) }), LOW: reg64(0) });
    expect([side.HIGH.fields.LAST, side.LOW.offset]).toEqual([{ from: 31, count: 1 }, 0]);
  });

  it('of several blocks are each in the BAR and at the place that they are attached to', () => {
    const card = new Card({ bars: { 0: 4096, 2: 4096, 4: 4096 } });
    const block = (value: number): RegisterBlock => new RegisterBlock(registers({ ID: reg32(0) }), { ID: { reset: value } });
    card.attach(2, block(1), 0x100);
    card.attach(2, block(2), 0x80, 0x90);
    card.attach(2, block(4), 0x90, 0x94);
    card.attach(4, block(3));
    expect([0x0, 0x80, 0x90, 0x94, 0x100].map((at) => card.busRead(2, at, 4))).toEqual([0n, 2n, 4n, 0n, 1n]);
    expect([0x0, 0x80, 0x100].map((at) => card.busRead(4, at, 4))).toEqual([3n, 0n, 0n]);
  });

  it('do not overlap, and have bits that they hold', () => {
    expect(() => registers({ A: reg64(0), B: reg32(4) })).toThrow("Expected an offset beyond A's 8 bytes for offset of B");
    expect(() => reg16(0, { HIGH: bit(16) })).toThrow('Expected bits from 0 to 15 for HIGH');
    expect(() => reg16(0, { LOW: bit(-1) })).toThrow('Expected bits from 0 to 15 for LOW');
    expect(() => reg16(0, { NONE: bits(4, 0) })).toThrow('Expected bits from 0 to 15 for NONE');
    for (const offset of [-1, 0.5]) expect(() => reg8(offset)).toThrow('offset');
    expect(() => new Card().block.set('NOTHING' as 'STATUS', 1)).toThrow(/^Expected one of CONTROL, .* for name but received 'NOTHING'/);
  });
});

describe('BARs', () => {
  it('take accesses as the device is made for them', () => {
    const card = new Card({ bars: { 0: { size: 4096, access: { valid: [2, 8], implemented: [4, 4] } } } });
    card.busWrite(0, 0x08, 8, 0x1122_3344_5566_7788n);
    expect(card.busRead(0, 0x08, 8)).toBe(0x1122_3344_5566_7788n);
    // A narrower one is one of the narrowest width at its offset.
    card.busWrite(0, 0x0a, 2, 0x9999n);
    expect(card.busRead(0, 0x0a, 2)).toBe(0x9999n);
    expect(card.busRead(0, 0x08, 8)).toBe(0x1122_0000_9999_7788n);
    card.busWrite(0, 0x08, 1, 0xffn);
    expect(card.busRead(0, 0x08, 1)).toBe(0n);
    expect(card.busRead(0, 0x08, 2)).toBe(0x7788n);
  });

  it('have each its own rules, and read as zeros where the access is wider than those have', () => {
    const card = new Card({ bars: { 0: { size: 4096, access: { valid: [4, 4] } }, 2: 4096 } });
    card.attach(2, new RegisterBlock(registers({ ID: reg64(0) }), { ID: { reset: 0x1122_3344_5566_7788n } }));
    expect([card.busRead(0, 0, 4), card.busRead(0, 0, 8), card.busRead(0, 0, 1)]).toEqual([0x10n, 0n, 0n]);
    expect([card.busRead(2, 0, 8), card.busRead(2, 0, 1)]).toEqual([0x1122_3344_5566_7788n, 0x88n]);
  });

  it('say in configuration space what they are', () => {
    const card = new Card({
      bars: {
        0: 4096,
        1: { size: 32, kind: 'ports' },
        2: { size: 2 ** 33, wide: true, prefetchable: true },
        4: { size: 16, prefetchable: true },
      },
      rom: new Uint8Array(4096),
    });
    const sized = (at: number): number => {
      card.writeConfig(at, 4, 0xffff_ffff);
      return card.readConfig(at, 4);
    };
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map(sized)).toEqual([
      0xffff_f000, 0xffff_ffe1, 0x0000_000c, 0xffff_fffe, 0xffff_fff8, 0, 0xffff_f001,
    ]);
  });

  it.each<[string, Partial<PciIdentity>]>([
    ['a power of two', { bars: { 0: 4096, 1: 100 } }],
    ['a power of two', { bars: { 0: 8 } }],
    ['up to 5', { bars: { 0: 4096, 6: 4096 } }],
    ['up to 5', { bars: { 0: 4096, '-1': 4096 } }],
    ['up to 5', { bars: { 0: 4096, 1.5: 4096 } }],
    ['up to 4', { bars: { 0: 4096, 5: { size: 4096, wide: true } } }],
    ['no BAR after a wide one', { bars: { 0: { size: 4096, wide: true }, 1: 4096 } }],
    ['no wide or prefetchable ports', { bars: { 0: 4096, 1: { size: 32, kind: 'ports', wide: true } } }],
    ['no wide or prefetchable ports', { bars: { 0: 4096, 1: { size: 32, kind: 'ports', prefetchable: true } } }],
    ['a power of two bytes, 2048 at least', { rom: new Uint8Array(1024) }],
    ['a power of two bytes, 2048 at least', { rom: new Uint8Array(3000) }],
    ['a BAR 0 of 4112 bytes for MSI-X', { capabilities: [msix({ vectors: 1, bar: 0, table: 4096 })] }],
    ['the index of a BAR of the device', { bars: {} }],
  ])('are refused when they are not %s', (wanted, identity) => {
    expect(() => new Card(identity)).toThrow(wanted);
  });
});

describe('capabilities', () => {
  it('are linked in their order, each after the last or where it is said to be', () => {
    const card = new Card({
      capabilities: [powerManagement({ at: 0xc8 }), msi(), vendorSpecific({ at: 0x40, contents: Uint8Array.of(1, 2) }), advancedFeatures()],
    });
    const list = [];
    for (let at = card.readConfig(0x34, 1); at !== 0; at = card.readConfig(at + 1, 1)) list.push([at, card.readConfig(at, 1)]);
    expect(list).toEqual([
      [0xc8, 0x01],
      [0xd0, 0x05],
      [0x40, 0x09],
      [0x48, 0x13],
    ]);
    expect(card.readConfig(0x42, 1)).toBe(5);
    expect(card.readConfig(6, 2)).toBe(0x10);
    expect(new Card().readConfig(6, 2)).toBe(0);
  });

  it('of PCI Express begin at 256', () => {
    const card = new Card({
      capabilities: [express()],
      extendedCapabilities: [errorReporting(), serialNumber({ number: 0x0102_0304_0506_0708n })],
    });
    expect(card.configSize).toBe(4096);
    expect([card.readConfig(0x100, 4), card.readConfig(0x140, 4)]).toEqual([0x1402_0001, 0x0001_0003]);
    expect([card.readConfig(0x144, 4), card.readConfig(0x148, 4)]).toEqual([0x0506_0708, 0x0102_0304]);
  });

  it('are refused where there is no room for them', () => {
    expect(() => new Card({ capabilities: [msi({ at: 0x40 }), msi({ at: 0x4c })] })).toThrow('no place of capability 5');
    expect(() => new Card({ capabilities: [msi({ at: 0xfc })] })).toThrow('room for 14 bytes');
    expect(() => new Card({ capabilities: [msi({ at: 0x3c })] })).toThrow('room for 14 bytes');
    expect(() => msi({ at: 0x42 })).toThrow('a multiple of 4');
    expect(() => new Card({ extendedCapabilities: [manyFunctions()] })).toThrow('a PCI Express function');
    expect(() => new Card({ capabilities: [express()], extendedCapabilities: [manyFunctions({ at: 0x200 })] })).toThrow('256');
  });

  it('are refused with numbers that they cannot say', () => {
    expect(() => msi({ vectors: 3 })).toThrow('a power of two up to 32');
    for (const vectors of [0, 1.5, 2049]) expect(() => msix({ vectors, bar: 0 })).toThrow('an integer from 1 to 2048');
    expect(() => msix({ vectors: 1, bar: 0, table: 4 })).toThrow('a multiple of 8');
    expect(() => msix({ vectors: 1, bar: 0, table: 4, pendingBits: 64 })).toThrow('a multiple of 8');
    expect(() => msix({ vectors: 1, bar: 0, pendingBits: 4 })).toThrow('a multiple of 8');
  });

  it('can be written as far as they say', () => {
    const card = new Card({ capabilities: [vendorSpecific({ contents: Uint8Array.of(0xf0, 1), writable: Uint8Array.of(0x0f) })] });
    card.writeConfig(0x40, 4, 0);
    card.writeConfig(0x43, 1, 0xff);
    card.writeConfig(0x44, 1, 0xff);
    expect([card.readConfig(0x40, 4), card.readConfig(0x44, 1)]).toEqual([0xff05_0009, 1]);
  });
});

describe('messages', () => {
  const table = (vector: number): number => 0x800 + 16 * vector + 12;

  it('of MSI wait for what masks them', () => {
    const card = new Card({ capabilities: [msi({ vectors: 4, maskable: true })] });
    card.interrupt(0);
    card.writeConfig(0x42, 2, 1);
    card.interrupt(3);
    card.interrupt(4);
    expect(card.seen).toEqual([3]);
    card.writeConfig(0x50, 4, 0b10);
    card.interrupt(1);
    expect([card.readConfig(0x54, 4), card.seen]).toEqual([0b10, [3]]);
    card.writeConfig(0x50, 4, 0);
    expect([card.readConfig(0x54, 4), card.seen]).toEqual([0, [3, 1]]);
  });

  it('of MSI that cannot be masked, or of 32 bits, end sooner: what comes behind is no mask of theirs', () => {
    const behind = vendorSpecific({ contents: new Uint8Array(13).fill(0xff) });
    const card = new Card({ capabilities: [msi(), behind] });
    card.writeConfig(0x42, 2, 1);
    card.interrupt(0);
    expect(card.seen).toEqual([0]);
    const before = [0x50, 0x54, 0x58].map((at) => card.readConfig(at, 4));
    card.reset();
    expect([0x50, 0x54, 0x58].map((at) => card.readConfig(at, 4))).toEqual(before);
    const narrow = new Card({ capabilities: [msi({ wide: false, maskable: true })] });
    narrow.writeConfig(0x42, 2, 1);
    narrow.writeConfig(0x4c, 4, 1);
    narrow.interrupt(0);
    expect([narrow.readConfig(0x50, 4), narrow.seen]).toEqual([1, []]);
    narrow.reset();
    expect([narrow.readConfig(0x4c, 4), narrow.readConfig(0x50, 4)]).toEqual([0, 0]);
  });

  it('of MSI-X wait for what masks them, one or all', () => {
    const card = new Card({ capabilities: [msix({ vectors: 3, bar: 0, table: 0x800, pendingBits: 0xc00 })] });
    expect([0, 1, 2].map((vector) => card.busRead(0, table(vector), 4))).toEqual([1n, 1n, 1n]);
    card.writeConfig(0x42, 2, 0x8000);
    card.interrupt(1);
    card.interrupt(2);
    expect([card.busRead(0, 0xc00, 4), card.seen]).toEqual([0b110n, []]);
    card.busWrite(0, table(1), 4, 0n);
    expect([card.busRead(0, 0xc00, 8), card.seen]).toEqual([0b100n, [1]]);
    card.writeConfig(0x42, 2, 0xc000);
    card.busWrite(0, table(2), 4, 0n);
    card.interrupt(1);
    expect(card.seen).toEqual([1]);
    card.writeConfig(0x42, 2, 0x8000);
    expect(card.seen).toEqual([1, 1, 2]);
  });

  it('need bus mastering, and the table takes accesses of 4 and 8 bytes', () => {
    const card = new Card({ capabilities: [msix({ vectors: 1, bar: 0, table: 0x800 })] });
    card.writeConfig(0x42, 2, 0x8000);
    card.busWrite(0, 0x800, 8, 0x1_fee0_0000n);
    card.busWrite(0, 0x808, 8, 0x41n);
    card.busWrite(0, 0x808, 2, 0xffn);
    card.busWrite(0, 0x810, 8, 0xffn);
    expect([card.busRead(0, 0x800, 4), card.busRead(0, 0x804, 4), card.busRead(0, 0x808, 8), card.busRead(0, 0x808, 1)]).toEqual([
      0xfee0_0000n,
      1n,
      0x41n,
      0n,
    ]);
    expect(card.busRead(0, 0x810, 8)).toBe(0n);
    card.writeConfig(4, 2, 2);
    card.interrupt(0);
    expect(card.seen).toEqual([]);
  });
});

describe('resets', () => {
  it('come by the bit of PCI Express, and empty configuration space of what was set there', () => {
    const card = new Card({
      capabilities: [express({ functionReset: true }), msix({ at: 0x80, vectors: 1, bar: 0, table: 0x800 })],
      intx: true,
    });
    card.writeConfig(0x82, 2, 0xc000);
    card.busWrite(0, 0x80c, 4, 0n);
    card.block.set('STATUS', 0);
    expect(card.functionReset).toBe('bit');
    card.writeConfig(0x48, 2, 0x8000);
    expect([card.readConfig(0x48, 2), card.readConfig(0x82, 2), card.readConfig(4, 2), card.readConfig(0x10, 4)]).toEqual([0, 0, 0, 0]);
    expect([card.busRead(0, 0x80c, 4), card.busRead(0, 4, 2)]).toEqual([1n, 0xf00fn]);
  });

  it('come by no bit of a function without such capabilities, whatever its numbers are', () => {
    const card = new Card({ vendor: 0x9001 });
    card.busWrite(0, 0x00, 4, 0x1n);
    card.writeConfig(4, 2, 0x6);
    expect([card.busRead(0, 0x00, 4), card.readConfig(0, 2)]).toEqual([0x1n, 0x9001]);
  });

  it('come by the bit of conventional devices', () => {
    const card = new Card({ capabilities: [advancedFeatures()] });
    card.block.set('STATUS', 0);
    expect(card.functionReset).toBe('bit');
    card.writeConfig(0x44, 1, 1);
    expect([card.readConfig(0x44, 1), card.block.get('STATUS')]).toEqual([0, 0xf00f]);
  });

  it('come on the way from D3hot to D0, unless the function keeps its registers', () => {
    const [keeps, loses] = [true, false].map((keepsRegisters) => new Card({ capabilities: [powerManagement({ keepsRegisters })] }));
    for (const card of [keeps!, loses!]) {
      card.block.set('STATUS', 0);
      card.writeConfig(0x44, 2, 3);
      expect([card.powerState, card.block.get('STATUS')]).toEqual([3, 0]);
      card.writeConfig(0x44, 2, 0);
      expect(card.powerState).toBe(0);
    }
    expect([keeps!.block.get('STATUS'), loses!.block.get('STATUS')]).toEqual([0, 0xf00f]);
    expect([keeps!.functionReset, loses!.functionReset]).toEqual([undefined, 'power']);
  });
});

it('a device that is in no machine says so', () => {
  class Lone extends PciFunction {
    constructor() {
      super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: {} });
    }
    read(): boolean {
      return this.dma.read(0n, new Uint8Array(1));
    }
  }
  expect(() => new Lone().read()).toThrow('The device is in no machine');
});
