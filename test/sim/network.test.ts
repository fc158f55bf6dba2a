import { describe, expect, it } from 'vitest';
import { openDevice } from '../../lib/index.js';
import { Capture, E1000e, Machine, pcapFrame, pcapHeader, readPcap, wire, writePcap } from '../../lib/sim/index.js';
import { CardDriver } from '../support/models/e1000e-driver.js';
import { Trace } from '../support/models/trace.js';

const frame = (size: number, seed: number): Uint8Array => {
  const bytes = Uint8Array.from({ length: size }, (_, index) => (index * seed) & 0xff);
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, seed, 0x88, 0xb5]);
  return bytes;
};

const started = (card: E1000e): CardDriver => {
  const opened = openDevice(new Machine({ devices: [{ model: card }] }).kernel, '0000:00:03.0');
  opened.device.enableBusMaster();
  const driver = new CardDriver(opened, new Trace(), 'A');
  driver.start();
  return driver;
};

describe('a capture', () => {
  const frames = [
    { bytes: frame(60, 3), time: 1_700_000_000_123_456_789n },
    { bytes: frame(1514, 5), time: 1_700_000_001_000_000_000n },
  ];

  it('is written and read again', () => {
    expect(readPcap(writePcap(frames))).toEqual(frames);
    expect(readPcap(writePcap([]))).toEqual([]);
    expect(writePcap(frames)).toEqual(Uint8Array.of(...pcapHeader(), ...frames.flatMap((each) => [...pcapFrame(each)])));
  });

  it('has the header and frames that other programs read', () => {
    const file = Buffer.from(writePcap([{ bytes: frame(14, 3), time: 1_500_000_002n }]));
    expect(file.subarray(0, 24).toString('hex')).toBe('4d3cb2a1020004000000000000000000' + '0000040001000000');
    expect(file.subarray(24, 40).toString('hex')).toBe('010000000265cd1d' + '0e0000000e000000');
    expect(file).toHaveLength(54);
  });

  it('is read in either byte order, with times of either unit', () => {
    const file = new DataView(new ArrayBuffer(24 + 16 + 14));
    for (const little of [true, false]) {
      for (const [magic, time] of [
        [0xa1b2_c3d4, 7_000_005_000n],
        [0xa1b2_3c4d, 7_000_000_005n],
      ] as const) {
        file.setUint32(0, magic, little);
        file.setUint32(20, 1, little);
        for (const [index, word] of [7, 5, 14, 14].entries()) file.setUint32(24 + 4 * index, word, little);
        expect(readPcap(new Uint8Array(file.buffer))).toEqual([{ bytes: new Uint8Array(14), time }]);
      }
    }
    // The last frame is not whole.
    expect(readPcap(new Uint8Array(file.buffer, 0, 50))).toEqual([]);
  });

  it('of something else is refused', () => {
    expect(() => readPcap(new Uint8Array(10))).toThrow(/at least 24 bytes for file but received 10/);
    expect(() => readPcap(new Uint8Array(24).fill(0x0a))).toThrow(/a pcap file for file but received 'one that begins with 0xa0a0a0a'/);
    const other = writePcap([]);
    other[20] = 113;
    expect(() => new Capture(other)).toThrow(/of Ethernet, link type 1, for file but received 'one of link type 113'/);
  });

  it('is received by a card, and records what the card sends', async () => {
    const card = new E1000e();
    const capture = new Capture(writePcap(frames));
    wire(card, capture);
    const driver = started(card);
    capture.play();
    await driver.arrived(2);
    expect(driver.take().map(({ bytes }) => bytes)).toEqual(frames.map(({ bytes }) => bytes));
    capture.play();
    expect(driver.take()).toHaveLength(2);
    driver.send([[frame(80, 9)]]);
    expect(readPcap(capture.toPcap()).map(({ bytes }) => bytes)).toEqual([frame(80, 9)]);
    expect(capture.received[0]!.time / 1_000_000n - BigInt(Date.now())).toBeLessThan(60_000n);
    driver.opened.close();
  });
});

describe('a cable', () => {
  it('that is pulled takes the link down, and up again when it is put back', async () => {
    const [one, other] = [new E1000e(), new E1000e({ station: '52:54:00:12:34:57' })];
    wire(one, other);
    const driver = started(one);
    const { registers } = driver;
    registers.read32(0xc0);
    one.plugged = false;
    expect(registers.read32(0x08) & 2).toBe(0);
    expect(registers.read32(0xc0) & 4).toBe(4);
    one.plugged = true;
    expect(registers.read32(0x08) & 2).toBe(0);
    await expect.poll(() => registers.read32(0x08) & 2, { timeout: 3000 }).toBe(2);
    driver.opened.close();
  });

  it('goes where it was put last', async () => {
    const card = new E1000e();
    const [first, second] = [new Capture(), new Capture()];
    wire(card, first);
    wire(card, second);
    const driver = started(card);
    driver.send([[frame(60, 1)]]);
    expect([first, second].map(({ received }) => received.length)).toEqual([0, 1]);
    driver.opened.close();
  });

  it('to nowhere loses frames', () => {
    const driver = started(new E1000e());
    driver.send([[frame(60, 1)]]);
    expect(driver.statuses[0]).toBe(1);
    driver.opened.close();
  });

  it('of a card with no such address is refused', () => {
    expect(() => new E1000e({ station: '52-54' })).toThrow(/the address of a station, like '52:54:00:12:34:56', for station/);
    expect(() => new E1000e({ station: '01:00:5e:00:00:01' })).toThrow(/for station/);
  });
});
