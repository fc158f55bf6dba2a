/** The network card, as QEMU's e1000e is: every register access of a driver, and every frame. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice } from '../../lib/open.js';
import { expectDevice } from '../support/golden.js';
import { CardDriver, extended, registers as r, slots, type ReceivedFrame } from '../support/models/e1000e-driver.js';
import { dump, Trace, until } from '../support/models/trace.js';
import type { Variant } from '../support/subject.js';

const stationA = [0x52, 0x54, 0, 0, 0, 1];
const stationB = [0x52, 0x54, 0, 0, 0, 2];
const everybody = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const group = [0x01, 0x00, 0x5e, 0x12, 0x34, 0x56];

/** A frame to somebody, of a size, whose bytes tell its `seed`. */
function frame(to: readonly number[], size: number, seed = 1, type = 0x88b5): Uint8Array {
  const bytes = Uint8Array.from({ length: size }, (_, index) => (index * seed + (index >> 8)) & 0xff);
  bytes.set([...to, ...stationA, type >> 8, type & 0xff]);
  return bytes;
}

/** An IPv4 packet with TCP (6) or UDP (17) in a frame, with or without right checksums. */
function packet(protocol: number, payload: number, right: boolean): Uint8Array {
  const header = protocol === 6 ? 20 : 8;
  const bytes = frame(stationB, 34 + header + payload, 3, 0x0800);
  const view = new DataView(bytes.buffer);
  bytes.set([0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 14);
  view.setUint16(16, 20 + header + payload);
  bytes.fill(0, 34, 34 + header);
  view.setUint32(34, 0x1000_0050);
  if (protocol === 6) bytes[46] = 0x50;
  if (protocol === 6) bytes[47] = 0x10;
  if (protocol === 17) view.setUint16(38, header + payload);
  const sum = (from: number, to: number, start: number): number => {
    let total = start;
    for (let at = from; at < to; at += 2) total += ((bytes[at] ?? 0) << 8) | (at + 1 < to ? (bytes[at + 1] ?? 0) : 0);
    while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
    return ~total & 0xffff;
  };
  const spoilt = right ? 0 : 0x101;
  view.setUint16(24, sum(14, 34, 0) ^ spoilt);
  view.setUint16(34 + (protocol === 6 ? 16 : 6), sum(34, bytes.byteLength, sum(26, 34, protocol + header + payload) ^ 0xffff) ^ spoilt);
  return bytes;
}

export function e1000e(variant: Variant): void {
  let trace: Trace;
  let a: CardDriver;
  let b: CardDriver;

  beforeEach(() => {
    const subject = variant.make();
    trace = new Trace();
    [a, b] = subject.wired.map(({ address }, index) => {
      const opened = openDevice(subject.kernel, address);
      opened.device.hotReset();
      opened.device.enableBusMaster();
      return new CardDriver(opened, trace, index === 0 ? 'A' : 'B');
    }) as [CardDriver, CardDriver];
  });
  afterEach(() => {
    for (const card of [a, b]) {
      // What is still on its way to a card comes when it receives.
      card.opened.device.region(0).mmio.write32(r.RCTL, 0);
      card.opened.close();
    }
  });

  const golden = (name: string): void => expectDevice(variant, `e1000e-${name}`, trace.take());
  const note = (line: string): void => trace.note(line);
  const hex = (words: readonly number[]): string => words.map((word) => `0x${word.toString(16)}`).join(' ');
  const show = (frames: readonly ReceivedFrame[]): void => {
    for (const { bytes, words } of frames) note(`  received ${bytes.byteLength} bytes, descriptor ${hex(words)}`);
  };
  const same = (one: Uint8Array | undefined, other: Uint8Array): void =>
    expect(Buffer.compare(Buffer.from(one ?? []), Buffer.from(other))).toBe(0);

  it('its registers are these after a reset, and take these values', () => {
    const plain = a.opened.device.region(0).mmio;
    const all = (name: string): void => {
      note(`# ${name}`);
      for (let offset = 0; offset < 0x1_0000; offset += 4) {
        const value = plain.read32(offset);
        if (value !== 0) note(`  0x${offset.toString(16)}: 0x${value.toString(16)}`);
      }
    };
    all('after a reset');
    for (let offset = 0; offset < 0x1_0000; offset += 4) {
      // Control, the PHY and the EEPROM are asked by themselves; interrupts too.
      if (offset > 0x38 && offset !== r.IMS && offset !== r.ICS && !(offset >= r.ITR && offset <= r.EITR0 + 16))
        plain.write32(offset, 0xffff_ffff);
    }
    all('all ones');
    const { registers } = a;
    registers.read16(0x08);
    registers.read8(0x08);
    registers.read64(0x5400);
    registers.write16(0x5410, 0x1234);
    registers.read32(0x5410);
    registers.write64(0x5410, 0x1122_3344_5566_7788n);
    registers.read64(0x5410);
    golden('registers');
  }, 60_000);

  it('control, EEPROM and PHY answer', async () => {
    const { registers } = a;
    for (const value of [0x0014_0241, 0x0000_1b41, 0x8000_0241, 0x0400_0241]) {
      registers.write32(r.CTRL, value);
      registers.read32(r.CTRL);
      registers.read32(r.STATUS);
    }
    registers.write32(r.STATUS, 0);
    registers.read32(r.STATUS);
    registers.write32(r.CTRL_EXT, 0xffff_ffff);
    registers.read32(r.CTRL_EXT);
    registers.write32(r.CTRL_EXT, 0);
    note('# EEPROM');
    for (let word = 0; word < 66; word += 1) {
      registers.write32(r.EERD, (word << 2) | 1);
      registers.read32(r.EERD);
    }
    registers.write32(r.EERD, 0);
    registers.read32(r.EERD);
    note('# PHY');
    const phy = (operation: number, register: number, data = 0, number = 1): void => {
      registers.write32(r.MDIC, ((operation << 26) | (number << 21) | (register << 16) | data) >>> 0);
      registers.read32(r.MDIC);
    };
    for (const page of [0, 2, 3, 5, 6, 1, 9]) {
      phy(1, 22, page);
      for (let register = 0; register < 32; register += 1) phy(2, register);
    }
    phy(1, 22, 0);
    phy(2, 1, 0, 2);
    phy(1, 4, 0x1e1);
    phy(2, 4);
    phy(1, 2, 0xffff);
    phy(2, 2);
    note('# negotiation');
    phy(1, 0, 0x1340);
    registers.read32(r.STATUS);
    await until(() => (a.opened.device.region(0).mmio.read32(r.STATUS) & 2) !== 0);
    registers.read32(r.STATUS);
    registers.read32(r.CTRL);
    registers.read32(r.ICR);
    for (const register of [0, 1, 5]) phy(2, register);
    golden('control');
  });

  it('frames cross, of every size', async () => {
    a.start();
    b.start();
    for (const size of [14, 20, 60, 64, 65, 128, 600, 1024, 1514]) {
      const sent = frame(stationB, size, size);
      a.send([[sent]]);
      await b.arrived(1);
      const taken = b.take();
      show(taken);
      same(taken[0]?.bytes.subarray(0, size), sent);
      expect(taken[0]?.bytes.subarray(size).every((byte) => byte === 0)).toBe(true);
    }
    note(`  transmit descriptors ${hex(a.statuses)}`);
    a.registers.read32(r.ICR);
    b.registers.read32(r.ICR);
    golden('frames');
  });

  it('several go at once, in parts, and come in order', async () => {
    a.start();
    b.start();
    const sent = Array.from({ length: 6 }, (_, index) => frame(stationB, 100 + index, index + 1));
    a.send(sent.map((each) => [each]));
    await b.arrived(6);
    const taken = b.take();
    show(taken);
    taken.forEach(({ bytes }, index) => same(bytes, sent[index]!));
    const whole = frame(stationB, 900, 9);
    a.send([[whole.subarray(0, 14), whole.subarray(14, 500), whole.subarray(500)]]);
    await b.arrived(1);
    const [joined] = b.take();
    same(joined?.bytes, whole);
    note('# back');
    const back = frame(stationA, 70);
    b.send([[back]]);
    await a.arrived(1);
    same(a.take()[0]?.bytes, back);
    for (const card of [a, b]) for (const register of [r.TDH, r.TDT, r.RDH, r.RDT]) card.registers.read32(register);
    golden('order');
  });

  it('a checksum that is not stripped has room behind the frame; small buffers are filled one after the other', async () => {
    a.start();
    for (const [name, control] of Object.entries({
      'with its checksum': 0x8000,
      'buffers of 256 bytes': 0x0403_8000,
      'buffers of 256 bytes, with its checksum': 0x0003_8000,
      'buffers of 1 KiB': 0x0401_8000,
      'buffers of 16 KiB': 0x0601_8000,
      'buffers of 3 KiB': 0x1c00_8000,
    })) {
      note(`# ${name}`);
      b.start({ control });
      a.send([[frame(stationB, 600)]]);
      await until(() => {
        const { mmio } = b.opened.device.region(0);
        return mmio.read32(r.RDH) !== 0;
      });
      b.registers.read32(r.RDH);
      show(b.take());
      b.stop();
    }
    golden('buffers');
  });

  it('who takes which frames', async () => {
    a.start();
    const tagged = frame(stationB, 80, 1, 0x8100);
    tagged.set([0x20, 0x05, 0x88, 0xb5], 14);
    const frames = { own: stationB, other: [0x52, 0x54, 0, 0, 0, 9], group, everybody };
    const strip = 0x0400_0000;
    for (const [name, control] of Object.entries({
      nothing: 0,
      broadcasts: 0x8000,
      'every unicast': 0x8,
      'every multicast': 0x10,
      'every frame': 0x8018,
      'VLANs of the table': 0x4_8000,
    })) {
      note(`# ${name}`);
      b.start({ control: strip | control });
      for (const [index, to] of Object.values(frames).entries()) a.send([[frame(to, 100 + index)]]);
      a.send([[tagged]]);
      // One more, which all are told to take, is the end.
      b.registers.write32(r.RCTL, strip | 0x8018 | 2);
      a.send([[frame(everybody, 200)]]);
      const taken: ReceivedFrame[] = [];
      await until(() => {
        taken.push(...b.take());
        return taken.at(-1)?.bytes.byteLength === 200;
      });
      show(taken);
      b.stop();
    }
    golden('filters');
  });

  it('the table of groups, and a second address', async () => {
    a.start();
    b.registers.write32(0x5408, 0x0000_5452);
    b.registers.write32(0x540c, 0x8000_0900);
    const bit = ((group[5]! << 8) | group[4]!) >> 4;
    b.registers.write32(r.MTA0 + 4 * (bit >> 5), (1 << (bit & 0x1f)) >>> 0);
    b.start({ control: 0x0400_0000 });
    a.send([[frame([0x52, 0x54, 0, 0, 0, 9], 100)], [frame(group, 101)], [frame([0x01, 0, 0x5e, 1, 2, 3], 102)], [frame(stationB, 103)]]);
    await b.arrived(3);
    show(b.take());
    golden('table');
  });

  it('descriptors of the extended kind tell of checksums, both ways', async () => {
    for (const filters of [0, 0x8000]) {
      note(filters === 0 ? '# legacy' : '# extended');
      const form = { extended: filters !== 0 };
      a.start();
      b.start({ filters });
      for (const [name, sent] of Object.entries({
        TCP: packet(6, 33, true),
        'TCP, spoilt': packet(6, 33, false),
        UDP: packet(17, 40, true),
        'UDP, spoilt': packet(17, 40, false),
        ICMP: packet(1, 40, true),
        'no IP': frame(stationB, 90),
      })) {
        note(`# ${name}`);
        a.send([[sent]]);
        await b.arrived(1, form);
        show(b.take(form));
      }
      note('# filled in by the sender');
      for (const protocol of [6, 17]) {
        a.put([0x0022_0e0e, 0, 0x2000_0000 | 1, 0]);
        a.send([[packet(protocol, 51, false)]], { command: extended, options: 0x300 });
        await b.arrived(1, form);
        const taken = b.take(form);
        show(taken);
        same(taken[0]?.bytes, packet(protocol, 51, true));
      }
      for (const card of [a, b]) card.stop();
    }
    golden('checksums');
  });

  it('VLAN tags are put in and taken out', async () => {
    a.registers.write32(r.CTRL, 0x4014_0241);
    b.registers.write32(r.CTRL, 0x4014_0241);
    a.start();
    b.start();
    const sent = frame(stationB, 80);
    a.send([[sent]], { command: 0x4000_0000, options: 0x2005_0000 });
    await b.arrived(1);
    const [stripped] = b.take();
    show([stripped!]);
    same(stripped?.bytes, sent);
    b.registers.write32(r.CTRL, 0x0014_0241);
    a.send([[sent]], { command: 0x4000_0000, options: 0x2005_0000 });
    await b.arrived(1);
    const [tagged] = b.take();
    for (const line of dump(tagged!.bytes.subarray(0, 20))) note(line);
    golden('tags');
  });

  it('statistics count, and are cleared by reading', async () => {
    a.start();
    b.start({ control: 0x0400_8018 });
    a.send([[frame(stationB, 60)], [frame(stationB, 64)], [frame(everybody, 300)], [frame(group, 800)], [frame(stationB, 1514)]]);
    await b.arrived(5);
    b.take();
    const counters = (card: CardDriver): void => {
      for (let offset = 0x4000; offset <= 0x4124; offset += 4) {
        const value = card.opened.device.region(0).mmio.read32(offset);
        if (value !== 0) note(`  ${card.name} 0x${offset.toString(16)}: ${value}`);
      }
    };
    counters(a);
    counters(b);
    note('# again');
    counters(a);
    counters(b);
    golden('statistics');
  });

  it('frames wait for buffers, and are lost where receiving is off', async () => {
    a.start();
    note('# off');
    a.send([[frame(stationB, 80)]]);
    b.start({ buffers: 0 });
    note('# without buffers');
    a.send([[frame(stationB, 90)], [frame(stationB, 91)], [frame(stationB, 92)]]);
    b.registers.read32(r.ICR);
    b.registers.write32(r.RDT, 1);
    await b.arrived(1);
    b.registers.read32(r.RDH);
    b.registers.read32(r.ICR);
    b.registers.write32(r.RDT, 4);
    await b.arrived(3);
    show(b.take());
    b.registers.read32(r.ICR);
    golden('waiting');
  });

  it('a frame that is longer than all buffers is an overrun', async () => {
    a.start();
    b.start({ control: 0x0403_8000, buffers: 2 });
    a.send([[frame(stationB, 900)]]);
    await until(() => (b.opened.device.region(0).mmio.read32(r.ICS) & 0x40) !== 0);
    b.registers.read32(r.ICR);
    b.registers.write32(r.RDT, slots - 1);
    await b.arrived(4);
    show(b.take());
    golden('overrun');
  });

  it('loopback brings frames back', async () => {
    a.start({ control: 0x0400_8040 });
    a.send([[frame(stationA, 77)]]);
    await a.arrived(1);
    show(a.take());
    golden('loopback');
  });

  describe('interrupts', () => {
    it('causes are set, masked and cleared', () => {
      const { registers } = a;
      a.stop();
      registers.write32(r.ICS, 0x0000_0015);
      registers.read32(r.ICS);
      registers.read32(r.ICR);
      registers.read32(r.ICR);
      registers.write32(r.IMS, 0xffff_ffff);
      registers.read32(r.IMS);
      registers.write32(r.IMC, 0x0000_ffff);
      registers.read32(r.IMS);
      registers.write32(r.ICS, 0x0010_0084);
      registers.write32(r.ICR, 0x4);
      registers.read32(r.ICR);
      note('# acknowledged by reading, with IAM');
      registers.write32(r.IMC, 0xffff_ffff);
      registers.write32(r.IAM, 0x80);
      registers.write32(r.CTRL_EXT, 0x0800_0000);
      registers.write32(r.IMS, 0x84);
      registers.write32(r.ICS, 0x80);
      registers.read32(r.ICR);
      registers.read32(r.IMS);
      registers.write32(r.IMC, 0xffff_ffff);
      for (const offset of [r.ITR, r.EITR0, r.EITR0 + 16]) {
        registers.read32(offset);
        registers.write32(offset, 0x1_2345);
        registers.read32(offset);
        registers.write32(offset, 0);
        registers.read32(offset);
      }
      golden('causes');
    });

    it.each(['intx', 'msi'] as const)('of sending and receiving come by %s', async (kind) => {
      const [of, to] = [a, b].map((card) => card.opened.device.interrupt(kind).enable()[0]!);
      a.start();
      b.start();
      for (const card of [a, b]) card.registers.write32(r.IMS, 0x9d);
      for (let round = 0; round < 4; round += 1) {
        a.send([[frame(stationB, 100 + round)]]);
        await a.interrupted(of!);
        a.registers.read32(r.ICR);
        await b.interrupted(to!);
        b.registers.read32(r.ICR);
        show(b.take());
      }
      golden(`interrupts-${kind}`);
    });

    it('come by five vectors', async () => {
      const vectors = b.opened.device.interrupt('msix').enable(5);
      a.opened.device.interrupt('msix').enable(5);
      a.start();
      b.start();
      // Receiving to 0, sending to 3, the rest to 4; the queues' causes clear themselves.
      b.registers.write32(r.IVAR, 0x000c_0b08);
      b.registers.write32(r.EIAC, 0x01f0_0000);
      b.registers.write32(r.IMS, 0x01f0_0004);
      a.send([[frame(stationB, 100)]]);
      await b.interrupted(vectors[0]!);
      b.registers.read32(r.ICS);
      b.registers.read32(r.IMS);
      show(b.take());
      b.registers.write32(r.IMS, 0x01f0_0004);
      b.send([[frame(stationA, 100)]]);
      await b.interrupted(vectors[3]!);
      b.registers.read32(r.ICS);
      b.registers.read32(r.IMS);
      b.registers.write32(r.ICS, 0x4);
      await b.interrupted(vectors[4]!);
      b.registers.read32(r.ICS);
      b.registers.read32(r.ICR);
      b.registers.read32(r.ICS);
      golden('interrupts-msix');
    });
  });
}
