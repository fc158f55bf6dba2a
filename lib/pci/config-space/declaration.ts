/** Registers of configuration space as data: where they are, and what their bits are called. */

/** Facts about a function that decide what its capabilities have. */
export interface FunctionFacts {
  /** 0 of a device, 1 of a bridge. */
  readonly headerType: number;
  readonly classCode: number;
  readonly vendor: number;
  readonly device: number;
  /** The PCI Express capability's device or port type; undefined where there is no such capability. */
  readonly portType: number | undefined;
  /** Lanes that the link has at most. */
  readonly linkWidth: number;
}

/** The bytes from a capability's start on. What is beyond the end reads as 0, and `cutOff` tells. */
export class View {
  readonly facts: FunctionFacts;
  /** The highest byte that was read, and one. */
  end = 0;
  cutOff = false;
  readonly #bytes: DataView;
  readonly #start: number;

  constructor(bytes: Uint8Array, start: number, facts: FunctionFacts) {
    this.#bytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#start = start;
    this.facts = facts;
  }

  u8(offset: number): number {
    return this.#has(offset, 1) ? this.#bytes.getUint8(this.#start + offset) : 0;
  }

  u16(offset: number): number {
    return this.#has(offset, 2) ? this.#bytes.getUint16(this.#start + offset, true) : 0;
  }

  u32(offset: number): number {
    return this.#has(offset, 4) ? this.#bytes.getUint32(this.#start + offset, true) : 0;
  }

  u64(offset: number): bigint {
    return this.#has(offset, 8) ? this.#bytes.getBigUint64(this.#start + offset, true) : 0n;
  }

  #has(offset: number, width: number): boolean {
    const fits = this.#start + offset + width <= this.#bytes.byteLength;
    if (fits) this.end = Math.max(this.end, offset + width);
    else this.cutOff = true;
    return fits;
  }
}

/** Bits that mean one thing. */
export interface Field<T> {
  /** The lowest. */
  readonly from: number;
  readonly count: number;
  readonly meaning: (value: number) => T;
}

/** One bit. */
export function flag(from: number): Field<boolean> {
  return { from, count: 1, meaning: (value) => value === 1 };
}

/** A number. */
export function bits(from: number, count: number): Field<number> {
  return { from, count, meaning: (value) => value };
}

/** A number that stands for another one. */
export function scaled(from: number, count: number, meaning: (value: number) => number): Field<number> {
  return { from, count, meaning };
}

/** A number that stands for a word; one without is `other`. */
export function named(from: number, count: number, names: readonly string[], other = 'unknown'): Field<string> {
  return { from, count, meaning: (value) => names[value] ?? other };
}

/** Bits each of which says that there is something: what there is. */
export function several(from: number, names: readonly string[]): Field<string[]> {
  return { from, count: names.length, meaning: (value) => names.filter((_, index) => (value >>> index) & 1) };
}

/** Something that is read: a register, some together, one of two, a list. `at` is where its offsets count from. */
export interface Part<T> {
  readonly read: (view: View, at: number) => T;
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type FieldsOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };
type Parts = Readonly<Record<string, Part<unknown>>>;
export type PartOf<P> = P extends Part<infer T> ? T : never;
type PartsOf<P extends Parts> = { readonly [K in keyof P]: PartOf<P[K]> };
type Width = 1 | 2 | 4;

function register<F extends Fields>(offset: number, width: Width, fields?: F): Part<number | FieldsOf<F>> {
  const reads = { 1: 'u8', 2: 'u16', 4: 'u32' } as const;
  return {
    read: (view, at) => {
      const value = view[reads[width]](at + offset);
      if (fields === undefined) return value;
      const field = ({ from, count, meaning }: Field<unknown>): unknown =>
        meaning(count === 32 ? value : (value >>> from) & (2 ** count - 1));
      return Object.fromEntries(Object.entries(fields).map(([name, each]) => [name, field(each)])) as FieldsOf<F>;
    },
  };
}

interface Declare {
  (offset: number): Part<number>;
  <F extends Fields>(offset: number, fields: F): Part<FieldsOf<F>>;
}

export const reg8: Declare = (offset: number, fields?: Fields) => register(offset, 1, fields) as Part<never>;
export const reg16: Declare = (offset: number, fields?: Fields) => register(offset, 2, fields) as Part<never>;
export const reg32: Declare = (offset: number, fields?: Fields) => register(offset, 4, fields) as Part<never>;
export const reg64 = (offset: number): Part<bigint> => ({ read: (view, at) => view.u64(at + offset) });

/** What the bytes say in a way that no register of fields does. */
export function computed<T>(read: (view: View, at: number) => T): Part<T> {
  return { read };
}

type Condition = (view: View, at: number) => boolean;

/** A part that is there in some cases only; undefined in the others. */
export function when<T>(condition: Condition, part: Part<T>): Part<T | undefined> {
  return { read: (view, at) => (condition(view, at) ? part.read(view, at) : undefined) };
}

/** One of two. */
export function either<T>(condition: Condition, yes: Part<T>, no: Part<T>): Part<T> {
  return { read: (view, at) => (condition(view, at) ? yes : no).read(view, at) };
}

/** As many elements as `count` says, each `stride` bytes after the one before. Those that are beyond the end are left out. */
export function list<T>(count: (view: View, at: number) => number, offset: number, stride: number, element: Part<T>): Part<T[]> {
  return {
    read: (view, at) => {
      const found: T[] = [];
      for (let index = 0; index < count(view, at) && !view.cutOff; index += 1) found.push(element.read(view, at + offset + index * stride));
      return found;
    },
  };
}

/** Parts together. What is undefined is left out. */
export function block<P extends Parts>(parts: P): Part<PartsOf<P>> {
  return {
    read: (view, at) =>
      Object.fromEntries(
        Object.entries(parts)
          .map(([name, part]) => [name, part.read(view, at)] as const)
          .filter(([, value]) => value !== undefined),
      ) as PartsOf<P>,
  };
}

/** What there is to know of a capability. */
export interface Declaration<T extends Readonly<Record<string, unknown>> = Readonly<Record<string, unknown>>> {
  readonly id: number;
  /** What the specification calls it. */
  readonly name: string;
  readonly registers: Part<T>;
}

export function capability<P extends Parts>(id: number, name: string, registers: P): Declaration<PartsOf<P>> {
  return { id, name, registers: block(registers) };
}
