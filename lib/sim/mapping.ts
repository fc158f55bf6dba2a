import { PROT_READ, PROT_WRITE } from '../abi/system.js';
import { checkedInteger, checked64, ClosedError, expected } from '../kernel/error.js';
import type { Mapping, Mmio } from '../kernel/kernel.js';
import type { UserMemory } from './user-memory.js';

export type Width = 1 | 2 | 4 | 8;

/** All bits of so many bytes: what is read where nobody answers. */
export const allOnes = (width: number): bigint => (1n << BigInt(8 * width)) - 1n;

/** The registers behind a mapped BAR. */
export interface Registers {
  /** Whether the device answers at all. */
  readonly decoding: boolean;
  readRegister(bar: number, offset: number, width: Width): bigint;
  writeRegister(bar: number, offset: number, width: Width, value: bigint): void;
}

/** What all mappings of a simulated kernel check before an access, as the real one's accessors do. */
export abstract class CheckedMapping implements Mapping, Mmio {
  readonly length: number;
  abstract readonly memory: ArrayBuffer | undefined;
  readonly mmio: Mmio = this;
  readonly #protection: number;
  #mapped = true;

  constructor(length: number, protection: number) {
    this.length = length;
    this.#protection = protection;
  }

  protected abstract load(offset: number, width: Width): bigint;
  protected abstract store(offset: number, width: Width, value: bigint): void;
  protected abstract release(): void;

  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.release();
  }

  read8(offset: number): number {
    return Number(this.#read(offset, 1));
  }
  read16(offset: number): number {
    return Number(this.#read(offset, 2));
  }
  read32(offset: number): number {
    return Number(this.#read(offset, 4));
  }
  read64(offset: number): bigint {
    return this.#read(offset, 8);
  }
  write8(offset: number, value: number): void {
    this.#write(offset, 1, BigInt(checkedInteger('value', value, 0xff)));
  }
  write16(offset: number, value: number): void {
    this.#write(offset, 2, BigInt(checkedInteger('value', value, 0xffff)));
  }
  write32(offset: number, value: number): void {
    this.#write(offset, 4, BigInt(checkedInteger('value', value)));
  }
  write64(offset: number, value: bigint): void {
    this.#write(offset, 8, checked64('value', value));
  }

  #read(offset: number, width: Width): bigint {
    this.#check(offset, width, PROT_READ);
    return this.load(offset, width);
  }

  #write(offset: number, width: Width, value: bigint): void {
    this.#check(offset, width, PROT_WRITE);
    this.store(offset, width, value);
  }

  #check(offset: number, width: Width, needed: number): void {
    if (!this.#mapped) throw new ClosedError('The mapping');
    if (!Number.isInteger(offset) || offset < 0 || offset > this.length - width || offset % width !== 0) {
      throw expected(`a multiple of ${width} from 0 to ${this.length - width}`, 'offset', offset);
    }
    if ((this.#protection & needed) === 0)
      throw expected(`a mapping that is ${needed === PROT_READ ? 'readable' : 'writable'}`, 'mapping', 'one that is not');
  }
}

/** A little-endian value of the memory. */
export function loadBytes(memory: Uint8Array, offset: number, width: Width): bigint {
  return memory.subarray(offset, offset + width).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function storeBytes(memory: Uint8Array, offset: number, width: Width, value: bigint): void {
  for (let index = 0; index < width; index += 1) memory[offset + index] = Number((value >> BigInt(8 * index)) & 0xffn);
}

/** Anonymous memory of the process. */
export class MemoryMapping extends CheckedMapping {
  readonly memory: ArrayBuffer;
  readonly #space: UserMemory;

  constructor(space: UserMemory, length: number, protection: number, { huge = false } = {}) {
    super(length, protection);
    this.#space = space;
    this.memory = space.map(length, { huge });
  }

  protected override load(offset: number, width: Width): bigint {
    return loadBytes(new Uint8Array(this.memory), offset, width);
  }

  protected override store(offset: number, width: Width, value: bigint): void {
    storeBytes(new Uint8Array(this.memory), offset, width, value);
  }

  protected override release(): void {
    this.#space.unmap(this.memory);
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
