/** Frames in a line, as tcpdump has them. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { describeFrame } from '../../examples/e1000e/tools/decode.js';

const addresses = '525400000002' + '525400000001';
const named = '52:54:00:00:00:01 > 52:54:00:00:00:02';
const ipv4 = (protocol: string, length: string, fragment = '0000'): string =>
  `0800 4500${length} 0001${fragment} 40${protocol}0000 0a000001 0a000002`;
const ipv6 = (next: string, length: string): string =>
  `86dd 60000000 ${length}${next}ff fe800000000000000000000000000001 ff020000000000000000000000010002`;

const frames: readonly (readonly [bytes: string, line: string])[] = [
  ['0806 0001080006040001 525400000001 0a000001 000000000000 0a000002', 'ARP, Request who-has 10.0.0.2 tell 10.0.0.1'],
  ['0806 0001080006040002 525400000001 0a000001 525400000002 0a000002', 'ARP, Reply 10.0.0.1 is-at 52:54:00:00:00:01'],
  ['0806 00010800', '[|arp]'],
  [`${ipv4('01', '001c')} 0800 0000 0007 0009 ffff`, 'IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7, seq 9, length 8'],
  [`${ipv4('01', '001c')} 0301 0000 0000 0000`, 'IP 10.0.0.1 > 10.0.0.2: ICMP destination unreachable, length 8'],
  [`${ipv4('11', '0020')} 0035 1000 000c 0000 01020304`, 'IP 10.0.0.1.53 > 10.0.0.2.4096: UDP, length 4'],
  [`${ipv4('06', '002a')} 0050 1000 00000000 00000000 5012 0000 0000 0000 0102`, 'IP 10.0.0.1.80 > 10.0.0.2.4096: Flags [S.], length 2'],
  [`${ipv4('06', '0028')} 0050 1000`, 'IP 10.0.0.1 > 10.0.0.2: [|tcp]'],
  [`${ipv4('11', '0020', '2001')} 00`, 'IP 10.0.0.1 > 10.0.0.2: protocol 17, fragment at 8, length 12'],
  [`${ipv4('59', '0020')} 00`, 'IP 10.0.0.1 > 10.0.0.2: protocol 89, length 12'],
  ['0800 4000 0014', '[|ip]'],
  ['8100 6005 0806 00', 'vlan 5, [|arp]'],
  ['88a8 0001 8100 0002 8100', 'vlan 1, vlan 2, [|vlan]'],
  [`${ipv6('3a', '0008')} 8700 0000 0000 0000`, 'IP6 fe80::1 > ff02::1:2: ICMP6 neighbor solicitation, length 8'],
  [`${ipv6('11', '0009')} 0222 0223 0009 0000 01`, 'IP6 fe80::1.546 > ff02::1:2.547: UDP, length 1'],
  ['86dd 6000', '[|ip6]'],
  ['88b5 010203', 'ethertype 0x88b5: 010203'],
];

it.each(frames)('%s', (bytes, line) => {
  const frame = Buffer.from(`${addresses}${bytes}`.replaceAll(' ', ''), 'hex');
  expect(describeFrame(frame)).toBe(`${named}, length ${frame.byteLength}: ${line}`);
});

it('any bytes have a line of a decent length', () => {
  const types = fc.constantFrom(0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x88b5);
  const bytes = fc.tuple(types, fc.constantFrom(0x45, 0x4f, 0x60, 0x00), fc.uint8Array({ maxLength: 200 })).map(([type, first, rest]) => {
    const frame = Uint8Array.of(...new Array<number>(12).fill(2), type >> 8, type & 0xff, first, ...rest);
    return frame.subarray(0, frame.byteLength - ((rest[0] ?? 0) % 16));
  });
  fc.assert(
    fc.property(fc.oneof(bytes, fc.uint8Array({ maxLength: 80 })), (frame) => {
      const line = describeFrame(frame);
      expect(line).toMatch(/^[^\n]{1,500}$/);
      expect(line).not.toMatch(/undefined|NaN/);
    }),
  );
});
