/** What the network card reads in a frame and puts into it. */
import { describe, expect, it } from 'vitest';
import {
  destinationOf,
  fillNetworkChecksum,
  fillTransportChecksum,
  layersOf,
  networkChecksumValid,
  putTag,
  takeTag,
  transportChecksumValid,
  type Layers,
} from '../../lib/sim/models/e1000e/frame.js';

const [ipv4, ipv6, vlan] = [0x0800, 0x86dd, 0x8100];
const [tcp, udp, icmp] = [6, 17, 1];

/** A frame of that type with a payload. */
const frame = (type: number, ...payload: readonly (readonly number[])[]): Uint8Array =>
  Uint8Array.from([...Array<number>(12).fill(2), type >> 8, type & 0xff, ...payload.flat()]);
const header4 = (protocol: number, { first = 0x45, fragment = 0 } = {}): number[] => [
  ...[first, 0, 0, 0, 0, 0, fragment >> 8, fragment & 0xff, 64, protocol, 0, 0],
  ...[10, 0, 0, 1, 10, 0, 0, 2],
];
const header6 = (protocol: number, length = 0): number[] => [
  ...[0x60, 0, 0, 0, 0, length, protocol, 64],
  ...Array.from({ length: 32 }, (_, index) => index),
];
const zeros = (length: number): number[] => Array<number>(length).fill(0);
/** The protocols, or 'cut off'. */
const names = (bytes: Uint8Array): string => {
  const layers = layersOf(bytes);
  return layers === undefined ? 'cut off' : `${layers.network} ${layers.transport}${layers.fragment ? ' fragment' : ''}`;
};

it('is for one, for some or for all', () => {
  expect([0, 1, 0xff].map((first) => destinationOf(Uint8Array.of(first, 255, 255, 255, 255, 255)))).toEqual([
    ...['unicast', 'multicast', 'broadcast'],
  ]);
});

describe('the layers', () => {
  it('are found behind tags, if they are whole', () => {
    expect(names(frame(0x88b5))).toBe('undefined undefined');
    expect(names(frame(0x88b5).subarray(0, 13))).toBe('cut off');
    expect(names(frame(vlan, [0, 5, 0x08, 0x00], header4(tcp), zeros(20)))).toBe('ipv4 tcp');
    expect(names(frame(0x88a8, [0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00], header4(udp), zeros(8)))).toBe('ipv4 udp');
  });

  it('of IPv4 need a header as long as it says, of version 4', () => {
    expect(names(frame(ipv4, header4(tcp).slice(0, 19)))).toBe('cut off');
    expect(names(frame(ipv4, header4(tcp, { first: 0x44 }), zeros(20)))).toBe('cut off');
    expect(names(frame(ipv4, header4(tcp, { first: 0x46 })))).toBe('cut off');
    expect(names(frame(ipv4, header4(tcp, { first: 0x46 }), zeros(24)))).toBe('ipv4 tcp');
    expect(names(frame(ipv4, header4(tcp, { first: 0x55 }), zeros(20)))).toBe('ipv4 undefined');
    expect(names(frame(ipv4, header4(icmp), zeros(20)))).toBe('ipv4 undefined');
  });

  it('of IPv6 need one of 40 bytes', () => {
    expect(names(frame(ipv6, header6(tcp), zeros(20)))).toBe('ipv6 tcp');
    expect(names(frame(ipv6, header6(tcp).slice(0, 39)))).toBe('cut off');
  });

  it('have a transport if its header is whole, or in a fragment', () => {
    expect([19, 20].map((size) => names(frame(ipv4, header4(tcp), zeros(size))))).toEqual(['ipv4 undefined', 'ipv4 tcp']);
    expect([7, 8].map((size) => names(frame(ipv4, header4(udp), zeros(size))))).toEqual(['ipv4 undefined', 'ipv4 udp']);
    expect(names(frame(ipv4, header4(tcp, { fragment: 0x2000 }), zeros(4)))).toBe('ipv4 tcp fragment');
    expect(names(frame(ipv4, header4(udp, { fragment: 1 }), zeros(4)))).toBe('ipv4 udp fragment');
    // That it may not be one.
    expect(names(frame(ipv4, header4(udp, { fragment: 0x4000 }), zeros(8)))).toBe('ipv4 udp');
  });
});

describe('checksums', () => {
  const layersIn = (bytes: Uint8Array): Layers => layersOf(bytes)!;

  it('are filled in and found right, of each network and transport', () => {
    for (const bytes of [
      frame(ipv4, header4(tcp), zeros(20), [1, 2, 3]),
      frame(ipv4, header4(udp), [0, 0, 0, 0, 0, 11, 0, 0], [1, 2, 3]),
      frame(ipv6, header6(tcp, 23), zeros(20), [1, 2, 3]),
    ]) {
      const layers = layersIn(bytes);
      const before = bytes.slice();
      fillNetworkChecksum(bytes, layers);
      // There is none in IPv6.
      if (layers.network === 'ipv6') expect(bytes).toEqual(before);
      else expect(networkChecksumValid(bytes, layers)).toBe(true);
      fillTransportChecksum(bytes, layers);
      expect(transportChecksumValid(bytes, layers)).toBe(true);
      bytes[bytes.byteLength - 1]! ^= 1;
      expect(transportChecksumValid(bytes, layers)).toBe(false);
    }
  });

  it('are not there without a transport, in a fragment, and of UDP where they are 0', () => {
    const valid = (bytes: Uint8Array): boolean | undefined => transportChecksumValid(bytes, layersIn(bytes));
    expect(valid(frame(ipv4, header4(icmp), zeros(20)))).toBeUndefined();
    expect(valid(frame(ipv4, header4(tcp, { fragment: 1 }), zeros(20)))).toBeUndefined();
    expect(valid(frame(ipv4, header4(udp), [0, 0, 0, 0, 0, 8, 0, 0]))).toBeUndefined();
    expect(valid(frame(ipv4, header4(udp), [0, 0, 0, 0, 0, 8, 0, 1]))).toBe(false);
    const other = frame(ipv4, header4(icmp), zeros(20));
    const before = other.slice();
    fillTransportChecksum(other, layersIn(other));
    expect(other).toEqual(before);
  });
});

it('a tag is put in and taken out, if it is whole and of that type', () => {
  const plain = frame(0x88b5, zeros(2));
  const tagged = putTag(plain, vlan, 0x2005);
  expect(takeTag(tagged, vlan)).toEqual({ frame: plain, tag: 0x2005 });
  expect([takeTag(tagged, 0x88a8), takeTag(frame(vlan, [0, 5, 8]), vlan)]).toEqual([undefined, undefined]);
});
