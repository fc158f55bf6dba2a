/** ARP (RFC 826), IPv4 (RFC 791) and ICMP echo (RFC 792), as far as a station needs them to be asked whether it is there. */

/** Bytes of a frame without its checksum, at least: a shorter one is filled up. */
export const smallestFrame = 60;
export const etherTypes = { ipv4: 0x0800, arp: 0x0806 } as const;
export const arpRequest = 1,
  arpReply = 2;
export const echoReply = 0,
  echoRequest = 8;
/** Where things are in a frame: after the header of Ethernet, and after that of IPv4, which has no options here. */
const header = 14;
export const arpAt = {
  operation: header + 6,
  senderStation: header + 8,
  sender: header + 14,
  targetStation: header + 18,
  target: header + 24,
};
export const ipv4At = { length: header + 2, identification: header + 4, ttl: header + 8, checksum: header + 10, source: header + 12 };
export const echoAt = { type: 34, checksum: 36, identifier: 38, sequence: 40, data: 42 };
const udpAt = { source: 34, destination: 36, length: 38 };
const udpEnd = 42;
/** The port that takes what comes and does nothing (RFC 863). */
const discard = 9;
const arpEnd = header + 28;
const ipv4Destination = header + 16;
const [icmp, udp] = [1, 17];
const hops = 64;

/** What a station and an address belong to. */
export interface Party {
  /** Six bytes. */
  readonly station: Uint8Array;
  /** Four bytes. */
  readonly address: Uint8Array;
}

export const everyone = new Uint8Array(6).fill(0xff);

export function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 8;
  bytes[at + 1] = word;
}

/** Whether bytes of a frame are those of an address. */
export function equalAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  return wanted.every((byte, index) => bytes[at + index] === byte);
}

/** The checksum of the internet (RFC 1071) over a part of a frame: 0 where that has its own, and is right. */
export function internetChecksum(bytes: Uint8Array, from: number, end: number): number {
  let sum = 0;
  for (let at = from; at < end; at += 2) sum += (bytes[at]! << 8) | (at + 1 < end ? bytes[at + 1]! : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Whether it is ARP of Ethernet and IPv4, of this operation. */
export function isArp(frame: Uint8Array, length: number, operation: number): boolean {
  return (
    length >= arpEnd &&
    wordAt(frame, 12) === etherTypes.arp &&
    wordAt(frame, header) === 1 &&
    wordAt(frame, header + 2) === etherTypes.ipv4 &&
    wordAt(frame, header + 4) === 0x0604 &&
    wordAt(frame, arpAt.operation) === operation
  );
}

/** Where the ICMP message ends in a frame of `length` bytes that has a whole and right echo of this type to this address; undefined: it is something else. */
export function echoEnd(frame: Uint8Array, length: number, type: number, to: Uint8Array): number | undefined {
  if (length < echoAt.data || wordAt(frame, 12) !== etherTypes.ipv4 || frame[header] !== 0x45) return undefined;
  const end = header + wordAt(frame, ipv4At.length);
  const isFragment = (wordAt(frame, header + 6) & 0x3fff) !== 0;
  if (frame[header + 9] !== icmp || isFragment || end < echoAt.data || end > length || frame[echoAt.type] !== type) return undefined;
  if (!equalAt(frame, ipv4Destination, to) || internetChecksum(frame, header, echoAt.type) !== 0) return undefined;
  return internetChecksum(frame, echoAt.type, end) === 0 ? end : undefined;
}

/** Writes ARP into a frame. Returns its length. */
export function writeArp(frame: Uint8Array, operation: number, from: Party, to: Party): number {
  writeHeader(frame, from.station, operation === arpRequest ? everyone : to.station, etherTypes.arp);
  putWord(frame, header, 1);
  putWord(frame, header + 2, etherTypes.ipv4);
  putWord(frame, header + 4, 0x0604);
  putWord(frame, arpAt.operation, operation);
  frame.set(from.station, arpAt.senderStation);
  frame.set(from.address, arpAt.sender);
  frame.set(to.station, arpAt.targetStation);
  frame.set(to.address, arpAt.target);
  frame.fill(0, arpEnd, smallestFrame);
  return smallestFrame;
}

export interface Echo {
  readonly identifier: number;
  readonly sequence: number;
  /** Bytes of its data. */
  readonly size: number;
}

/** Writes an ICMP echo request into a frame, with data that follows from the sequence number. Returns its length. */
export function writeEcho(frame: Uint8Array, from: Party, to: Party, { identifier, sequence, size }: Echo): number {
  const end = echoAt.data + size;
  writeHeader(frame, from.station, to.station, etherTypes.ipv4);
  frame.fill(0, header, echoAt.data);
  frame[header] = 0x45;
  putWord(frame, ipv4At.length, end - header);
  putWord(frame, ipv4At.identification, sequence);
  frame[ipv4At.ttl] = hops;
  frame[header + 9] = icmp;
  frame.set(from.address, ipv4At.source);
  frame.set(to.address, ipv4Destination);
  putWord(frame, ipv4At.checksum, internetChecksum(frame, header, echoAt.type));
  frame[echoAt.type] = echoRequest;
  putWord(frame, echoAt.identifier, identifier);
  putWord(frame, echoAt.sequence, sequence);
  for (let at = echoAt.data; at < end; at += 1) frame[at] = sequence + at;
  putWord(frame, echoAt.checksum, internetChecksum(frame, echoAt.type, end));
  frame.fill(0, end, smallestFrame);
  return Math.max(end, smallestFrame);
}

/** Writes the headers of IPv4 and UDP into a frame of `size` bytes, from 10.0.0.FLOW to all of its network, without UDP's checksum. */
export function writeUdp(frame: Uint8Array, flow: number, size: number): void {
  putWord(frame, 12, etherTypes.ipv4);
  frame.fill(0, header, udpEnd);
  frame[header] = 0x45;
  putWord(frame, ipv4At.length, size - header);
  frame[ipv4At.ttl] = hops;
  frame[header + 9] = udp;
  frame.set([10, 0, 0, flow], ipv4At.source);
  frame.set([10, 255, 255, 255], ipv4Destination);
  putWord(frame, ipv4At.checksum, internetChecksum(frame, header, udpAt.source));
  putWord(frame, udpAt.source, discard);
  putWord(frame, udpAt.destination, discard);
  putWord(frame, udpAt.length, size - udpAt.source);
}

/** Makes an echo request the reply to it, in its place: all else comes back as it was. */
export function turnEcho(frame: Uint8Array, station: Uint8Array, end: number): void {
  frame.copyWithin(0, 6, 12);
  frame.set(station, 6);
  for (let at = ipv4At.source; at < ipv4Destination; at += 1) {
    const source = frame[at]!;
    frame[at] = frame[at + 4]!;
    frame[at + 4] = source;
  }
  frame[ipv4At.ttl] = hops;
  putWord(frame, ipv4At.checksum, 0);
  putWord(frame, ipv4At.checksum, internetChecksum(frame, header, echoAt.type));
  frame[echoAt.type] = echoReply;
  putWord(frame, echoAt.checksum, 0);
  putWord(frame, echoAt.checksum, internetChecksum(frame, echoAt.type, end));
}

function writeHeader(frame: Uint8Array, from: Uint8Array, to: Uint8Array, type: number): void {
  frame.set(to, 0);
  frame.set(from, 6);
  putWord(frame, 12, type);
}
