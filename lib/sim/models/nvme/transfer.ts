import type { DmaPort } from '../../dma.js';
import type { Command } from './command.js';
import { dataSegments } from './data-pointer.js';
import { status } from './status.js';

/** Gives the host what a command asked for. Where memory is not to be reached, bytes are lost and nobody hears of it. */
export function send(dma: DmaPort, command: Command, bytes: Uint8Array, pageSize: number): number {
  const segments = dataSegments(dma, command, bytes.byteLength, pageSize);
  if (typeof segments === 'number') return segments;
  let done = 0;
  for (const { address, size } of segments) {
    dma.write(address, bytes.subarray(done, done + size));
    done += size;
  }
  return status.success;
}

/** Takes what the host gave with a command. What is not to be reached reads as zeros. */
export function receive(dma: DmaPort, command: Command, bytes: Uint8Array, pageSize: number): number {
  const segments = dataSegments(dma, command, bytes.byteLength, pageSize);
  if (typeof segments === 'number') return segments;
  let done = 0;
  for (const { address, size } of segments) {
    const part = bytes.subarray(done, done + size);
    if (!dma.read(address, part)) part.fill(0);
    done += size;
  }
  return status.success;
}
