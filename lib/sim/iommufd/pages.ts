import { errno } from '../../abi/errno.js';
import type { LockedMemory, Platform } from '../platform.js';
import type { Pin } from '../user-memory.js';
import { PinCounts, wholePages, type Span } from './pin-counts.js';

/** Pinned memory that can be cut in two, each to be released by itself. */
export interface PinnedPages extends Pin {
  /** It is not to be used any more; the first part has `size` bytes. */
  split(size: bigint): readonly [PinnedPages, PinnedPages];
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
  /** What mappings have pinned of it: mostly one part, and there may be a million such pages. */
  #pinned: Span | PinCounts | undefined;

  /** The memory that lies `offset` behind the start, or -errno. */
  protected abstract reach(offset: bigint, length: bigint, platform: Platform): Pin | number;

  /** -ENOMEM over the limit. */
  override pin(offset: bigint, length: bigint, platform: Platform): PinnedPages | number {
    const { lockedMemory } = platform;
    const pin = this.reach(offset, length, platform);
    if (typeof pin === 'number') return pin;
    const span = wholePages(offset, offset + length);
    const added = this.#add(span);
    if (lockedMemory.take(added)) return new PinnedPart(this, { pin, parts: 1, lockedMemory }, offset, offset + length, 0);
    this.#remove(span);
    pin.release();
    return -errno.ENOMEM;
  }

  /** A part is cut in two, which may share a page. */
  recount(whole: Span, parts: readonly Span[], lockedMemory: LockedMemory): void {
    // Nothing is counted that was not counted before.
    const added = parts.reduce((bytes, part) => bytes + this.#add(part), 0n);
    lockedMemory.give(this.#remove(whole) - added);
  }

  uncount(span: Span, lockedMemory: LockedMemory): void {
    lockedMemory.give(this.#remove(span));
  }

  #add(span: Span): bigint {
    if (this.#pinned === undefined) {
      this.#pinned = span;
      return span.end - span.start;
    }
    if (!(this.#pinned instanceof PinCounts)) this.#pinned = new PinCounts(this.#pinned);
    return this.#pinned.add(span);
  }

  #remove(span: Span): bigint {
    if (this.#pinned instanceof PinCounts) return this.#pinned.remove(span);
    this.#pinned = undefined;
    return span.end - span.start;
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
    if (this.#pinned instanceof PinCounts) return this.#pinned.has(at);
    return this.#pinned !== undefined && at >= this.#pinned.start && at < this.#pinned.end;
  }
}

/** Memory of the caller. Whether it is there shows when it is pinned: -EFAULT. */
export class UserPages extends LockedPages {
  protected override reach(offset: bigint, length: bigint, { memory }: Platform): Pin | number {
    return memory.pin(this.address + offset, length) ?? -errno.EFAULT;
  }
}

/** One pinning, and how many parts there are of it. */
interface SharedPin {
  readonly pin: Pin;
  parts: number;
  readonly lockedMemory: LockedMemory;
}

/** A part of what was pinned at once, `base` bytes behind its start. */
class PinnedPart implements PinnedPages {
  readonly #pages: LockedPages;
  readonly #shared: SharedPin;
  readonly #start: bigint;
  readonly #end: bigint;
  readonly #base: number;

  constructor(pages: LockedPages, shared: SharedPin, start: bigint, end: bigint, base: number) {
    this.#pages = pages;
    this.#shared = shared;
    this.#start = start;
    this.#end = end;
    this.#base = base;
  }

  read(offset: number, into: Uint8Array): void {
    this.#shared.pin.read(this.#base + offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    this.#shared.pin.write(this.#base + offset, from);
  }

  split(size: bigint): readonly [PinnedPages, PinnedPages] {
    const cut = this.#start + size;
    this.#shared.parts += 1;
    const first = new PinnedPart(this.#pages, this.#shared, this.#start, cut, this.#base);
    const second = new PinnedPart(this.#pages, this.#shared, cut, this.#end, this.#base + Number(size));
    this.#pages.recount(this.#span, [first.#span, second.#span], this.#shared.lockedMemory);
    return [first, second];
  }

  release(): void {
    this.#pages.uncount(this.#span, this.#shared.lockedMemory);
    this.#shared.parts -= 1;
    if (this.#shared.parts === 0) this.#shared.pin.release();
  }

  get #span(): Span {
    return wholePages(this.#start, this.#end);
  }
}
