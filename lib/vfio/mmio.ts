import type { Descriptor } from '../kernel/descriptor.js';
import { checkedInteger, checked64, expected } from '../kernel/error.js';
import type { Mapping, Mmio } from '../kernel/kernel.js';

/**
 * Register access through pread(2) and pwrite(2): for regions that cannot be mapped. The kernel makes one access of the
 * width, as it does for any aligned transfer of 1, 2, 4 or 8 bytes.
 */
export class FileMmio implements Mmio {
  readonly #descriptor: Descriptor;
  readonly #start: number;
  readonly #size: number;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #parts = { 1: this.#part(1), 2: this.#part(2), 4: this.#part(4), 8: this.#part(8) } as const;

  /** `start` is where the region begins in the file. */
  constructor(descriptor: Descriptor, start: number, size: number) {
    this.#descriptor = descriptor;
    this.#start = start;
    this.#size = size;
  }

  read8(offset: number): number {
    return this.#load(offset, 1).getUint8(0);
  }
  read16(offset: number): number {
    return this.#load(offset, 2).getUint16(0, true);
  }
  read32(offset: number): number {
    return this.#load(offset, 4).getUint32(0, true);
  }
  read64(offset: number): bigint {
    return this.#load(offset, 8).getBigUint64(0, true);
  }
  write8(offset: number, value: number): void {
    this.#scratch.setUint8(0, checkedInteger('value', value, 0xff));
    this.#store(offset, 1);
  }
  write16(offset: number, value: number): void {
    this.#scratch.setUint16(0, checkedInteger('value', value, 0xffff), true);
    this.#store(offset, 2);
  }
  write32(offset: number, value: number): void {
    this.#scratch.setUint32(0, checkedInteger('value', value), true);
    this.#store(offset, 4);
  }
  write64(offset: number, value: bigint): void {
    this.#scratch.setBigUint64(0, checked64('value', value), true);
    this.#store(offset, 8);
  }

  #part(width: number): Uint8Array {
    return new Uint8Array(this.#scratch.buffer, 0, width);
  }

  #load(offset: number, width: 1 | 2 | 4 | 8): DataView {
    this.#descriptor.pread(this.#parts[width], this.#position(offset, width));
    return this.#scratch;
  }

  #store(offset: number, width: 1 | 2 | 4 | 8): void {
    this.#descriptor.pwrite(this.#parts[width], this.#position(offset, width));
  }

  #position(offset: number, width: number): number {
    if (!Number.isInteger(offset) || offset < 0 || offset > this.#size - width || offset % width !== 0) {
      throw expected(`a multiple of ${width} from 0 to ${this.#size - width}`, 'offset', offset);
    }
    return this.#start + offset;
  }
}

/** A part of a region that is mapped. */
export interface MappedArea {
  readonly offset: number;
  readonly mapping: Mapping;
}

/** Register access to a region of which only parts are mapped: those through the mappings, the rest through the file. */
export class SparseMmio implements Mmio {
  readonly #areas: readonly MappedArea[];
  readonly #file: Mmio;

  constructor(areas: readonly MappedArea[], file: Mmio) {
    this.#areas = areas;
    this.#file = file;
  }

  read8(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read8(within));
  }
  read16(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read16(within));
  }
  read32(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read32(within));
  }
  read64(offset: number): bigint {
    return this.#at(offset, (mmio, within) => mmio.read64(within));
  }
  write8(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write8(within, value));
  }
  write16(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write16(within, value));
  }
  write32(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write32(within, value));
  }
  write64(offset: number, value: bigint): void {
    this.#at(offset, (mmio, within) => mmio.write64(within, value));
  }

  #at<T>(offset: number, access: (mmio: Mmio, within: number) => T): T {
    const area = this.#areas.find((candidate) => offset >= candidate.offset && offset < candidate.offset + candidate.mapping.length);
    return area === undefined ? access(this.#file, offset) : access(area.mapping.mmio, offset - area.offset);
  }
}
