/**
 * Capability chains: the variable part of VFIO's info answers. Each element begins with a header whose `next` is the
 * offset of the following element from the start of the *info struct*; 0 ends the chain.
 */
import { struct, u16, u32 } from './struct.js';

export const vfio_info_cap_header = struct('vfio_info_cap_header', {
  id: u16,
  version: u16,
  next: u32,
});

export interface Capability {
  readonly id: number;
  readonly version: number;
  /** The whole element, header included, up to the next one or the end. A copy at an address of its own. */
  readonly bytes: Uint8Array;
}

/** A kernel's answer that cannot be what its interface promises. */
export class BadAnswerError extends Error {
  readonly code = 'ERR_VFIO_BAD_ANSWER';
  /** What the kernel gave, for a report. */
  readonly bytes: Uint8Array;

  constructor(problem: string, bytes: Uint8Array) {
    super(`The kernel's answer is malformed: ${problem}. Its bytes: ${Buffer.from(bytes).toString('hex')}`);
    this.name = 'BadAnswerError';
    this.bytes = bytes;
  }
}

const headerSize = vfio_info_cap_header.size;

/**
 * Walks the chain in `answer` from offset `first` (0: no chain). `fixed` is the size of the struct before the chain.
 * Elements with ids this package does not know are returned like the others.
 *
 * Offsets are only 4-aligned on kernels before 6.6, so each element is copied before anything wider looks at it.
 * @throws BadAnswerError when an offset leaves the answer or the chain has a cycle.
 */
export function walkChain(answer: Uint8Array, fixed: number, first: number): Capability[] {
  const headers = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  const starts: number[] = [];
  for (let at = first; at !== 0; at = headers.getUint32(at + 4, little)) {
    if (at < fixed || at > answer.byteLength - headerSize) {
      throw new BadAnswerError(`a capability at offset ${at} of ${answer.byteLength} bytes`, answer);
    }
    if (starts.length > answer.byteLength / headerSize) throw new BadAnswerError('the chain contains a cycle', answer);
    starts.push(at);
  }
  // The header does not give an element's length; what lies before the next start, in memory order, is the most it has.
  const bounds = [...starts].sort((a, b) => a - b);
  return starts.map((start) => ({
    id: headers.getUint16(start, little),
    version: headers.getUint16(start + 2, little),
    bytes: answer.slice(start, bounds.find((bound) => bound > start) ?? answer.byteLength),
  }));
}

/**
 * Lays elements out as a chain that begins at offset `fixed`, the way the kernel does. `alignment` is 8, or 4 for
 * kernels before 6.6. The elements' own `next` fields are overwritten.
 */
export function buildChain(elements: readonly Uint8Array[], fixed: number, alignment: 4 | 8): Uint8Array {
  const padded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
  const chain = new Uint8Array(elements.reduce((total, element) => total + padded(element.byteLength), 0));
  let at = 0;
  elements.forEach((element, index) => {
    const after = at + padded(element.byteLength);
    const copy = vfio_info_cap_header.view(element.slice().buffer);
    copy.next = index + 1 < elements.length ? fixed + after : 0;
    chain.set(copy.bytes, at);
    at = after;
  });
  return chain;
}
