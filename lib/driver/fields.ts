import { expected } from '../kernel/error.js';
import type { Field, Fields } from '../registers/declaration.js';

/** What fields of a register are to be: numbers, or what their values are called. */
export type FieldValues<F extends Fields> = {
  readonly [Name in keyof F]?: number | (F[Name] extends { readonly values: infer Values } ? keyof Values & string : never);
};

/** All bits of a register that these fields take. */
export function maskOf<F extends Fields>(fields: F, values: FieldValues<F>): bigint {
  return Object.keys(values).reduce((mask, name) => mask | maskOfField(fieldOf(fields, name)), 0n);
}

/** The register's value with these fields, and 0 in the others. */
export function wordOf<F extends Fields>(fields: F, values: FieldValues<F>): bigint {
  return Object.entries(values).reduce((word, [name, given]) => {
    const field = fieldOf(fields, name);
    const value = typeof given === 'string' ? field.values?.[given] : given;
    const most = 2 ** field.count - 1;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
      throw expected(`an integer from 0 to ${most}${typeof given === 'string' ? ', or its name,' : ''}`, name, given);
    return word | (BigInt(value) << BigInt(field.from));
  }, 0n);
}

/** What a field is in a register's value. */
export function valueOf(fields: Fields, name: string, word: bigint): number {
  const field = fieldOf(fields, name);
  return Number((word & maskOfField(field)) >> BigInt(field.from));
}

/** Those that are not 0, or 0 by a name: 'FD SPEED=1000 LEVEL=0x1f'. */
export function describeFields(fields: Fields, word: bigint): string {
  return Object.entries(fields)
    .flatMap(([name, { count, values = {} }]) => {
      const value = valueOf(fields, name, word);
      const called = Object.keys(values).find((each) => values[each] === value);
      if (called === undefined && value === 0) return [];
      return count === 1 && called === undefined ? [name] : [`${name}=${called ?? (value < 10 ? value : `0x${value.toString(16)}`)}`];
    })
    .join(' ');
}

function maskOfField({ from, count }: Field): bigint {
  return ((1n << BigInt(count)) - 1n) << BigInt(from);
}

function fieldOf(fields: Fields, name: string): Field {
  const field = fields[name];
  if (field === undefined) throw expected(`one of ${Object.keys(fields).join(', ')}`, 'a field', name);
  return field;
}
