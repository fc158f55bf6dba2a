/** What is in an Ethernet frame, as far as the card looks: addresses, VLAN tags, IP, TCP and UDP. */
const headerSize = 14;
const tagSize = 4;
const [ipv4, ipv6, vlan, doubleVlan] = [0x0800, 0x86dd, 0x8100, 0x88a8];
const [tcp, udp] = [6, 17];
const minimum = { ipv4: 20, ipv6: 40, tcp: 20, udp: 8 } as const;

export type Destination = 'unicast' | 'multicast' | 'broadcast';

export function destinationOf(frame: Uint8Array): Destination {
  if (((frame[0] ?? 0) & 1) === 0) return 'unicast';
  for (let index = 0; index < 6; index += 1) if (frame[index] !== 0xff) return 'multicast';
  return 'broadcast';
}

export interface Layers {
  readonly network: 'ipv4' | 'ipv6' | undefined;
  readonly transport: 'tcp' | 'udp' | undefined;
  /** Where the network header begins, and what it carries. */
  readonly networkAt: number;
  readonly transportAt: number;
  readonly fragment: boolean;
}

/** A word of 16 bits, big-endian as all of the network; 0 past the end. */
export function word(frame: Uint8Array, at: number): number {
  return ((frame[at] ?? 0) << 8) | (frame[at + 1] ?? 0);
}

/** Undefined: it is cut off in the middle of a header. */
export function layersOf(frame: Uint8Array): Layers | undefined {
  if (frame.byteLength < headerSize) return undefined;
  let networkAt = headerSize;
  for (let type = word(frame, 12); type === vlan || type === doubleVlan; type = word(frame, networkAt - 2)) networkAt += tagSize;
  const type = word(frame, networkAt - 2);
  const room = frame.byteLength - networkAt;
  if (type === ipv4) {
    const length = ((frame[networkAt] ?? 0) & 0xf) * 4;
    if (length < minimum.ipv4 || room < length) return undefined;
    const protocol = (frame[networkAt] ?? 0) >> 4 === 4 ? frame[networkAt + 9] : undefined;
    const fragment = (word(frame, networkAt + 6) & 0x3fff) !== 0;
    return { network: 'ipv4', networkAt, fragment, ...transportOf(frame, networkAt + length, protocol, fragment) };
  }
  if (type === ipv6) {
    if (room < minimum.ipv6) return undefined;
    return { network: 'ipv6', networkAt, fragment: false, ...transportOf(frame, networkAt + minimum.ipv6, frame[networkAt + 6], false) };
  }
  return { network: undefined, transport: undefined, networkAt, transportAt: networkAt, fragment: false };
}

function transportOf(
  frame: Uint8Array,
  transportAt: number,
  protocol: number | undefined,
  fragment: boolean,
): Pick<Layers, 'transport' | 'transportAt'> {
  const transport = protocol === tcp ? 'tcp' : protocol === udp ? 'udp' : undefined;
  const whole = frame.byteLength - transportAt >= (transport === 'udp' ? minimum.udp : minimum.tcp);
  return { transport: fragment || whole ? transport : undefined, transportAt };
}

/** The sum of 16-bit words in ones' complement, of an odd last byte as the upper half of one. */
function sumOf(frame: Uint8Array, from: number, to: number, sum = 0): number {
  let total = sum;
  let at = from;
  for (; at + 1 < to; at += 2) total += word(frame, at);
  if (at < to) total += (frame[at] ?? 0) << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x1_0000);
  return total;
}

/** The sum of the addresses, protocol and length that a transport's checksum is over too. */
function pseudoHeader(frame: Uint8Array, { network, networkAt, transport }: Layers, length: number): number {
  const addresses = network === 'ipv4' ? ([12, 20] as const) : ([8, 40] as const);
  return sumOf(frame, networkAt + addresses[0], networkAt + addresses[1], length + (transport === 'tcp' ? tcp : udp));
}

/** Whether the IPv4 header's checksum is right. */
export function networkChecksumValid(frame: Uint8Array, { networkAt, transportAt }: Layers): boolean {
  return sumOf(frame, networkAt, transportAt) === 0xffff;
}

/** Whether the transport's checksum is right; undefined where there is none to look at. */
export function transportChecksumValid(frame: Uint8Array, layers: Layers): boolean | undefined {
  const { network, networkAt, transport, transportAt, fragment } = layers;
  if (transport === undefined || fragment) return undefined;
  if (transport === 'udp' && word(frame, transportAt + 6) === 0) return undefined;
  const length =
    transport === 'udp'
      ? word(frame, transportAt + 4)
      : network === 'ipv4'
        ? word(frame, networkAt + 2) - (transportAt - networkAt)
        : word(frame, networkAt + 4);
  return sumOf(frame, transportAt, transportAt + length, pseudoHeader(frame, layers, length)) === 0xffff;
}

function putWord(frame: Uint8Array, at: number, value: number): void {
  frame[at] = value >> 8;
  frame[at + 1] = value & 0xff;
}

/** Puts the IPv4 header's length and checksum in. */
export function fillNetworkChecksum(frame: Uint8Array, { network, networkAt, transportAt }: Layers): void {
  if (network !== 'ipv4') return;
  putWord(frame, networkAt + 2, frame.byteLength - networkAt);
  putWord(frame, networkAt + 10, 0);
  putWord(frame, networkAt + 10, ~sumOf(frame, networkAt, transportAt) & 0xffff);
}

/** Puts the transport's checksum in. */
export function fillTransportChecksum(frame: Uint8Array, layers: Layers): void {
  const { transport, transportAt } = layers;
  if (transport === undefined) return;
  const at = transportAt + (transport === 'tcp' ? 16 : 6);
  const length = frame.byteLength - transportAt;
  putWord(frame, at, 0);
  const sum = ~sumOf(frame, transportAt, frame.byteLength, pseudoHeader(frame, layers, length)) & 0xffff;
  putWord(frame, at, sum === 0 ? 0xffff : sum);
}

/** The frame without its VLAN tag of that type, and what was in the tag; undefined: it has none. */
export function takeTag(frame: Uint8Array, type: number): { readonly frame: Uint8Array; readonly tag: number } | undefined {
  if (word(frame, 12) !== type || frame.byteLength < headerSize + tagSize) return undefined;
  const untagged = new Uint8Array(frame.byteLength - tagSize);
  untagged.set(frame.subarray(0, 12));
  untagged.set(frame.subarray(16), 12);
  return { frame: untagged, tag: word(frame, 14) };
}

/** The frame with a VLAN tag. */
export function putTag(frame: Uint8Array, type: number, tag: number): Uint8Array {
  const tagged = new Uint8Array(frame.byteLength + tagSize);
  tagged.set(frame.subarray(0, 12));
  putWord(tagged, 12, type);
  putWord(tagged, 14, tag);
  tagged.set(frame.subarray(12), 16);
  return tagged;
}
