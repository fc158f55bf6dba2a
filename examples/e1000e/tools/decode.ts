/** What is in a frame, in one line, as tcpdump has it. Any bytes will do: what is cut off is said so, as '[|arp]'. */
import { formatIpv4, formatStation } from '../addresses.js';
import { etherTypes, wordAt } from '../packets.js';

const vlan = 0x8100,
  serviceVlan = 0x88a8,
  ipv6 = 0x86dd;
const header = 14;
const protocols = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
const shownBytes = 32;
const icmpTypes: Readonly<Record<number, string>> = {
  0: 'echo reply',
  3: 'destination unreachable',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
};
const icmpv6Types: Readonly<Record<number, string>> = {
  1: 'destination unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  128: 'echo request',
  129: 'echo reply',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbor solicitation',
  136: 'neighbor advertisement',
  143: 'multicast listener report',
};
/** From the lowest bit. */
const tcpFlags = 'FSRP.UEW';

export function describeFrame(frame: Uint8Array): string {
  if (frame.byteLength < header) return `[|ether] ${hex(frame)}`;
  const addresses = `${formatStation(frame.subarray(6, 12))} > ${formatStation(frame.subarray(0, 6))}`;
  return `${addresses}, length ${frame.byteLength}: ${describeType(wordAt(frame, 12), frame.subarray(header))}`;
}

function describeType(type: number, bytes: Uint8Array): string {
  switch (type) {
    case vlan:
    case serviceVlan:
      if (bytes.byteLength < 4) return '[|vlan]';
      return `vlan ${wordAt(bytes, 0) & 0xfff}, ${describeType(wordAt(bytes, 2), bytes.subarray(4))}`;
    case etherTypes.arp:
      return describeArp(bytes);
    case etherTypes.ipv4:
      return describeIpv4(bytes);
    case ipv6:
      return describeIpv6(bytes);
    default:
      return `ethertype 0x${type.toString(16).padStart(4, '0')}: ${hex(bytes)}`;
  }
}

function describeArp(bytes: Uint8Array): string {
  if (bytes.byteLength < 28) return '[|arp]';
  if (wordAt(bytes, 2) !== etherTypes.ipv4 || wordAt(bytes, 4) !== 0x0604) return `ARP, ${hex(bytes)}`;
  const [sender, target] = [formatIpv4(bytes.subarray(14, 18)), formatIpv4(bytes.subarray(24, 28))];
  const operation = wordAt(bytes, 6);
  if (operation === 1) return `ARP, Request who-has ${target} tell ${sender}`;
  return operation === 2 ? `ARP, Reply ${sender} is-at ${formatStation(bytes.subarray(8, 14))}` : `ARP, operation ${operation}`;
}

function describeIpv4(bytes: Uint8Array): string {
  if (bytes.byteLength < 20) return '[|ip]';
  const size = (bytes[0]! & 0xf) * 4;
  const length = wordAt(bytes, 2);
  if (bytes[0]! >> 4 !== 4 || size < 20 || length < size) return `IP, bad header ${hex(bytes.subarray(0, 20))}`;
  const [source, destination] = [formatIpv4(bytes.subarray(12, 16)), formatIpv4(bytes.subarray(16, 20))];
  const offset = (wordAt(bytes, 6) & 0x1fff) * 8;
  const protocol = bytes[9]!;
  if (offset > 0) return `IP ${source} > ${destination}: protocol ${protocol}, fragment at ${offset}, length ${length - size}`;
  // What is behind its end fills the frame up.
  return `IP ${describeTransport(protocol, source, destination, bytes.subarray(size, length), length - size)}`;
}

function describeIpv6(bytes: Uint8Array): string {
  if (bytes.byteLength < 40) return '[|ip6]';
  if (bytes[0]! >> 4 !== 6) return `IP6, bad header ${hex(bytes.subarray(0, 40))}`;
  const length = wordAt(bytes, 4);
  const [source, destination] = [formatIpv6(bytes.subarray(8, 24)), formatIpv6(bytes.subarray(24, 40))];
  return `IP6 ${describeTransport(bytes[6]!, source, destination, bytes.subarray(40, 40 + length), length)}`;
}

/** `length` is what the header says; there may be fewer bytes. */
function describeTransport(protocol: number, source: string, destination: string, bytes: Uint8Array, length: number): string {
  const between = `${source} > ${destination}:`;
  const ports = (): string => `${source}.${wordAt(bytes, 0)} > ${destination}.${wordAt(bytes, 2)}:`;
  switch (protocol) {
    case protocols.udp:
      return bytes.byteLength < 8 ? `${between} [|udp]` : `${ports()} UDP, length ${Math.max(wordAt(bytes, 4) - 8, 0)}`;
    case protocols.tcp: {
      if (bytes.byteLength < 20) return `${between} [|tcp]`;
      const flags = [...tcpFlags].filter((_, bit) => (bytes[13]! & (1 << bit)) !== 0).join('');
      return `${ports()} Flags [${flags || 'none'}], length ${Math.max(length - (bytes[12]! >> 4) * 4, 0)}`;
    }
    case protocols.icmp:
      return `${between} ICMP ${describeIcmp(icmpTypes, [0, 8], bytes, length)}`;
    case protocols.icmpv6:
      return `${between} ICMP6 ${describeIcmp(icmpv6Types, [128, 129], bytes, length)}`;
    default:
      return `${between} protocol ${protocol}, length ${length}`;
  }
}

function describeIcmp(types: Readonly<Record<number, string>>, echoes: readonly number[], bytes: Uint8Array, length: number): string {
  if (bytes.byteLength < 8) return '[|icmp]';
  const type = bytes[0]!;
  const echo = echoes.includes(type) ? `, id ${wordAt(bytes, 4)}, seq ${wordAt(bytes, 6)}` : '';
  return `${types[type] ?? `type ${type} code ${bytes[1]}`}${echo}, length ${length}`;
}

/** As RFC 5952 has it: the longest run of zeroes, if it is of two words or more, is '::'. */
function formatIpv6(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, index) => wordAt(bytes, 2 * index).toString(16));
  const runs = words
    .map((_, start) => words.slice(start).findIndex((word) => word !== '0'))
    .map((run, start) => (run < 0 ? 8 - start : run));
  const longest = Math.max(...runs);
  if (longest < 2) return words.join(':');
  const start = runs.indexOf(longest);
  return `${words.slice(0, start).join(':')}::${words.slice(start + longest).join(':')}`;
}

function hex(bytes: Uint8Array): string {
  const shown = Array.from(bytes.subarray(0, shownBytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return bytes.byteLength > shownBytes ? `${shown}…` : shown;
}
