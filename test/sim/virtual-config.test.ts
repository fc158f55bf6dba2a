/**
 * What vfio-pci makes of capabilities that no device of the lab has: hidden ones, those of vendors, those whose length is
 * in them. Held to the kernel's source.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_MSI_IRQ_INDEX } from '../../lib/abi/vfio/irq.js';
import {
  advancedFeatures,
  Capability,
  errorReporting,
  express,
  ExtendedCapability,
  Machine,
  msi,
  powerManagement,
  serialNumber,
  vendorSpecific,
  vitalProductData,
  type PciIdentity,
} from '../../lib/sim/index.js';
import { Card } from '../support/card.js';
import { answer, Seam } from '../support/seam.js';

const config = 7 * 2 ** 40;

let seam: Seam;
afterEach(() => seam.closeAll());

interface Opened {
  readonly card: Card;
  readonly read: (at: number, length: number) => string;
  readonly write: (at: number, ...bytes: number[]) => string;
}

function open(identity: Partial<PciIdentity>): Opened {
  const card = new Card(identity);
  const { kernel } = new Machine({ devices: [{ model: card, group: 1 }] });
  seam = new Seam(kernel);
  const { device } = seam.ready({ address: '0000:00:03.0', group: 1 });
  return {
    card,
    read: (at, length) => {
      const bytes = new Uint8Array(length);
      const result = kernel.pread(device, bytes, config + at);
      return result === length ? Buffer.from(bytes).toString('hex') : answer(result);
    },
    write: (at, ...bytes) => answer(kernel.pwrite(device, Uint8Array.from(bytes), config + at)),
  };
}

describe('the list of capabilities', () => {
  // A slot's number, and one that nobody knows.
  const [slot, unknown] = [0x04, 0x5a];

  it('leaves out those that are hidden, wherever they are', () => {
    const hidden = [new Capability(slot, 4, 0x80), new Capability(unknown, 4, 0x90), new Capability(0x14, 8, 0xa0)];
    const { read } = open({ capabilities: [hidden[0]!, msi({ at: 0x40 }), hidden[1]!, powerManagement({ at: 0x60 }), hidden[2]!] });
    expect([read(0x34, 1), read(0x40, 2), read(0x60, 2), read(6, 2)]).toEqual(['40', '0560', '0100', '1000']);
    expect(open({ capabilities: [new Capability(slot, 4)] }).read(6, 2)).toBe('0000');
    expect(open({ capabilities: [new Capability(slot, 4)] }).read(0x34, 1)).toBe('00');
  });

  it('of PCI Express leaves them out, and keeps the place of one at its head', () => {
    const hidden = (at: number): ExtendedCapability => new ExtendedCapability(0x1b, 1, 8, at).dword(4, 0x1234);
    const { read } = open({
      capabilities: [express()],
      extendedCapabilities: [hidden(0x100), serialNumber({ at: 0x120, number: 1n }), hidden(0x140), errorReporting({ at: 0x180 })],
    });
    expect([read(0x100, 4), read(0x104, 4), read(0x120, 4), read(0x180, 4)]).toEqual(['00000012', '34120000', '03000118', '01000200']);
    expect(open({ capabilities: [express()], extendedCapabilities: [hidden(0x100)] }).read(0x100, 4)).toBe('00000000');
  });
});

describe('writes', () => {
  it("reach the vendor's own registers and what no capability is over, and nothing else of what has no rules", () => {
    const all = Uint8Array.of(0xff, 0xff);
    const { read, write, card } = open({
      capabilities: [
        vendorSpecific({ at: 0x40, contents: Uint8Array.of(1, 2), writable: all }),
        express({ at: 0x60 }),
        new Capability(0x12, 8, 0xa0).dword(4, 0, 0xffff_ffff),
      ],
      extendedCapabilities: [
        new ExtendedCapability(0x0b, 1, 12).dword(4, 0x00c0_0001).dword(8, 0, 0xffff_ffff),
        new ExtendedCapability(0x23, 1, 12, 0x120).dword(4, 0x00c0_1af4).dword(8, 0, 0xffff_ffff),
        new ExtendedCapability(0x03, 1, 12, 0x140).dword(4, 0, 0xffff_ffff),
      ],
    });
    const [one, two] = [0xaa, 0xbb];
    for (const at of [0x43, 0xa4, 0x108, 0x128, 0x144, 0x200]) expect(write(at, one, two)).toBe('2');
    expect([0x43, 0xa4, 0x108, 0x128, 0x144, 0x200].map((at) => read(at, 2))).toEqual(['aabb', '0000', 'aabb', 'aabb', '0000', 'aabb']);
    expect([card.readConfig(0xa4, 2), card.readConfig(0x144, 2)]).toEqual([0, 0]);
    expect(write(0x40, 0, 0)).toBe('2');
    expect(card.readConfig(0x40, 2)).toBe(0x6009);
  });

  it('reach what is behind a capability, which says itself how long it is', () => {
    const all = 0xffff_ffff;
    /** Whether a write at an offset, which the device takes, comes there. */
    const reaches = (identity: Partial<PciIdentity>, ...offsets: number[]): boolean[] => {
      const { write, card } = open(identity);
      return offsets.map((at) => {
        expect(write(at, 0xaa)).toBe('1');
        return card.readConfig(at, 1) === 0xaa;
      });
    };
    const links = (kind: 'endpoint' | 'legacy endpoint'): Partial<PciIdentity> => ({
      capabilities: [express({ at: 0x60, kind }).dword(0x28, 0, all).dword(0x2c, 0, all)],
    });
    // An endpoint on the first bus is a part of the root complex, without a link.
    expect([reaches(links('endpoint'), 0x88, 0x8c), reaches(links('legacy endpoint'), 0x88, 0x8c)]).toEqual([
      [false, true],
      [false, false],
    ]);
    const sata = (registers: number): Capability => new Capability(0x12, 16, 0xa0).dword(4, registers).dword(8, 0, all);
    expect([reaches({ capabilities: [sata(0x4)] }, 0xa8), reaches({ capabilities: [sata(0xf)] }, 0xa8)]).toEqual([[true], [false]]);
    const channel = (phases: number): Partial<PciIdentity> => ({
      capabilities: [express()],
      extendedCapabilities: [new ExtendedCapability(0x02, 1, 0x40).dword(8, phases).dword(0x24, 0, all).dword(0x34, 0, all)],
    });
    expect([reaches(channel(0), 0x124, 0x134), reaches(channel(2), 0x124, 0x134), reaches(channel(4), 0x124, 0x134)]).toEqual([
      [true, true],
      [false, true],
      [false, false],
    ]);
  });

  it('of what a 1 clears reach no register that is not the driver’s to write', () => {
    const status = 0x6a;
    const { card, write } = open({ capabilities: [express({ at: 0x60 }).word(0x0a, 0, 0, 0xf)] });
    card.config.setUint16(status, 1, true);
    expect(write(status, 0, 0)).toBe('2');
    expect(card.readConfig(status, 2)).toBe(1);
  });

  it('of the command register put BARs back where the kernel had them', () => {
    const { card, write } = open({});
    const address = card.readConfig(0x10, 4);
    card.writeConfig(0x10, 4, 0x5000_0000);
    expect(card.readConfig(0x10, 4)).not.toBe(address);
    expect(write(4, 6, 0)).toBe('2');
    expect(card.readConfig(0x10, 4)).toBe(address);
  });

  it('give MSI as many vectors as SET_IRQS enabled last, by whoever had the device open then', () => {
    const card = new Card({ capabilities: [msi({ at: 0x40, vectors: 8 })] });
    const place = { address: '0000:00:03.0', group: 1 };
    const { kernel } = new Machine({ devices: [{ model: card, group: 1 }] });
    seam = new Seam(kernel);
    // All that can be is asked for.
    const asked = (device: number): number => {
      const flags = new Uint8Array(1);
      expect(kernel.pwrite(device, Uint8Array.of(0xff), config + 0x42)).toBe(1);
      expect(kernel.pread(device, flags, config + 0x42)).toBe(1);
      return flags[0]! >> 4;
    };
    const { device } = seam.ready(place);
    expect(asked(device) & 7).toBe(0);
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    expect(seam.setIrqs(device, { index: VFIO_PCI_MSI_IRQ_INDEX, flags, data: [-1, -1, -1] })).toBe('0');
    expect(asked(device) & 7).toBe(2);
    seam.closeAll();
    expect(asked(seam.ready(place).device) & 7).toBe(2);
  });

  it('reset a device by the bit of PCI Express, and only one that can be', () => {
    for (const functionReset of [true, false]) {
      const { write, read, card } = open({ capabilities: [express({ functionReset })] });
      const before = card.resets;
      expect(write(0x48, 0, 0x80)).toBe('2');
      expect([card.resets - before, read(0x48, 2), read(4, 2)]).toEqual([functionReset ? 1 : 0, '0000', '0301']);
      expect(write(0x4a, 0xff, 0xff)).toBe('2');
    }
  });

  it('reset by one bit no device that can only be reset by the other', () => {
    const { card, write } = open({ capabilities: [express({ at: 0x60 }), advancedFeatures({ at: 0xc0 })] });
    const { resets } = card;
    expect([write(0x69, 0x80), card.resets]).toEqual(['1', resets]);
    expect([write(0xc4, 1), card.resets]).toEqual(['1', resets + 1]);
  });

  it('reset a device by the bit of conventional ones', () => {
    const { write, read, card } = open({ capabilities: [advancedFeatures()] });
    const before = card.resets;
    expect([write(0x44, 0xfe), card.resets - before]).toEqual(['1', 0]);
    expect([write(0x44, 1), card.resets - before, read(0x44, 1)]).toEqual(['1', 1, '00']);
  });

  it('of the size of read requests reach the device up to 4096 bytes, and of payloads do not', () => {
    const capability = express().word(0x08, 0, 0x70e0);
    const { write, read, card } = open({ capabilities: [capability] });
    expect(write(0x48, 0xe0, 0x50)).toBe('2');
    expect([read(0x48, 2), card.readConfig(0x48, 2)]).toEqual(['e050', 0x5000]);
    expect(write(0x48, 0x00, 0x60)).toBe('2');
    expect([read(0x48, 2), card.readConfig(0x48, 2)]).toEqual(['0060', 0x5000]);
  });

  it('mask vectors of MSI where the device can, and never enable it', () => {
    const { write, read, card } = open({ capabilities: [msi({ at: 0x40, vectors: 8, maskable: true, wide: false })] });
    expect(write(0x42, 0xff, 0xff)).toBe('2');
    expect([read(0x42, 2), card.readConfig(0x42, 2)]).toEqual(['8e01', 0x0106]);
    expect(write(0x44, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff)).toBe('12');
    expect([read(0x44, 6), read(0x4c, 4)]).toEqual(['010203040506', 'ff000000']);
    expect([card.readConfig(0x44, 4), card.readConfig(0x48, 2), card.readConfig(0x4c, 4)]).toEqual([0, 0, 0xff]);
  });

  it('put a device to sleep in the states it has, one after the other', () => {
    const at = 0x44;
    const { write, read, card } = open({ capabilities: [powerManagement({ capabilities: 0x0603, keepsRegisters: false })] });
    const state = (): string => read(at, 1);
    const visit = (wanted: number): string => {
      write(at, wanted);
      return state();
    };
    expect([1, 2, 1, 3, 2].map(visit)).toEqual(['01', '02', '02', '03', '03']);
    const before = card.resets;
    expect([visit(0), card.resets - before, read(4, 2)]).toEqual(['00', 1, '0301']);
  });
});

