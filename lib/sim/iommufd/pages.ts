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
 * What mappings reach, from a page boundary on. What is copied from one address space to another is the same pages. They are
 * there as long as somebody uses them: at first who made them.
 */
export abstract class Pages {
  /** Where they begin: an address of the caller, or an offset in a file. */
  readonly address: bigint;
  readonly writable: boolean;
  #users = 1;

  constructor(address: bigint, writable: boolean) {
    this.address = address;
    this.writable = writable;
  }

  retain(): void {
    this.#users += 1;
  }

  drop(): void {
    this.#users -= 1;
    if (this.#users === 0) this.release();
  }

  /** What is pinned can be reached. */
  get reachable(): boolean {
    return true;
  }

  /** They are of a file, which any process can account for. */
  get ofFile(): boolean {
    return false;
  }

  /** Pins the pages a part lies in; offsets in the pin are from the part's start. Or -errno. */
  abstract pin(offset: bigint, length: bigint, platform: Platform): PinnedPages | number;
  /** Moves bytes for a driver, which need not be pinned: 0 or -errno. */
  abstract transfer(offset: bigint, bytes: Uint8Array, write: boolean, platform: Platform): number;
  /** Whether the page there is pinned: `address` counts as `this.address` does. */
  abstract pins(address: bigint): boolean;
  protected release(): void {}
}

/** Memory that is locked while it is pinned. It counts once, however many mappings reach it. */
export abstract class LockedPages extends Pages {
  /** What mappings have pinned of it; they may overlap. */
  readonly #pinned = new Set<Span>();

  /** The memory that lies `offset` behind the start, or -errno. */
  protected abstract reach(offset: bigint, length: bigint, platform: Platform): Pin | number;

  /** -ENOMEM over the limit. */
  override pin(offset: bigint, length: bigint, platform: Platform): PinnedPages | number {
    const { lockedMemory } = platform;
    const pin = this.reach(offset, length, platform);
    if (typeof pin === 'number') return pin;
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

  override transfer(offset: bigint, bytes: Uint8Array, write: boolean, platform: Platform): number {
    const pin = this.reach(offset, BigInt(bytes.byteLength), platform);
    if (typeof pin === 'number') return pin;
    if (write) pin.write(0, bytes);
    else pin.read(0, bytes);
    pin.release();
    return 0;
  }

  override pins(address: bigint): boolean {
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

/** Memory of the caller. Whether it is there shows when it is pinned: -EFAULT. */
export class UserPages extends LockedPages {
  protected override reach(offset: bigint, length: bigint, { memory }: Platform): Pin | number {
    return memory.pin(this.address + offset, length) ?? -errno.EFAULT;
  }
}
