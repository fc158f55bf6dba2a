/** What the network card does where the driver of the conformance suite does not look, as QEMU 7.2 has it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice, type Mmio } from '../../lib/index.js';
import { E1000e, Machine } from '../../lib/sim/index.js';
import { CardDriver, registers as r } from '../support/models/e1000e-driver.js';
import { Trace } from '../support/models/trace.js';

const station = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const everybody = Array<number>(6).fill(0xff);
const on = 0x0400_8002;
const [RDTR, RADV, RAID, TIDV, TARC0, EEWR, GCR, SWSM, PSRCTL, RXDCTL1] = [
  ...[0x2820, 0x282c, 0x2c08, 0x3820, 0x3840, 0x102c, 0x5b00, 0x5b50, 0x2170, 0x2928],
] as [number, number, number, number, number, number, number, number, number, number];
const [goodReceived, oversizedReceived] = [0x4074, 0x40ac];
const linkUp = 2;
const [received, acknowledged, sent, linkChanged] = [1 << 7, 1 << 17, 1 << 0, 1 << 2];

const frame = (to: readonly number[], size: number, type = 0x88b5): Uint8Array =>
  Uint8Array.from({ length: size }, (_, index) => [...to, 2, 0, 0, 0, 0, 1, type >> 8, type & 0xff][index] ?? 0);
/** A TCP segment over IPv4 with those flags, and that many bytes of data. */
const segment = (flags: number, size: number): Uint8Array => {
  const bytes = frame(station, 54 + size, 0x0800);
  bytes.set([0x45, 0, 0, 40 + size, 0, 0, 0, 0, 64, 6], 14);
  bytes.set([0x50, flags], 46);
  return bytes;
};

let machine: Machine;
let card: E1000e;
let driver: CardDriver;
let mmio: Mmio;
let out: Uint8Array[];

beforeEach(() => {
  card = new E1000e();
  machine = new Machine({ time: 'virtual', devices: [{ model: card }] });
  const opened = openDevice(machine.kernel, '0000:00:03.0');
  opened.device.enableBusMaster();
  driver = new CardDriver(opened, new Trace(), 'A');
  ({ mmio } = opened.device.region(0));
  out = [];
  card.sendTo({ sendTo: () => {}, receive: (bytes) => out.push(bytes) });
});
afterEach(() => driver.opened.close());

/** Frames that the card took, since the last look. */
const taken = (): number => mmio.read32(goodReceived);
const causes = (): number => mmio.read32(r.ICS) & 0x7fff_ffff;

describe('registers', () => {
  it('the semaphore is taken by reading it', () => {
    mmio.write32(SWSM, 0);
    expect([mmio.read32(SWSM) & 1, mmio.read32(SWSM) & 1]).toEqual([0, 1]);
  });

  it('STATUS has the speed, duplex and mastering that are forced, or those of a gigabit', () => {
    const status = (control: number, extended = 0): number[] => {
      mmio.write32(r.CTRL_EXT, extended);
      mmio.write32(r.CTRL, control);
      const value = mmio.read32(r.STATUS);
      return [(value >> 6) & 3, value & 1, (value >> 19) & 1];
    };
    expect(status(0)).toEqual([2, 1, 1]);
    expect([status(1 << 11), status((1 << 11) | (1 << 8)), status(1 << 8), status(0, 1 << 15)].map(([speed]) => speed)).toEqual([
      0, 1, 2, 0,
    ]);
    expect([status(1 << 12), status((1 << 12) | 1)].map(([, duplex]) => duplex)).toEqual([0, 1]);
    expect(status(1 << 2)[2]).toBe(0);
  });

  it('some bits stay as they are', () => {
    const [eeprom, pcie] = [mmio.read32(r.EECD), mmio.read32(GCR)];
    for (const value of [0xffff_ffff, 0]) {
      mmio.write32(r.EECD, value);
      mmio.write32(GCR, value);
      expect([mmio.read32(r.EECD) & 0x7b00, mmio.read32(GCR) & 0x0680_0000]).toEqual([eeprom & 0x7b00, pcie & 0x0680_0000]);
      expect([mmio.read32(r.EECD) & ~0x7b00, mmio.read32(GCR) & ~0x0680_0000]).toEqual([value & ~0x7b00, value & ~0x0680_0000]);
    }
  });

  it('sizes of split headers are not zero while headers are split', () => {
    mmio.write32(RXDCTL1, 0x5);
    const split = (control: number, value: number): number => {
      mmio.write32(r.RCTL, control);
      mmio.write32(PSRCTL, value);
      return mmio.read32(PSRCTL);
    };
    expect([split(0, 0), split(0x400, 0x0101), split(0x400, 0x0100), split(0x400, 0x0001), split(0, 0x0001)]).toEqual([
      ...[0, 0x0101, 0x0101, 0x0101, 0x0001],
    ]);
    expect(mmio.read32(RXDCTL1)).toBe(0x5);
  });

  it('words of the EEPROM are written when that is asked for, as far as there are some', () => {
    const read = (word: number): number => {
      mmio.write32(r.EERD, (word << 2) | 1);
      return mmio.read32(r.EERD) >>> 16;
    };
    const write = (word: number, value: number, start: number): number => {
      mmio.write32(EEWR, ((value << 16) | (word << 2) | start) >>> 0);
      return mmio.read32(r.EERD) & 2;
    };
    const before = read(5);
    expect([write(5, 0x1234, 0), read(5), write(5, 0x1234, 1), read(5), write(0x1000, 0x1234, 1)]).toEqual([0, before, 2, 0x1234, 0]);
  });
});

