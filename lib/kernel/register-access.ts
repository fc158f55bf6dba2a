import type { Mmio, Poll, RegisterValues } from './kernel.js';

/** An access to registers as data. Which fields there are depends on `name`. */
export interface RegisterAccess {
  readonly name: keyof Mmio;
  readonly offset?: number;
  readonly value?: number | bigint;
  /** What is read into. */
  readonly into?: RegisterValues;
  readonly offsets?: Uint32Array;
  readonly values?: RegisterValues;
  readonly poll?: Poll<number> | Poll<bigint>;
}

/** What an access gives: a register's value; nothing for a write, or a poll whose time ran out. */
export type RegisterValue = number | bigint | undefined;

/** Makes the access. */
export function makeAccess(mmio: Mmio, { name, offset = 0, value, into, offsets, values, poll }: RegisterAccess): RegisterValue {
  if (name === 'readRange') mmio.readRange(offset, into as RegisterValues);
  else if (name === 'writeList') mmio.writeList(offsets as Uint32Array, values as RegisterValues);
  else {
    const single = mmio[name].bind(mmio) as (offset: number, second?: unknown) => RegisterValue | void;
    return single(offset, value ?? poll) as RegisterValue;
  }
  return undefined;
}

/** Register access of which each is handed to `access`. */
export class DescribedMmio implements Mmio {
  readonly #access: (access: RegisterAccess) => RegisterValue;

  constructor(access: (access: RegisterAccess) => RegisterValue) {
    this.#access = access;
  }

  read8(offset: number): number {
    return this.#access({ name: 'read8', offset }) as number;
  }
  read16(offset: number): number {
    return this.#access({ name: 'read16', offset }) as number;
  }
  read32(offset: number): number {
    return this.#access({ name: 'read32', offset }) as number;
  }
  read64(offset: number): bigint {
    return this.#access({ name: 'read64', offset }) as bigint;
  }
  write8(offset: number, value: number): void {
    this.#access({ name: 'write8', offset, value });
  }
  write16(offset: number, value: number): void {
    this.#access({ name: 'write16', offset, value });
  }
  write32(offset: number, value: number): void {
    this.#access({ name: 'write32', offset, value });
  }
  write64(offset: number, value: bigint): void {
    this.#access({ name: 'write64', offset, value });
  }
  readRange(offset: number, into: RegisterValues): void {
    this.#access({ name: 'readRange', offset, into });
  }
  writeList(offsets: Uint32Array, values: RegisterValues): void {
    this.#access({ name: 'writeList', offsets, values });
  }
  poll8(offset: number, poll: Poll<number>): number | undefined {
    return this.#access({ name: 'poll8', offset, poll }) as number | undefined;
  }
  poll16(offset: number, poll: Poll<number>): number | undefined {
    return this.#access({ name: 'poll16', offset, poll }) as number | undefined;
  }
  poll32(offset: number, poll: Poll<number>): number | undefined {
    return this.#access({ name: 'poll32', offset, poll }) as number | undefined;
  }
  poll64(offset: number, poll: Poll<bigint>): bigint | undefined {
    return this.#access({ name: 'poll64', offset, poll }) as bigint | undefined;
  }
}
