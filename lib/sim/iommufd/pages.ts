import { errno } from '../../abi/errno.js';
import type { Platform } from '../platform.js';
import type { Pin } from '../user-memory.js';

const pageSize = 4096n;

interface Span {
  readonly start: bigint;
  readonly end: bigint;
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
  pin(offset: bigint, length: bigint, { memory, lockedMemory }: Platform): Pin | number {
    const pin = memory.pin(this.address + offset, length);
    if (pin === undefined) return -errno.EFAULT;
    const span = { start: offset & -pageSize, end: (offset + length + pageSize - 1n) & -pageSize };
    const before = this.#bytes;
    this.#pinned.add(span);
    if (!lockedMemory.take(this.#bytes - before)) {
      this.#pinned.delete(span);
      pin.release();
      return -errno.ENOMEM;
    }
    return {
      read: pin.read,
      write: pin.write,
      release: () => {
        const pinned = this.#bytes;
        this.#pinned.delete(span);
        lockedMemory.give(pinned - this.#bytes);
        pin.release();
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
