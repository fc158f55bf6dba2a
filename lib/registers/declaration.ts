/** Registers as data: where they are and what their bits are called. A model says what they do, a driver uses them. */
import { expected } from '../kernel/error.js';
import type { Width } from '../kernel/stepwise-mmio.js';

/** Bits of a register that mean one thing. */
export interface Field {
  /** Its lowest bit. */
  readonly from: number;
  /** How many bits. */
  readonly count: number;
  /** What some of its values are called. */
  readonly values?: Readonly<Record<string, number>>;
}

export type Fields = Readonly<Record<string, Field>>;

export interface Register<W extends Width = Width, F extends Fields = Fields> {
  /** Bytes from the start of the block. */
  readonly offset: number;
  /** Bytes. */
  readonly width: W;
  readonly fields: F;
}

/** A number; of registers of 8 bytes a bigint. */
export type ValueOf<R extends Register> = R['width'] extends 8 ? bigint : number;

/** One bit. */
export function bit(from: number): Field {
  return { from, count: 1 };
}

/** Bits from `from` on: `bits(6, 2, { '10': 0, '100': 1, '1000': 2 })`. */
export function bits<V extends Readonly<Record<string, number>> = {}>(from: number, count: number, values = {} as V): NamedField<V> {
  return { from, count, values };
}

export interface NamedField<V> extends Field {
  readonly values: Readonly<Record<string, number>> & V;
}

function register<W extends Width, F extends Fields>(offset: number, width: W, fields: F): Register<W, F> {
  if (!Number.isInteger(offset) || offset < 0) throw expected('an integer from 0 on', 'offset', offset);
  for (const [name, { from, count }] of Object.entries(fields))
    if (from < 0 || count < 1 || from + count > 8 * width)
      throw expected(`bits from 0 to ${8 * width - 1}`, name, `${from}, ${count} bits`);
  return { offset, width, fields };
}

export function reg8<F extends Fields = {}>(offset: number, fields = {} as F): Register<1, F> {
  return register(offset, 1, fields);
}

export function reg16<F extends Fields = {}>(offset: number, fields = {} as F): Register<2, F> {
  return register(offset, 2, fields);
}

export function reg32<F extends Fields = {}>(offset: number, fields = {} as F): Register<4, F> {
  return register(offset, 4, fields);
}

export function reg64<F extends Fields = {}>(offset: number, fields = {} as F): Register<8, F> {
  return register(offset, 8, fields);
}

export type Registers = Readonly<Record<string, Register>>;

/** Registers that do not overlap: `registers({ CONTROL: reg32(0x0, { START: bit(0) }), STATUS: reg32(0x4) })`. */
export function registers<R extends Registers>(declared: R): R {
  const sorted = Object.entries(declared).sort(([, a], [, b]) => a.offset - b.offset);
  sorted.forEach(([name, { offset, width }], index) => {
    const [next, following] = sorted[index + 1] ?? [];
    if (following !== undefined && following.offset < offset + width)
      throw expected(`an offset beyond ${name}'s ${width} bytes`, `offset of ${next}`, following.offset);
  });
  return declared;
}
