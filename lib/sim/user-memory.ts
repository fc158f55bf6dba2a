import { IntervalMap } from './interval-map.js';

const pageSize = 4096n;
const highest = 0xffff_ffff_ffff_ffffn;
/** Where Linux puts mappings on x86-64: high, so that one taken for a number of another kind is noticed. */
export const firstAddress = 0x7f00_0000_0000n;

/** A range of the process's address space and what is behind it. */
interface Area {
  readonly start: bigint;
  readonly last: bigint;
  /** The buffer, held weakly: an address that was given out does not keep memory alive. */
  readonly memory: WeakRef<ArrayBuffer>;
  /** The buffer again, held while pinned. After an unmap it is a successor that only devices still see. */
  pinned: ArrayBuffer | undefined;
  pins: number;
  /** Of huge pages. */
  readonly huge: boolean;
}

/** Memory that stays where it is while a device may reach it, as a kernel pins pages. Offsets are from the pin's start. */
export interface Pin {
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  release(): void;
}

/**
 * The process's memory as the simulated kernel sees it: addresses that were given out, and the way back. An address
 * nobody was given is a fault.
 */
export class UserMemory {
  readonly #areas = new IntervalMap<Area>();
  /** What was unmapped while it was pinned. */
  readonly #gone = new IntervalMap<Area>();
  /** What `unmap` gave: memory of a file may be mapped again, while the same is pinned. */
  readonly #successors = new WeakSet<ArrayBuffer>();
  readonly #boundary: bigint;
  readonly #addresses = new WeakMap<ArrayBuffer, bigint>();
  #next = firstAddress;
  readonly #forgotten = new FinalizationRegistry<Area>((area) => this.#areas.remove(area));

  /** `boundary`: what the addresses of mapped memory are multiples of, at least a page. */
  constructor(boundary: bigint = pageSize) {
    this.#boundary = boundary;
  }

  /** The address of the first byte. Memory that was not mapped lies off the page boundary, as malloc's does. */
  addressOf(memory: ArrayBuffer): bigint {
    return this.#addresses.get(memory) ?? this.#place(memory, 16n);
  }

  /** Gives memory an address at a page boundary, or at one of huge pages, with unmapped pages before and after. */
  map(memory: ArrayBuffer, hugePage?: bigint): void {
    const boundary = hugePage !== undefined && this.#boundary < hugePage ? hugePage : this.#boundary;
    this.#next = (this.#next + boundary - 1n) & -boundary;
    this.#place(memory, 0n, hugePage !== undefined);
  }

  /**
   * Takes mapped memory out of the address space and detaches the buffer. Returns its successor, which has the bytes now: what is
   * pinned stays, for devices.
   */
  unmap(memory: ArrayBuffer): ArrayBuffer {
    const start = this.#addresses.get(memory);
    const area = start === undefined ? undefined : this.#areas.at(start);
    if (area === undefined) return memory;
    this.#areas.remove(area);
    this.#forgotten.unregister(area);
    this.#addresses.delete(memory);
    const successor = structuredClone(memory, { transfer: [memory] });
    if (this.#successors.has(memory))
      for (const gone of this.#gone.within(0n, highest)) if (gone.pinned === memory) gone.pinned = successor;
    this.#successors.add(successor);
    if (area.pins === 0) return successor;
    area.pinned = successor;
    this.#gone.insert(area);
    return successor;
  }

  /** A copy of the bytes at `address`, or undefined where one of them is not there. */
  read(address: bigint, size: number): Uint8Array | undefined {
    const found = this.#find(address, size);
    return found && new Uint8Array(found.memory).slice(found.offset, found.offset + size);
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    const found = this.#find(address, bytes.byteLength);
    if (found === undefined) return false;
    new Uint8Array(found.memory).set(bytes, found.offset);
    return true;
  }

  /** The buffer `address` lies in, and its bytes as they are now; also one that only a pin holds any more. */
  around(address: bigint): { readonly start: bigint; readonly bytes: Uint8Array; readonly huge: boolean } | undefined {
    const area = this.#areas.at(address) ?? this.#gone.at(address);
    const memory = area?.pinned ?? area?.memory.deref();
    return area && memory && { start: area.start, bytes: new Uint8Array(memory), huge: area.huge };
  }

  /** Pins `size` bytes; undefined is EFAULT. Pages are whole: past a buffer's end, up to the page's, is nothing but zero. */
  pin(address: bigint, size: bigint): Pin | undefined {
    const area = this.#areas.at(address);
    const memory = area?.memory.deref();
    if (area === undefined || memory === undefined || address + size - 1n > (area.last | (pageSize - 1n))) return undefined;
    return new AreaPin(area, Number(address - area.start), memory, this.#forget);
  }

  /** The last pin of what was unmapped is gone. */
  readonly #forget = (area: Area): void => {
    if (this.#gone.at(area.start) === area) this.#gone.remove(area);
  };

  #place(memory: ArrayBuffer, offset: bigint, huge = false): bigint {
    const start = this.#next + offset;
    const last = start + BigInt(Math.max(memory.byteLength, 1)) - 1n;
    const area: Area = { start, last, memory: new WeakRef(memory), pinned: undefined, pins: 0, huge };
    this.#next = (last | (pageSize - 1n)) + 1n + pageSize;
    this.#areas.insert(area);
    this.#addresses.set(memory, start);
    this.#forgotten.register(memory, area, area);
    return start;
  }

  #find(address: bigint, size: number): { memory: ArrayBuffer; offset: number } | undefined {
    const area = this.#areas.at(address);
    const memory = area?.memory.deref();
    if (area === undefined || memory === undefined || address + BigInt(size) - 1n > area.last) return undefined;
    return { memory, offset: Number(address - area.start) };
  }
}

/** There may be a million of them. */
class AreaPin implements Pin {
  readonly #area: Area;
  readonly #base: number;
  readonly #unpinned: (area: Area) => void;

  constructor(area: Area, base: number, memory: ArrayBuffer, unpinned: (area: Area) => void) {
    this.#area = area;
    this.#base = base;
    this.#unpinned = unpinned;
    area.pinned = memory;
    area.pins += 1;
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.#bytes(offset, into.byteLength));
  }

  write(offset: number, from: Uint8Array): void {
    const target = this.#bytes(offset, from.byteLength);
    target.set(from.subarray(0, target.byteLength));
  }

  release(): void {
    const area = this.#area;
    area.pins -= 1;
    if (area.pins > 0) return;
    area.pinned = undefined;
    this.#unpinned(area);
  }

  #bytes(offset: number, length: number): Uint8Array {
    const start = this.#base + offset;
    return new Uint8Array(this.#area.pinned ?? new ArrayBuffer(0)).subarray(start, start + length);
  }
}
