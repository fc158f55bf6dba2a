import { expected } from '../../kernel/error.js';
import { allOnes, type Width } from '../mapping.js';
import type { Register, Registers, ValueOf } from '../../registers/declaration.js';

/** What a register of a device model does. Without any of it, it keeps what is written. */
export interface RegisterBehaviour<V extends number | bigint = number | bigint> {
  /** What it holds after a reset. Default: 0. */
  readonly reset?: V;
  /** The bits that a driver can write. Default: all, or none of a register that has `read`. */
  readonly writable?: V;
  /** The bits that a driver clears by writing 1. Default: none. */
  readonly clearable?: V;
  /** What a driver reads, where that is not what the register holds. */
  read?(): V;
  /** After a driver wrote: what the register holds now, and what was written. */
  write?(value: V, written: V): void;
}

export type Behaviours<R extends Registers> = { readonly [N in keyof R]?: RegisterBehaviour<ValueOf<R[N]>> };

interface Cell {
  readonly register: Register;
  readonly reset: bigint;
  readonly writable: bigint;
  readonly clearable: bigint;
  readonly read: (() => bigint) | undefined;
  readonly write: ((value: bigint, written: bigint) => void) | undefined;
  value: bigint;
}

/**
 * The registers of a device model, as `registers` declared them, with what each does. An access that takes a part of a
 * register reads that part, or writes it and leaves the rest; one that takes several meets each; bytes between them
 * read 0.
 */
export class RegisterBlock<R extends Registers = Registers> {
  readonly #cells = new Map<string, Cell>();
  readonly #ordered: readonly Cell[];

  constructor(declared: R, behaviours: Behaviours<R> = {}) {
    for (const [name, register] of Object.entries(declared)) {
      const { width } = register;
      const behaviour: RegisterBehaviour = (behaviours as Readonly<Record<string, RegisterBehaviour>>)[name] ?? {};
      const given = (value: bigint): number | bigint => (width === 8 ? value : Number(value));
      const { read, write } = behaviour;
      const mask = (value: number | bigint): bigint => BigInt.asUintN(8 * width, BigInt(value));
      const reset = mask(behaviour.reset ?? 0);
      this.#cells.set(name, {
        register,
        reset,
        writable: mask(behaviour.writable ?? (read === undefined ? allOnes(width) : 0)),
        clearable: mask(behaviour.clearable ?? 0),
        read: read && (() => mask(read())),
        write: write && ((value, written) => write(given(value), given(written))),
        value: reset,
      });
    }
    this.#ordered = [...this.#cells.values()].sort((a, b) => a.register.offset - b.register.offset);
  }

  /** What a register holds. */
  get<N extends keyof R & string>(name: N): ValueOf<R[N]> {
    const { value, register } = this.#cell(name);
    return (register.width === 8 ? value : Number(value)) as ValueOf<R[N]>;
  }

  /** The device itself changes a register: nothing limits what it writes. */
  set<N extends keyof R & string>(name: N, value: ValueOf<R[N]>): void {
    const cell = this.#cell(name);
    cell.value = BigInt.asUintN(8 * cell.register.width, BigInt(value));
  }

  /** Every register holds what it does after a reset. */
  reset(): void {
    for (const cell of this.#ordered) cell.value = cell.reset;
  }

  /** A driver reads. */
  read(offset: number, width: Width): bigint {
    let value = 0n;
    for (const cell of this.#met(offset, width)) {
      const distance = BigInt(8 * (cell.register.offset - offset));
      const held = cell.read === undefined ? cell.value : cell.read();
      value |= distance >= 0n ? held << distance : held >> -distance;
    }
    return value & allOnes(width);
  }

  /** A driver writes. */
  write(offset: number, width: Width, value: bigint): void {
    for (const cell of this.#met(offset, width)) {
      const distance = BigInt(8 * (cell.register.offset - offset));
      const whole = allOnes(cell.register.width);
      const shifted = (bits: bigint): bigint => (distance >= 0n ? bits >> distance : bits << -distance) & whole;
      const touched = shifted(allOnes(width));
      const written = shifted(value);
      const kept = cell.value & ~(cell.writable & touched);
      cell.value = (kept | (written & cell.writable & touched)) & ~(written & cell.clearable);
      cell.write?.(cell.value, written);
    }
  }

  #met(offset: number, width: Width): Cell[] {
    return this.#ordered.filter(({ register }) => register.offset < offset + width && offset < register.offset + register.width);
  }

  #cell(name: string): Cell {
    const cell = this.#cells.get(name);
    if (cell === undefined) throw expected(`one of ${[...this.#cells.keys()].join(', ')}`, 'name', name);
    return cell;
  }
}
