import type { Descriptor } from '../kernel/descriptor.js';
import { checkedInteger, checked64 } from '../kernel/error.js';
import type { Mmio } from '../kernel/kernel.js';
import { checkOffset, StepwiseMmio, type Width } from '../kernel/stepwise-mmio.js';

/**
 * Register access through pread(2) and pwrite(2): for regions that cannot be mapped. The kernel makes one access of the
 * width, as it does for any aligned transfer of 1, 2, 4 or 8 bytes.
 */
export class FileMmio extends StepwiseMmio {
  readonly #descriptor: Descriptor;
  readonly #start: number;
  readonly #size: number;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #parts = { 1: this.#part(1), 2: this.#part(2), 4: this.#part(4), 8: this.#part(8) } as const;

  /** `start` is where the region begins in the file. */
  constructor(descriptor: Descriptor, start: number, size: number) {
    super();
    this.#descriptor = descriptor;
    this.#start = start;
    this.#size = size;
  }

  override read8(offset: number): number {
    return this.#load(offset, 1).getUint8(0);
  }
  override read16(offset: number): number {
    return this.#load(offset, 2).getUint16(0, true);
  }
  override read32(offset: number): number {
    return this.#load(offset, 4).getUint32(0, true);
  }
  override read64(offset: number): bigint {
    return this.#load(offset, 8).getBigUint64(0, true);
  }
  override write8(offset: number, value: number): void {
    this.#scratch.setUint8(0, checkedInteger('value', value, 0xff));
    this.#store(offset, 1);
  }
  override write16(offset: number, value: number): void {
    this.#scratch.setUint16(0, checkedInteger('value', value, 0xffff), true);
    this.#store(offset, 2);
  }
  override write32(offset: number, value: number): void {
    this.#scratch.setUint32(0, checkedInteger('value', value), true);
    this.#store(offset, 4);
  }
  override write64(offset: number, value: bigint): void {
    this.#scratch.setBigUint64(0, checked64('value', value), true);
    this.#store(offset, 8);
  }

  protected override get end(): number {
    return this.#size;
  }

  /** What the kernel allows, it says at the access. */
  protected override assertAllowed(): void {}

  #part(width: number): Uint8Array {
    return new Uint8Array(this.#scratch.buffer, 0, width);
  }

  #load(offset: number, width: Width): DataView {
    this.#descriptor.pread(this.#parts[width], this.#position(offset, width));
    return this.#scratch;
  }

  #store(offset: number, width: Width): void {
    this.#descriptor.pwrite(this.#parts[width], this.#position(offset, width));
  }

  #position(offset: number, width: Width): number {
    checkOffset('offset', offset, width, this.#size - width);
    return this.#start + offset;
  }
}

/** Registers of a part of a region that is mapped. */
export interface MappedArea {
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  readonly mmio: Mmio;
}

/** Register access to a region of which only parts are mapped: those through the mappings, the rest through the file. */
export class SparseMmio extends StepwiseMmio {
  readonly #areas: readonly MappedArea[];
  readonly #file: Mmio;
  readonly #size: number;

  constructor(areas: readonly MappedArea[], file: Mmio, size: number) {
    super();
    this.#areas = areas;
    this.#file = file;
    this.#size = size;
  }

  override read8(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read8(within));
  }
  override read16(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read16(within));
  }
  override read32(offset: number): number {
    return this.#at(offset, (mmio, within) => mmio.read32(within));
  }
  override read64(offset: number): bigint {
    return this.#at(offset, (mmio, within) => mmio.read64(within));
  }
  override write8(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write8(within, value));
  }
  override write16(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write16(within, value));
  }
  override write32(offset: number, value: number): void {
    this.#at(offset, (mmio, within) => mmio.write32(within, value));
  }
  override write64(offset: number, value: bigint): void {
    this.#at(offset, (mmio, within) => mmio.write64(within, value));
  }

  protected override get end(): number {
    return this.#size;
  }

  protected override assertAllowed(): void {}

  #at<T>(offset: number, access: (mmio: Mmio, within: number) => T): T {
    const area = this.#areas.find((candidate) => offset >= candidate.offset && offset < candidate.offset + candidate.size);
    return area === undefined ? access(this.#file, offset) : access(area.mmio, offset - area.offset);
  }
}
