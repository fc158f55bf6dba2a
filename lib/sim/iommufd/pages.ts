import { errno } from '../../abi/errno.js';
import type { LockedMemory, Platform } from '../platform.js';
import type { Pin } from '../user-memory.js';

const pageSize = 4096n;

interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

/** Pinned memory that can be cut in two, each to be released by itself. */
export interface PinnedPages extends Pin {
  /** It is not to be used any more; the first part has `size` bytes. */
  split(size: bigint): readonly [PinnedPages, PinnedPages];
}

/** One pinning, and how many parts there are of it. */
interface SharedPin {
  readonly pin: Pin;
  parts: number;
  readonly lockedMemory: LockedMemory;
}

/**
 * Memory of the caller, from a page boundary on. What is copied from one address space to another is the same pages: they
 * count as locked once, however many mappings reach them.
 */
export class Pages {
  readonly address: bigint;
  readonly writable: boolean;
  /** What mappings have pinned of it; they may overlap. */
  readonly #pinned = new Set<Span>();

  constructor(address: bigint, writable: boolean) {
    this.address = address;
    this.writable = writable;
  }

  /** Pins the pages a part lies in; offsets in the pin are from the part's start. -EFAULT, or -ENOMEM over the limit. */
  pin(offset: bigint, length: bigint, { memory, lockedMemory }: Platform): PinnedPages | number {
    const pin = memory.pin(this.address + offset, length);
    if (pin === undefined) return -errno.EFAULT;
    const before = this.#bytes;
    const pinned = this.#hold({ pin, parts: 1, lockedMemory }, { start: offset, end: offset + length }, 0);
    if (lockedMemory.take(this.#bytes - before)) return pinned;
    // It goes beyond the limit for a moment, to be given back with the rest.
    lockedMemory.give(before - this.#bytes);
    pinned.release();
    return -errno.ENOMEM;
  }

  /** A part of what was pinned at once, `base` bytes behind its start. */
  #hold(shared: SharedPin, { start, end }: Span, base: number): PinnedPages {
    const { pin, lockedMemory } = shared;
    const span = { start: start & -pageSize, end: (end + pageSize - 1n) & -pageSize };
    this.#pinned.add(span);
    return {
      read: (offset, into) => pin.read(base + offset, into),
      write: (offset, from) => pin.write(base + offset, from),
      split: (size) => {
        shared.parts += 1;
        const first = this.#hold(shared, { start, end: start + size }, base);
        const second = this.#hold(shared, { start: start + size, end }, base + Number(size));
        this.#pinned.delete(span);
        return [first, second];
      },
      release: () => {
        const pinned = this.#bytes;
        this.#pinned.delete(span);
        lockedMemory.give(pinned - this.#bytes);
        shared.parts -= 1;
        if (shared.parts === 0) pin.release();
      },
    };
  }

  /** Whether the page at that address of the caller is pinned by it. */
  pins(address: bigint): boolean {
    const at = address - this.address;
    return [...this.#pinned].some(({ start, end }) => at >= start && at < end);
  }

  /** Each page once. */
  get #bytes(): bigint {
    let [bytes, reached] = [0n, 0n];
    for (const { start, end } of [...this.#pinned].sort((a, b) => (a.start < b.start ? -1 : 1))) {
      const from = start > reached ? start : reached;
      if (end > from) bytes += end - from;
      if (end > reached) reached = end;
    }
    return bytes;
  }
}
