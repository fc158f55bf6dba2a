import type { DmaMapping } from '../dma.js';
import type { Translation } from '../first-stage/walk.js';
import type { Stage2 } from './hardware.js';

/** The part of a guest's page around `iova` that lies in one mapping of the parent. `beforeWrite` hears where a device writes. */
export function nestedMapping(
  parent: Stage2,
  page: Translation,
  iova: bigint,
  beforeWrite?: (iova: bigint) => void,
): DmaMapping | undefined {
  const address = page.output + iova - page.start;
  const mapping = parent.at(address);
  if (mapping === undefined) return undefined;
  const before = smaller(iova - page.start, address - mapping.start);
  const start = iova - before;
  const offset = Number(address - before - mapping.start);
  return {
    start,
    last: iova + smaller(page.last - iova, mapping.last - address),
    readable: mapping.readable,
    writable: mapping.writable && page.writable,
    pin: {
      read: (at, into) => mapping.pin.read(offset + at, into),
      write: (at, from) => {
        beforeWrite?.(start + BigInt(at));
        mapping.pin.write(offset + at, from);
      },
      release: () => {},
    },
  };
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