describe('the link', () => {
  const link = (): boolean => (mmio.read32(r.STATUS) & linkUp) !== 0;
  const phy = (operation: number, register: number, value = 0): number => {
    mmio.write32(r.MDIC, ((operation << 26) | (1 << 21) | (register << 16) | value) >>> 0);
    return mmio.read32(r.MDIC) & 0xffff;
  };

  it('stays as it is when a cable that is in is put in', () => {
    card.plugged = true;
    expect([link(), causes()]).toEqual([true, 0]);
  });

  it('does not come up when a negotiation ends without a cable', () => {
    phy(1, 0, 0x1340);
    card.plugged = false;
    machine.clock.advance(1000);
    expect(link()).toBe(false);
    card.plugged = true;
    machine.clock.advance(1000);
    expect(link()).toBe(true);
  });

  it('is negotiated when the cable comes back, unless nothing is to be', () => {
    card.plugged = false;
    phy(1, 0, 0x0140);
    mmio.read32(r.ICR);
    card.plugged = true;
    // Nothing is negotiated: it is up at once.
    expect([link(), causes() & linkChanged]).toEqual([true, linkChanged]);
    card.plugged = false;
    phy(1, 0, 0x1140);
    card.plugged = true;
    expect(link()).toBe(false);
    machine.clock.advance(600);
    expect([link(), phy(2, 1) & 0x20]).toEqual([true, 0x20]);
  });

  it('brings the card its own frames where the PHY loops them back', () => {
    driver.start();
    phy(1, 0, 0x5140);
    driver.send([[frame(station, 60)]]);
    expect([taken(), out.length]).toEqual([1, 0]);
  });
});

