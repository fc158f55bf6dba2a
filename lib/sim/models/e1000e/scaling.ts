/** Receive-side scaling: which of its queues the card gives a frame to, by a hash over what tells its flow from others. */
import type { Layers } from './frame.js';
import { MRQC, RETA, RFCTL, RSSRK, RXCSUM, type Registers } from './registers.js';

const extendedDescriptors = 1 << 15;
const hashesInstead = 1 << 13;
const [modeMask, scales] = [3, 1];
const [hashesTcp4, hashesIpv4, hashesTcp6, hashesIpv6Extended, hashesIpv6] = [1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20];
/** What the hash is of, as a descriptor tells. */
const types = { ipv4Tcp: 1, ipv4: 2, ipv6Tcp: 3, ipv6Extended: 4, ipv6: 5 } as const;
const keySize = 40;

export interface Scaled {
  readonly queue: 0 | 1;
  readonly hash: number;
  readonly type: number;
}

const unhashed: Scaled = { queue: 0, hash: 0, type: 0 };

/** Undefined: it is off, as it always is with legacy descriptors, and where these are to have checksums in the hash's place. */
export function scale(registers: Registers, frame: Uint8Array, layers: Layers | undefined): Scaled | undefined {
  const wanted = registers.get(MRQC);
  const possible = (registers.get(RFCTL) & extendedDescriptors) !== 0 && (registers.get(RXCSUM) & hashesInstead) !== 0;
  if ((wanted & modeMask) !== scales || !possible) return undefined;
  const type = layers === undefined ? undefined : typeOf(layers, wanted);
  if (layers === undefined || type === undefined) return unhashed;
  const { network, networkAt, transportAt } = layers;
  const addresses = network === 'ipv4' ? frame.subarray(networkAt + 12, networkAt + 20) : frame.subarray(networkAt + 8, networkAt + 40);
  const withPorts = type === types.ipv4Tcp || type === types.ipv6Tcp;
  const ports = withPorts ? frame.subarray(transportAt, transportAt + 4) : frame.subarray(0, 0);
  const hash = toeplitz(keyOf(registers), Uint8Array.of(...addresses, ...ports));
  const entry = hash & 0x7f;
  const queue = (registers.get(RETA + (entry & ~3)) >>> (8 * (entry & 3) + 7)) & 1;
  return { queue: queue as 0 | 1, hash, type };
}

/** Of UDP the addresses alone. */
function typeOf({ network, transport }: Layers, wanted: number): number | undefined {
  if (network === 'ipv4') {
    if (transport === 'tcp' && (wanted & hashesTcp4) !== 0) return types.ipv4Tcp;
    return (wanted & hashesIpv4) !== 0 ? types.ipv4 : undefined;
  }
  if (network !== 'ipv6') return undefined;
  if (transport === 'tcp' && (wanted & hashesTcp6) !== 0) return types.ipv6Tcp;
  if ((wanted & hashesIpv6Extended) !== 0) return types.ipv6Extended;
  return (wanted & hashesIpv6) !== 0 ? types.ipv6 : undefined;
}

function keyOf(registers: Registers): Uint8Array {
  return Uint8Array.from({ length: keySize }, (_, index) => registers.get(RSSRK + (index & ~3)) >>> (8 * (index & 3)));
}

/** For each bit of the input that is set, the 32 bits of the key from there on. */
function toeplitz(key: Uint8Array, input: Uint8Array): number {
  let hash = 0;
  let window = ((key[0] ?? 0) << 24) | ((key[1] ?? 0) << 16) | ((key[2] ?? 0) << 8) | (key[3] ?? 0);
  input.forEach((byte, index) => {
    for (let bit = 7; bit >= 0; bit -= 1) {
      if (((byte >> bit) & 1) !== 0) hash ^= window;
      window = (window << 1) | (((key[index + 4] ?? 0) >> bit) & 1);
    }
  });
  return hash >>> 0;
}
