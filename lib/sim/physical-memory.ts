/** Physical addresses: where devices find memory when nothing translates for them, and how a process learns them. */
import { errno } from '../abi/errno.js';
import type { DmaMapping } from './dma.js';
import { OpenFile } from './open-file.js';
import { firstAddress, type UserMemory } from './user-memory.js';

const pageSize = 4096n;
/** What is below is the firmware's. As many frames as a huge page has, so that one can lie where it has to. */
const firstFrame = 0x200n;
const entrySize = 8;
/** The address space has 47 bits. */
const lastEntry = 2 ** 35;
/** The page is there, and no other process has it: bits of an entry of pagemap. */
const present = 1n << 63n;
const exclusive = 1n << 56n;

function frameOf(page: bigint, huge: boolean): bigint {
  return ((page - firstAddress / pageSize) ^ (huge ? 0n : 1n)) + firstFrame;
}

/**
 * Each page of the process has a page frame. As on a real machine, neighbours of a mapping are not neighbours in physical
 * memory, but for those of a huge page; what the process does not have is nobody's.
 */
export class PhysicalMemory {
  readonly #memory: UserMemory;

  constructor(memory: UserMemory) {
    this.#memory = memory;
  }

  /** The frame behind page `page` of the process's address space, if there is one. */
  frame(page: bigint): bigint | undefined {
    // A buffer may begin behind the start of its page.
    const address = page * pageSize;
    const found = this.#memory.around(address) ?? this.#memory.around(address + 16n);
    return found === undefined ? undefined : frameOf(page, found.huge);
  }

  /** Where the byte at an address of the process lies, or lay: what is mapped for devices stays when the process unmaps it. */
  addressOf(address: bigint): bigint {
    const page = address / pageSize;
    return (this.frame(page) ?? frameOf(page, false)) * pageSize + (address % pageSize);
  }

  /** What a device finds there: the part of a page that one buffer has. */
  at(address: bigint): DmaMapping | undefined {
    const frame = address / pageSize - firstFrame;
    const huge = this.#memory.around(firstAddress + frame * pageSize)?.huge === true;
    const virtual = firstAddress + (huge ? frame : frame ^ 1n) * pageSize;
    const found = this.#memory.around(virtual + (address % pageSize));
    if (found === undefined) return undefined;
    // From addresses of the page to offsets in the buffer, and to physical addresses.
    const from = Number(found.start > virtual ? 0n : virtual - found.start);
    const bytes = found.bytes.subarray(from, Number(virtual + pageSize - found.start));
    const start = address - (address % pageSize) + (found.start > virtual ? found.start - virtual : 0n);
    return {
      start,
      last: start + BigInt(bytes.byteLength) - 1n,
      readable: true,
      writable: true,
      pin: {
        read: (offset, into) => into.set(bytes.subarray(offset, offset + into.byteLength)),
        write: (offset, data) => bytes.set(data, offset),
        release: () => {},
      },
    };
  }
}

/** /proc/self/pagemap: an entry for each page of the address space. */
export class PagemapFile extends OpenFile {
  readonly #physical: PhysicalMemory;

  constructor(physical: PhysicalMemory) {
    super();
    this.#physical = physical;
  }

  override pread(bytes: Uint8Array, offset: number): number {
    if (offset % entrySize !== 0 || bytes.byteLength % entrySize !== 0) return -errno.EINVAL;
    const first = offset / entrySize;
    const count = Math.max(0, Math.min(bytes.byteLength / entrySize, lastEntry - first));
    const entries = Array.from({ length: count }, (_, index) => this.#entry(BigInt(first + index)));
    bytes.set(new Uint8Array(new BigUint64Array(entries).buffer));
    return count * entrySize;
  }

  #entry(page: bigint): bigint {
    const frame = this.#physical.frame(page);
    return frame === undefined ? 0n : frame | present | exclusive;
  }
}