describe('receiving', () => {
  it('waits while the link is down or receiving is off', () => {
    driver.start();
    card.plugged = false;
    card.receive(frame(station, 60));
    expect(taken()).toBe(0);
    card.plugged = true;
    machine.clock.advance(600);
    expect(taken()).toBe(1);
    mmio.write32(r.RCTL, 0);
    card.receive(frame(station, 61));
    mmio.write32(r.RCTL, 0);
    mmio.write32(r.RCTL, on);
    expect(taken()).toBe(1);
  });

  it('waits where the ring has no room at all', () => {
    driver.start();
    mmio.write32(r.RDLEN, 0);
    mmio.write32(r.RDT, 3);
    card.receive(frame(station, 60));
    expect([taken(), causes() & (0x40 | received)]).toEqual([0, 0]);
  });

  it('passes over descriptors without a buffer, and loses a frame where there is no other', () => {
    driver.start();
    const ring = driver.opened.dma.allocate(4096);
    mmio.write32(r.RDBAL, Number(ring.iova & 0xffff_ffffn));
    mmio.write32(r.RDBAH, Number(ring.iova >> 32n));
    card.receive(frame(station, 60));
    expect([mmio.read32(r.RDH), mmio.read32(r.RDT)]).toEqual([7, 7]);
    // Each is done, and none is the end of a frame.
    const statuses = (): (number | undefined)[] => Array.from({ length: 8 }, (_, slot) => ring.bytes[16 * slot + 12]);
    expect([statuses(), taken()]).toEqual([[1, 1, 1, 1, 1, 1, 1, 0], 0]);
    new DataView(ring.memory).setBigUint64(0, ring.iova + 2048n, true);
    mmio.write32(r.RDT, 1);
    card.receive(frame(station, 60));
    expect([mmio.read32(r.RDH), statuses()[0], statuses()[7], taken()]).toEqual([1, 3, 1, 1]);
  });

  it('takes frames of 1522 bytes, or of 16 KiB where long ones are allowed, or all', () => {
    const sizes = (control: number): number[] => {
      driver.start({ control: 0x0601_8000 | control });
      return [1522, 1523, 16_384, 16_385].filter((size) => {
        mmio.write32(r.RDT, (mmio.read32(r.RDH) + 7) % 8);
        card.receive(frame(station, size));
        return taken() === 1;
      });
    };
    expect([sizes(0), mmio.read32(oversizedReceived), sizes(1 << 5), sizes(1 << 2)]).toEqual([
      ...[[1522], 3, [1522, 1523, 16_384], [1522, 1523, 16_384, 16_385]],
    ]);
  });

  it('takes tagged frames of the VLANs in its table', () => {
    driver.start({ control: on | (1 << 18) });
    const tagged = frame(everybody, 80, 0x8100);
    tagged.set([0, 37], 14);
    card.receive(tagged);
    expect(taken()).toBe(0);
    mmio.write32(r.VFTA0 + 4, 1 << 5);
    card.receive(tagged);
    expect(taken()).toBe(1);
  });

  it('checks checksums of transports only where that is asked for', () => {
    driver.start({ filters: 0x8000 });
    mmio.write32(0x5000, 0x100);
    card.receive(segment(0x10, 20));
    expect((driver.take({ extended: true })[0]?.words[2] ?? 0) & (1 << 5)).toBe(0);
    mmio.write32(0x5000, 0x200);
    card.receive(segment(0x10, 20));
    expect((driver.take({ extended: true })[0]?.words[2] ?? 0) & (1 << 5)).toBe(1 << 5);
  });

  it('tells of acknowledgements: all, those without data, or none', () => {
    const told = (filters: number): boolean[] =>
      [segment(0x10, 0), segment(0x10, 6), segment(0x02, 0)].map((bytes) => {
        driver.start({ filters });
        card.receive(bytes);
        return (mmio.read32(r.ICR) & acknowledged) !== 0;
      });
    expect([told(0), told(1 << 13), told(1 << 12)]).toEqual([
      [true, true, false],
      [true, false, false],
      [false, false, false],
    ]);
  });
});

describe('sending', () => {
  it('is off while a queue is', () => {
    driver.start();
    mmio.write32(TARC0, 0);
    driver.send([[frame(everybody, 60)]]);
    expect(out.length).toBe(0);
    mmio.write32(TARC0, 1 << 10);
    mmio.write32(r.TDT, 1);
    expect(out.length).toBe(1);
  });

  it('has a second queue', () => {
    driver.start();
    const [low, high] = [mmio.read32(r.TDBAL), mmio.read32(r.TDBAH)];
    mmio.write32(TARC0, 0);
    driver.send([[frame(everybody, 60)]]);
    for (const [offset, value] of [
      [0, low],
      [4, high],
      [8, 128],
      [16, 0],
      [24, 1],
    ] as const)
      mmio.write32(0x3900 + offset, value);
    expect(out.length).toBe(1);
  });

  it('does nothing where the tail is outside of the ring', () => {
    driver.start();
    mmio.write32(r.TDT, 8);
    expect(mmio.read32(r.TDH)).toBe(0);
  });

  it('of a frame that is cut off in a header, or in segments, sends nothing', () => {
    driver.start();
    driver.send([[frame(everybody, 13)]]);
    driver.send([[frame(everybody, 60)]], { command: (1 << 29) | (1 << 20) | (1 << 26) });
    driver.send([[frame(everybody, 60)]], { command: 1 << 26 });
    expect(out.length).toBe(1);
  });

  it('takes options from data descriptors, and puts tags in where both want it', () => {
    driver.start();
    const sizes = (command: number): number => {
      driver.send([[frame(everybody, 60)]], { command, options: 0x2005_0000 });
      return out.at(-1)!.byteLength;
    };
    expect([sizes(0x4000_0000), sizes(0)]).toEqual([60, 60]);
    mmio.write32(r.CTRL, 1 << 30);
    expect([sizes(0x4000_0000), sizes(0)]).toEqual([64, 60]);
    // A legacy descriptor has none.
    const packet = segment(0x10, 10);
    driver.send([[packet]], { options: 0x300 });
    expect(out.at(-1)).toEqual(packet);
  });
});

