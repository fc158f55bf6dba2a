import type { DmaPort } from '../../dma.js';
import type { Command } from './command.js';
import { status } from './status.js';

/** A stretch of memory that a command's data lies in. */
export interface Segment {
  readonly address: bigint;
  readonly size: number;
}

const entrySize = 8;

/**
 * Where the `size` bytes of a command's data are, as its PRP entries say: the first may begin inside a page; two more pages
 * or less stand in the second, more in a list that it points to, whose last entry points to the next list. Or a status.
 */
export function dataSegments(dma: DmaPort, command: Command, size: number, pageSize: number): readonly Segment[] | number {
  const inPage = pageSize - 1;
  const { prp1, prp2 } = command;
  const first = Math.min(size, pageSize - (Number(prp1 & 0xffffn) & inPage));
  const segments: Segment[] = [{ address: prp1, size: first }];
  let left = size - first;
  if (left === 0) return segments;
  if (left <= pageSize) {
    if ((Number(prp2 & 0xffffn) & inPage) !== 0) return status.invalidPrpOffset;
    segments.push({ address: prp2, size: left });
    return segments;
  }
  // The first list may begin inside a page, and ends with it.
  let count = (pageSize - (Number(prp2 & 0xffffn) & inPage)) >> 3;
  if (count === 0) return status.invalidPrpOffset;
  let list = readList(dma, prp2, count);
  for (let index = 0; left > 0; index += 1) {
    if (list === undefined) return status.dataTransferError;
    let entry = list.getBigUint64(index * entrySize, true);
    if ((Number(entry & 0xffffn) & inPage) !== 0) return status.invalidPrpOffset;
    if (index === count - 1 && left > pageSize) {
      count = Math.min(Math.ceil(left / pageSize), pageSize / entrySize);
      list = readList(dma, entry, count);
      if (list === undefined) return status.dataTransferError;
      index = 0;
      entry = list.getBigUint64(0, true);
      if ((Number(entry & 0xffffn) & inPage) !== 0) return status.invalidPrpOffset;
    }
    const part = Math.min(left, pageSize);
    segments.push({ address: entry, size: part });
    left -= part;
  }
  return segments;
}

function readList(dma: DmaPort, address: bigint, count: number): DataView | undefined {
  const bytes = new Uint8Array(count * entrySize);
  return dma.read(address, bytes) ? new DataView(bytes.buffer) : undefined;
}
