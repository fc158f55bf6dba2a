import type { Mmio } from 'vfio';
import { deviceRegisters } from 'vfio/driver';
import { layout } from './layout.js';

/** The key that the specification of receive-side scaling has for verification, and most drivers use. */
const key = Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex');
const tableBytes = 128;
/** Of each entry the highest bit is the queue's number: they alternate. */
const entries = 0x8000_8000;

/**
 * Has the card share flows out over its receive queues, by a hash over the addresses of IP and the ports of TCP: the frames of a
 * flow come to one queue, in their order. What is no IP comes to the first. Before receiving is on.
 */
export function scale(mmio: Mmio, queues: 1 | 2): void {
  const { MRQC, RETA, RSSRK, RXCSUM } = deviceRegisters(layout, mmio);
  // Checksums of IP, TCP and UDP are left to who wants to know; and descriptors have the hash where else a checksum is.
  RXCSUM.write({ PCSD: queues === 2 ? 1 : 0 });
  if (queues === 1) return MRQC.write(0);
  for (let at = 0; at < tableBytes; at += 4) mmio.write32(RETA.offset + at, entries);
  for (let at = 0; at < key.byteLength; at += 4) mmio.write32(RSSRK.offset + at, key.readUInt32LE(at));
  MRQC.write({ QUEUES: 'scaled', TCP4: 1, IP4: 1, TCP6: 1, IP6: 1 });
}