describe('interrupts', () => {
  /** Of a delay that is written: it ends. Of a descriptor: it is delayed. */
  const now = 0x8000_0000;
  const at = (milliseconds: number): void => machine.clock.advance(milliseconds);
  const count = (fd: number): number => {
    const bytes = new Uint8Array(8);
    return machine.kernel.read(fd, bytes) < 0 ? 0 : bytes[0]!;
  };

  it('of receiving wait for the delay, or until a driver asks', () => {
    driver.start();
    mmio.write32(RDTR, 1000);
    card.receive(frame(station, 60));
    mmio.write32(RDTR, 1000);
    expect(causes() & received).toBe(0);
    mmio.write32(RDTR, now + 1000);
    expect(causes() & received).toBe(received);
    mmio.read32(r.ICR);
    driver.take();
    card.receive(frame(station, 60));
    at(2);
    expect(causes() & received).toBe(received);
  });

  it('of receiving begin to wait anew with each frame, but no longer than at most', () => {
    driver.start();
    mmio.write32(RDTR, 1000);
    for (let index = 0; index < 2; index += 1) {
      card.receive(frame(station, 60));
      at(0.8);
    }
    expect(causes() & received).toBe(0);
    at(1);
    expect(causes() & received).toBe(received);
    mmio.read32(r.ICR);
    driver.take();
    mmio.write32(RADV, 1500);
    for (let index = 0; index < 2; index += 1) {
      card.receive(frame(station, 60));
      at(0.8);
    }
    expect(causes() & received).toBe(received);
  });

  it('of acknowledgements have a delay of their own', () => {
    driver.start();
    mmio.write32(RDTR, 10_000);
    card.receive(segment(0x10, 0));
    // Without one, they are told of at once.
    expect(causes() & acknowledged).toBe(acknowledged);
    mmio.read32(r.ICR);
    driver.take();
    card.receive(frame(station, 60));
    expect(causes()).toBe(0);
    at(20);
    mmio.read32(r.ICR);
    driver.take();
    mmio.write32(RAID, 1000);
    card.receive(frame(station, 60));
    at(2);
    expect(causes()).toBe(0);
    card.receive(segment(0x10, 0));
    expect(causes()).toBe(0);
    at(2);
    expect(causes() & (acknowledged | received)).toBe(acknowledged | received);
  });

  it('of sending wait where the descriptor says so, until a driver asks', () => {
    driver.start();
    mmio.write32(TIDV, 1000);
    driver.send([[frame(everybody, 60)]]);
    expect(causes() & sent).toBe(sent);
    mmio.read32(r.ICR);
    driver.send([[frame(everybody, 60)]], { command: now });
    mmio.write32(TIDV, 1000);
    expect(causes()).toBe(0);
    mmio.write32(TIDV, now + 1000);
    expect(causes() & sent).toBe(sent);
  });

  it('by message come once for what is there, and not more often than they may', () => {
    const [message] = driver.opened.device.interrupt('msi').enable();
    const { fd } = message!;
    driver.start();
    mmio.write32(r.IMS, 0x94);
    mmio.write32(r.ICS, 4);
    mmio.write32(r.IMS, 0x94);
    expect(count(fd)).toBe(1);
    at(2);
    expect(count(fd)).toBe(0);
    mmio.read32(r.ICR);
    mmio.write32(r.ITR, 4000);
    mmio.write32(r.ICS, 4);
    expect(count(fd)).toBe(1);
    at(2);
    // None waited for that.
    expect(count(fd)).toBe(0);
    mmio.read32(r.ICR);
    mmio.write32(r.ICS, 4);
    mmio.write32(r.ICS, 0x10);
    expect(count(fd)).toBe(1);
    at(2);
    expect(count(fd)).toBe(1);
  });

  it('by vectors go where the table says, if it does, and not more often than they may', () => {
    const fds = driver.opened.device
      .interrupt('msix')
      .enable(5)
      .map(({ fd }) => fd);
    const counts = (): number[] => fds.map(count);
    driver.start();
    const other = 1 << 24;
    const cause = (): void => {
      mmio.write32(r.ICR, 0xffff_ffff);
      mmio.write32(r.ICS, other);
    };
    mmio.write32(r.IMS, other);
    mmio.write32(r.IVAR, 0x0003_0000);
    cause();
    expect(counts()).toEqual([0, 0, 0, 0, 0]);
    mmio.write32(r.IVAR, 0x000b_0000);
    mmio.write32(r.EITR0 + 12, 4000);
    cause();
    expect(counts()).toEqual([0, 0, 0, 1, 0]);
    at(2);
    expect(counts()).toEqual([0, 0, 0, 0, 0]);
    cause();
    cause();
    expect(counts()).toEqual([0, 0, 0, 1, 0]);
    at(2);
    expect(counts()).toEqual([0, 0, 0, 1, 0]);
  });
});