describe('vital product data', () => {
  const end = 0x78;
  /** A name of 5 bytes, and the end: 9 bytes. */
  const named = (): Uint8Array => Uint8Array.of(0x82, 5, 0, ...Buffer.from('Card!'), end, 0xee, 0xee, 0xee);
  const address = 0x42;
  const data = 0x44;

  it('are read four bytes at a time, with zeros behind the end: the flag turns when it is done', () => {
    const { read, write } = open({ capabilities: [vitalProductData({ at: 0x40, contents: named() })] });
    const at = (offset: number): string[] => [write(address, offset, 0), read(address, 2), read(data, 4)];
    expect(at(0)).toEqual(['2', '0080', '82050043']);
    expect(at(3)).toEqual(['2', '0380', '43617264']);
    expect(at(8)).toEqual(['2', '0880', '78000000']);
    expect(at(9)).toEqual(['2', '0980', '00000000']);
    // The flag is in the address's second byte: the first alone starts nothing.
    expect([write(address, 4), read(address, 2), write(address + 1, 0), read(address, 2)]).toEqual(['1', '0480', '1', '0480']);
    expect(read(data, 4)).toBe('61726421');
  });

  it('are written likewise, at multiples of four and before the end', () => {
    const contents = named();
    const { read, write } = open({ capabilities: [vitalProductData({ at: 0x40, contents })] });
    expect(write(data, ...Buffer.from('ABCD'))).toBe('4');
    const to = (offset: number): string[] => [write(address, offset, 0x80), read(address, 2)];
    expect(to(4)).toEqual(['2', '0400']);
    expect(Buffer.from(contents.subarray(3, 9)).toString()).toBe('CABCDx');
    expect(to(2)).toEqual(['2', '0280']);
    expect(to(8)).toEqual(['2', '0880']);
    expect(Buffer.from(contents.subarray(3, 9)).toString()).toBe('CABCDx');
  });

  it.each([
    ['begin with no tag', Uint8Array.of(0, 1, 2, 3)],
    ['begin with ones', Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
  ])('that %s are none: the flag stays', (_what, contents) => {
    const { read, write } = open({ capabilities: [vitalProductData({ at: 0x40, contents })] });
    expect([write(address, 0, 0), read(address, 2), write(address, 0, 0x80), read(address, 2)]).toEqual(['2', '0000', '2', '0080']);
  });

  it('end where a tag would reach beyond what an address can, which the kernel finds out once', () => {
    const beyond = Uint8Array.of(0x90, 1, 0, 7, 0x91, 0xff, 0xff, 0);
    const { read, write, card } = open({ capabilities: [vitalProductData({ at: 0x40, contents: beyond })] });
    expect([write(address, 0, 0), read(data, 4), write(address, 4, 0), read(data, 4)]).toEqual(['2', '90010007', '2', '00000000']);
    card.writeVitalProductData(4, end);
    expect([write(address, 4, 0), read(data, 4)]).toEqual(['2', '00000000']);
    // A tag whose length would lie there ends them too.
    const whole = Uint8Array.of(0x90, 0xfb, 0x7f, ...new Uint8Array(0x7ffb).fill(7), 0x90, 0);
    const last = open({ capabilities: [vitalProductData({ at: 0x40, contents: whole })] });
    expect([last.write(address, 0xfc, 0x7f), last.read(data, 4)]).toEqual(['2', '07070000']);
  });

  it('of a card that is silent read as ones once they are known, and take nothing', () => {
    const contents = named();
    const { read, write, card } = open({ capabilities: [vitalProductData({ at: 0x40, contents })] });
    expect([write(address, 0, 0), read(data, 4)]).toEqual(['2', '82050043']);
    card.faults.silent = true;
    expect([write(address, 4, 0), read(data, 4)]).toEqual(['2', 'ffffffff']);
    expect([write(data, 1, 2, 3, 4), write(address, 4, 0x80), contents[4]]).toEqual(['4', '2', 'a'.charCodeAt(0)]);
  });

  it('are no longer than an address reaches', () => {
    expect(() => vitalProductData({ contents: new Uint8Array(0x8001) })).toThrow(
      'Expected at most 32768 bytes for contents but received 32769',
    );
  });
});
