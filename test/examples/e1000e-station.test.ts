/** ARP and ICMP echo of the network card's example. */
import { describe, expect, it } from 'vitest';
import { parseIpv4, parseStation } from '../../examples/e1000e/addresses.js';
import {
  arpReply,
  arpRequest,
  echoEnd,
  echoReply,
  echoRequest,
  internetChecksum,
  isArp,
  turnEcho,
  writeArp,
  writeEcho,
} from '../../examples/e1000e/packets.js';
import { Station } from '../../examples/e1000e/station.js';
import { Capture, E1000e, wire } from 'vfio/sim';
import { open, wiredModels } from './e1000e-cards.js';

const one = { station: parseStation('52:54:00:00:00:01'), address: parseIpv4('10.0.0.1') };
const other = { station: parseStation('52:54:00:00:00:02'), address: parseIpv4('10.0.0.2') };

describe('packets', () => {
  it('have the checksum that RFC 1071 has as its example', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(internetChecksum(bytes, 0, 8)).toBe(~0xddf2 & 0xffff);
    expect(internetChecksum(Uint8Array.of(1, 2, 3), 0, 3)).toBe(~(0x0102 + 0x0300) & 0xffff);
  });

  it('of ARP are known by their operation', () => {
    const frame = new Uint8Array(60).fill(0xff);
    const length = writeArp(frame, arpRequest, one, other);
    expect([length, isArp(frame, length, arpRequest), isArp(frame, length, arpReply), isArp(frame, 41, arpRequest)]).toEqual([
      60,
      true,
      false,
      false,
    ]);
    expect(Buffer.from(frame.subarray(0, 42)).toString('hex')).toBe(
      'ffffffffffff5254000000010806' + '0001080006040001' + '5254000000010a000001' + '5254000000020a000002',
    );
  });

  it.each([0, 1, 56, 1472])('that ask for an echo of %i bytes become the answer', (size) => {
    const frame = new Uint8Array(1514);
    const length = writeEcho(frame, one, other, { identifier: 7, sequence: 9, size });
    expect([length, echoEnd(frame, length, echoRequest, other.address)]).toEqual([Math.max(60, 42 + size), 42 + size]);
    turnEcho(frame, other.station, 42 + size);
    expect(echoEnd(frame, length, echoReply, one.address)).toBe(42 + size);
    expect([...frame.subarray(0, 12)]).toEqual([...one.station, ...other.station]);
  });

  it('are none when a byte of them is wrong, or when they are cut off', () => {
    const frame = new Uint8Array(1514);
    const length = writeEcho(frame, one, other, { identifier: 7, sequence: 9, size: 56 });
    for (let at = 12; at < length; at += 1) {
      frame[at]! ^= 0x10;
      expect([at, echoEnd(frame, length, echoRequest, other.address)]).toEqual([at, undefined]);
      frame[at]! ^= 0x10;
    }
    for (let cut = 0; cut < length; cut += 1) expect(echoEnd(frame, cut, echoRequest, other.address)).toBeUndefined();
  });
});

describe('a station', () => {
  it('finds another and has its echo, while that answers', async () => {
    const { cards, pool } = await open(wiredModels());
    const free = pool.free;
    const answering = new Station(cards[1]!, '10.0.0.2');
    const done = new AbortController();
    const answers = answering.answer(done.signal);
    const asking = new Station(cards[0]!, '10.0.0.1');
    for (const size of [0, 56, 1472]) expect(await asking.ping('10.0.0.2', { size })).toBeGreaterThan(0);
    const both = await Promise.all([asking.ping('10.0.0.2'), asking.ping('10.0.0.2')]);
    expect(both.every((milliseconds) => milliseconds > 0)).toBe(true);
    expect(answering.answered).toEqual({ arp: 1, echo: 5 });
    done.abort();
    await answers;
    for (const { transmit } of cards) transmit.reclaim();
    expect(pool.free).toBe(free);
  });

  it('asks again each second', async () => {
    const model = new E1000e();
    const capture = new Capture();
    wire(model, capture);
    const { cards } = await open([model]);
    const station = new Station(cards[0]!, '10.0.0.1');
    await expect(station.ping('10.0.0.2', { timeoutMilliseconds: 1500 })).rejects.toThrow('did not come within 1500 ms');
    expect(capture.received.map(({ bytes }) => isArp(bytes, bytes.byteLength, arpRequest))).toEqual([true, true]);
  });

  it('says who does not answer', async () => {
    const { cards } = await open([new E1000e()]);
    const station = new Station(cards[0]!, '10.0.0.1');
    const asked = station.ping('10.0.0.2', { timeoutMilliseconds: 20 });
    await expect(asked).rejects.toMatchObject({ code: 'ERR_UNANSWERED', message: 'The station of 10.0.0.2 did not come within 20 ms' });
    const stopped = station.ping('10.0.0.2', { signal: AbortSignal.timeout(20), timeoutMilliseconds: 60_000 });
    await expect(stopped).rejects.toThrow('abort');
  });

  it('answers nothing that is not for it', async () => {
    const model = new E1000e({ station: '52:54:00:00:00:01' });
    const capture = new Capture();
    wire(model, capture);
    const { cards, pool } = await open([model]);
    const free = pool.free;
    const station = new Station(cards[0]!, '10.0.0.1');
    const frame = new Uint8Array(60);
    writeArp(frame, arpRequest, other, { station: one.station, address: parseIpv4('10.0.0.3') });
    model.receive(frame.slice());
    frame.set(one.address, 38);
    frame.set(other.station, 0);
    model.receive(frame.slice());
    model.receive(frame.slice(0, 20));
    station.turn();
    expect([station.answered, capture.received, pool.free]).toEqual([{ arp: 0, echo: 0 }, [], free]);
    frame.set(one.station, 0);
    model.receive(frame.slice());
    station.turn();
    expect(isArp(capture.received[0]!.bytes, 60, arpReply)).toBe(true);
  });

  it.each(['10.0.0', '10.0.0.256', '10.0.0.1.1', 'here'])('has no address %s', async (address) => {
    const { cards } = await open([new E1000e()]);
    expect(() => new Station(cards[0]!, address)).toThrow(RangeError);
    await expect(new Station(cards[0]!, '10.0.0.1').ping(address)).rejects.toThrow(RangeError);
  });
});
