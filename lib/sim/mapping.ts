import { setImmediate } from 'node:timers/promises';
import { PROT_READ, PROT_WRITE } from '../abi/system.js';
import { checkedInteger, checked64, ClosedError, expected } from '../kernel/error.js';
import type { Mapping, Mmio } from '../kernel/kernel.js';
import { checkOffset, StepwiseMmio, type Width } from '../kernel/stepwise-mmio.js';

export type { Width } from '../kernel/stepwise-mmio.js';

/** All bits of so many bytes: what is read where nobody answers. */
export const allOnes = (width: number): bigint => (1n << BigInt(8 * width)) - 1n;

/** The registers behind a mapped BAR. */
export interface Registers {
  /** Whether the device answers at all. */
  readonly decoding: boolean;
  /** Milliseconds, by its machine's clock. */
  readonly now: number;
  readRegister(bar: number, offset: number, width: Width): bigint;
  writeRegister(bar: number, offset: number, width: Width, value: bigint): void;
}

/** What all mappings of a simulated kernel check before an access, as the real one's accessors do. */
export abstract class CheckedMapping extends StepwiseMmio implements Mapping {
  readonly length: number;
  abstract readonly memory: ArrayBuffer | undefined;
  readonly mmio: Mmio = this;
  readonly fastMmio: Mmio = this;
  readonly #protection: number;
  #mapped = true;

  constructor(length: number, protection: number) {
    super();
    this.length = length;
    this.#protection = protection;
  }

  protected abstract load(offset: number, width: Width): bigint;
  protected abstract store(offset: number, width: Width, value: bigint): void;
  protected abstract release(): void;

  /** All memory is there. */
  async populate(): Promise<number> {
    if (!this.#mapped || this.memory === undefined) throw expected('memory', 'mapping', 'an object');
    await setImmediate();
    return 0;
  }

  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.release();
  }

  override read8(offset: number): number {
    this.#check(offset, 1, 'read');
    return Number(this.load(offset, 1));
  }
  override read16(offset: number): number {
    this.#check(offset, 2, 'read');
    return Number(this.load(offset, 2));
  }
  override read32(offset: number): number {
    this.#check(offset, 4, 'read');
    return Number(this.load(offset, 4));
  }
  override read64(offset: number): bigint {
    this.#check(offset, 8, 'read');
    return this.load(offset, 8);
  }
  override write8(offset: number, value: number): void {
    this.#check(offset, 1, 'write');
    this.store(offset, 1, BigInt(checkedInteger('value', value, 0xff)));
  }
  override write16(offset: number, value: number): void {
    this.#check(offset, 2, 'write');
    this.store(offset, 2, BigInt(checkedInteger('value', value, 0xffff)));
  }
  override write32(offset: number, value: number): void {
    this.#check(offset, 4, 'write');
    this.store(offset, 4, BigInt(checkedInteger('value', value)));
  }
  override write64(offset: number, value: bigint): void {
    this.#check(offset, 8, 'write');
    this.store(offset, 8, checked64('value', value));
  }

  #check(offset: number, width: Width, access: 'read' | 'write'): void {
    this.assertAllowed(access);
    checkOffset('offset', offset, width, this.length - width);
  }

  protected override get end(): number {
    return this.length;
  }

  protected override assertAllowed(access: 'read' | 'write'): void {
    if (!this.#mapped) throw new ClosedError('The mapping');
    if ((this.#protection & (access === 'read' ? PROT_READ : PROT_WRITE)) === 0)
      throw expected(`a mapping that is ${access === 'read' ? 'readable' : 'writable'}`, 'mapping', 'one that is not');
  }
}

/** A little-endian value of the memory. */
export function loadBytes(memory: Uint8Array, offset: number, width: Width): bigint {
  return memory.subarray(offset, offset + width).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function storeBytes(memory: Uint8Array, offset: number, width: Width, value: bigint): void {
  for (let index = 0; index < width; index += 1) memory[offset + index] = Number((value >> BigInt(8 * index)) & 0xffn);
}

/** Memory of the process. */
export class MemoryMapping extends CheckedMapping {
  readonly memory: ArrayBuffer;
  readonly #released: () => void;

  constructor(memory: ArrayBuffer, protection: number, released: () => void) {
    super(memory.byteLength, protection);
    this.memory = memory;
    this.#released = released;
  }

  protected override load(offset: number, width: Width): bigint {
    return loadBytes(new Uint8Array(this.memory), offset, width);
  }

  protected override store(offset: number, width: Width, value: bigint): void {
    storeBytes(new Uint8Array(this.memory), offset, width, value);
  }

  protected override release(): void {
    this.#released();
  }
}

/** An access the bus refuses. On hardware the processor would raise SIGBUS. */
export class BusFaultError extends Error {
  readonly code = 'ERR_VFIO_BUS_FAULT';

  constructor(offset: number) {
    super(`The access at offset ${offset} faulted: memory decode is off or the device is gone`);
    this.name = 'BusFaultError';
  }
}

/** A BAR of a simulated device. Each access reaches the device model, as each reaches the bus on hardware. */
export class RegisterMapping extends CheckedMapping {
  readonly memory = undefined;
  readonly #device: Registers;
  readonly #bar: number;
  readonly #start: number;
  readonly #released: () => void;

  constructor(device: Registers, bar: number, start: number, length: number, protection: number, released: () => void) {
    super(length, protection);
    this.#device = device;
    this.#bar = bar;
    this.#start = start;
    this.#released = released;
  }

  protected override get now(): number {
    return this.#device.now;
  }

  protected override load(offset: number, width: Width): bigint {
    if (!this.#device.decoding) throw new BusFaultError(offset);
    return this.#device.readRegister(this.#bar, this.#start + offset, width);
  }

  protected override store(offset: number, width: Width, value: bigint): void {
    if (!this.#device.decoding) throw new BusFaultError(offset);
    this.#device.writeRegister(this.#bar, this.#start + offset, width, value);
  }

  protected override release(): void {
    this.#released();
  }
}
