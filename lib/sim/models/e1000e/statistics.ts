/** What the card counts of frames. */
import type { Destination } from './frame.js';
import type { Registers } from './registers.js';

interface Counters {
  /** The first of six, for frames of up to 64, 127, 255, 511, 1023 bytes and more. */
  readonly sizes: number;
  readonly good: number;
  readonly goodBytes: number;
  readonly total: number;
  readonly totalBytes: number;
  readonly broadcast: number;
  readonly multicast: number;
}

export const receivedCounters: Counters = {
  ...{ sizes: 0x405c, good: 0x4074, goodBytes: 0x4088, total: 0x40d0, totalBytes: 0x40c0, broadcast: 0x4078, multicast: 0x407c },
};
export const sentCounters: Counters = {
  ...{ sizes: 0x40d8, good: 0x4080, goodBytes: 0x4090, total: 0x40d4, totalBytes: 0x40c8, broadcast: 0x40f4, multicast: 0x40f0 },
};
export const undersized = 0x40a4;
export const oversized = 0x40ac;

const largest = [63, 64, 127, 255, 511, 1023] as const;

/** `size` is what sizes are counted by, `bytes` what is added up. */
export function countFrame(
  registers: Registers,
  counters: Counters,
  { destination, size, bytes }: { readonly destination: Destination; readonly size: number; readonly bytes: number },
): void {
  const kind = largest.findLastIndex((last) => size > last);
  if (kind >= 0) registers.count(counters.sizes + 4 * kind);
  registers.count(counters.total);
  registers.count(counters.good);
  registers.countBytes(counters.totalBytes, bytes);
  registers.countBytes(counters.goodBytes, bytes);
  if (destination !== 'unicast') registers.count(counters[destination]);
}