describe('receive-side scaling', () => {
  const [RXCSUM, MRQC, RETA, RSSRK, RDBAL1] = [0x5000, 0x5818, 0x5c00, 0x5c80, 0x2900];
  const key = Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex');
  /** What the specification of receive-side scaling has to verify an implementation by: 'address:port', and the hashes with ports and without. */
  const vectors = [
    ['66.9.149.187:2794', '161.142.100.80:1766', 0x51cc_c178, 0x323e_8fc2],
    ['199.92.111.2:14230', '65.69.140.83:4739', 0xc626_b0ea, 0xd718_262a],
    ['24.19.198.95:12898', '12.22.207.184:38024', 0x5c2b_394a, 0xd2d0_a5de],
    ['38.27.205.30:48228', '209.142.163.6:2217', 0xafc7_327f, 0x8298_9176],
    ['153.39.163.191:44251', '202.188.127.2:1303', 0x10e8_28a2, 0x5d18_09c5],
    ['3ffe:2501:200:1fff::7 2794', '3ffe:2501:200:3::1 1766', 0x4020_7d3d, 0x2cc1_8cd5],
    ['3ffe:501:8::260:97ff:fe40:efab 14230', 'ff02::1 4739', 0xdde5_1bbf, 0x0f0c_461c],
    ['3ffe:1900:4545:3:200:f8ff:fe21:67cf 44251', 'fe80::200:f8ff:fe21:67cf 38024', 0x02d1_feef, 0x4b61_e985],
  ] as const;
  const words = (address: string): number[] => {
    const [before = [], after] = address.split('::').map((part) => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16))));
    return after === undefined ? before : [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  };
  const party = (text: string): { bytes: number[]; port: number } => {
    const [address = '', port = ''] = text.includes(' ') ? text.split(' ') : text.split(':');
    const bytes = address.includes('.') ? address.split('.').map(Number) : words(address).flatMap((word) => [word >> 8, word & 0xff]);
    return { bytes, port: Number(port) };
  };
  const flow = (from: string, to: string, protocol: number): Uint8Array => {
    const [source, target] = [party(from), party(to)];
    const isIpv4 = source.bytes.length === 4;
    const bytes = frame(station, 90, isIpv4 ? 0x0800 : 0x86dd);
    const header = isIpv4 ? [0x45, 0, 0, 76, 0, 0, 0, 0, 64, protocol, 0, 0] : [0x60, 0, 0, 0, 0, 36, protocol, 64];
    bytes.set([...header, ...source.bytes, ...target.bytes], 14);
    const at = isIpv4 ? 34 : 54;
    const view = new DataView(bytes.buffer);
    view.setUint16(at, source.port);
    view.setUint16(at + 2, target.port);
    bytes[at + 12] = 0x50;
    return bytes;
  };
  const start = (mode: number, { checksums = 1 << 13, filters = 0x8000 } = {}): void => {
    driver.start({ filters });
    mmio.write32(RXCSUM, checksums);
    mmio.write32(MRQC, mode);
    for (let at = 0; at < key.byteLength; at += 4) mmio.write32(RSSRK + at, key.readUInt32LE(at));
  };
  /** What the descriptor says of a frame: type and queue, and the hash. */
  const told = (bytes: Uint8Array): readonly number[] => {
    card.receive(bytes);
    return driver.take({ extended: true })[0]?.words.slice(0, 2) ?? [];
  };

  it.each(vectors)('of %s to %s is what the specification says', (from, to, withPorts, addresses) => {
    const isIpv4 = from.includes('.');
    const [plain, tcp] = isIpv4 ? [2, 1] : [5, 3];
    start(0x0017_0001);
    expect(told(flow(from, to, 6))).toEqual([tcp, withPorts]);
    expect(told(flow(from, to, 17))).toEqual([plain, addresses]);
    start(isIpv4 ? 0x0002_0001 : 0x0008_0001);
    expect(told(flow(from, to, 6))).toEqual([isIpv4 ? 2 : 4, addresses]);
  });

  it('is off without extended descriptors, where checksums are told instead, and of what is not asked for', () => {
    const [from, to] = [vectors[0][0], vectors[0][1]];
    start(0x0013_0001, { checksums: 0 });
    expect(told(flow(from, to, 6))).toEqual([0, 0]);
    for (const mode of [0x0013_0000, 0x0013_0002, 0x0013_0003, 0x0010_0001, 0x0001_0001]) {
      start(mode);
      expect(told(flow(from, to, 17))).toEqual([0, 0]);
    }
    for (const mode of [0x0003_0001, 0x0013_0001]) {
      start(mode);
      expect(told(flow(vectors[5][0], vectors[5][1], 6))).toEqual(mode === 0x0003_0001 ? [0, 0] : [5, vectors[5][3]]);
    }
    start(0x0013_0001);
    expect([told(frame(station, 90)), told(frame(station, 60, 0x0800))]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    start(0x0013_0001, { filters: 0 });
    for (let at = 0; at < 128; at += 4) mmio.write32(RETA + at, 0x8080_8080);
    card.receive(flow(from, to, 6));
    expect(driver.take()).toHaveLength(1);
  });

  it('gives a frame to the queue that the table has for its hash, which interrupts by itself', () => {
    const ring = driver.opened.dma.allocate(4096);
    const view = new DataView(ring.memory);
    view.setBigUint64(0, ring.iova + 2048n, true);
    view.setBigUint64(16, ring.iova + 2048n, true);
    start(0x0013_0001);
    mmio.write32(RDBAL1, Number(ring.iova));
    mmio.write32(RDBAL1 + 8, 128);
    mmio.write32(RDBAL1 + 0x10, 0);
    const [from, to, hash] = vectors[0];
    const entry = hash & 0x7f;
    mmio.write32(RETA + (entry & ~3), (0x80 << (8 * (entry & 3))) >>> 0);
    const messages = driver.opened.device.interrupt('msix').enable(5);
    expect(messages).toHaveLength(5);
    // For want of buffers there it waits, and all behind it.
    card.receive(flow(from, to, 6));
    card.receive(flow(from, to, 17));
    expect([driver.take({ extended: true }), causes() & (3 << 20)]).toEqual([[], 0]);
    mmio.write32(RDBAL1 + 0x18, 1);
    expect([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true) & 3]).toEqual([0x101, hash, 3]);
    expect([driver.take({ extended: true }).length, causes() & (3 << 20)]).toEqual([1, 3 << 20]);
  });
});
