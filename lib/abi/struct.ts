/**
 * The declaration language: a C struct of the kernel's headers as a value, from which everything else follows: its
 * TypeScript type, its accessors, its size and offsets, and the C program that checks it against the real header.
 *
 * Accessors sit on a prototype made once per struct. A view costs about a microsecond to make and a nanosecond to use: make
 * one per open object and keep it, and one for a whole ring of descriptors (`array`).
 */
import {
  detached,
  scalarAccessor,
  typedArrays,
  wordsOf,
  type CType,
  type Placement,
  type Scalar,
  type TypedArray,
  type Value,
  type Words,
} from './scalar.js';
export * from './scalar.js';

/** A field that headers before Linux `version` do not have. */
export function since<F extends Field>(version: string, field: F): F {
  return { ...field, since: version };
}

/** A member of an anonymous union: it lies where the union's first member, named `first`, does. */
export function sharing<F extends Field>(first: string, field: F): F {
  return { ...field, sharing: first };
}

/** An array of a fixed length. Its value is a typed array over the struct's own bytes. */
export interface FixedArray<C extends CType = CType> extends Placement {
  readonly kind: 'array';
  readonly element: Scalar<C>;
  readonly length: number;
  readonly size: number;
}
export function array<C extends CType>(element: Scalar<C>, length: number): FixedArray<C> {
  assertPlain(element);
  return { kind: 'array', element, length, size: length * element.size };
}

/** The flexible array at a struct's end. `count` names the field that holds its length; without it, to the end. */
export interface Flexible<E extends Scalar | StructType = Scalar | StructType> extends Placement {
  readonly kind: 'flexible';
  readonly element: E;
  readonly count?: string;
}
export function flexible<E extends Scalar | StructType>(element: E, count?: string): Flexible<E> {
  if (element.kind === 'scalar') assertPlain(element);
  return count === undefined ? { kind: 'flexible', element } : { kind: 'flexible', element, count };
}

/** A typed array knows neither another order of bytes nor volatile words. */
function assertPlain({ bigEndian, volatile }: Scalar): void {
  if (bigEndian || volatile) throw new TypeError('The words of an array cannot be big-endian or volatile: declare them one by one');
}

export type Field = Scalar | FixedArray | StructType | Flexible;
/** A struct's fields, by name, in the header's order. */
export type Fields = Readonly<Record<string, Field>>;

/** What a field holds, in JavaScript. */
export type ValueOf<F extends Field> =
  F extends Scalar<infer C>
    ? Value<C>
    : F extends FixedArray<infer C>
      ? TypedArray<C>
      : F extends Flexible<infer E>
        ? E extends StructType<infer G>
          ? readonly View<G>[]
          : E extends Scalar<infer C>
            ? TypedArray<C>
            : never
        : F extends StructType<infer G>
          ? View<G>
          : never;

/** A struct's fields. Assigning to one writes the bytes. A field that is a struct or an array is made anew at each use. */
export type Values<F extends Fields = Fields> = { [K in keyof F]: ValueOf<F[K]> };

/** One struct in memory. Once the memory is detached, as that of a buffer that was closed, using a field throws a TypeError. */
export type View<F extends Fields = Fields> = {
  /** The struct's bytes, to the end of its flexible array: what is passed to a kernel. */
  readonly bytes: Uint8Array;
} & Values<F>;

/** Structs of one kind one behind the other in memory, as the descriptors of a ring are. */
export interface StructArray<F extends Fields = Fields> {
  /** The bytes of all of them. */
  readonly bytes: Uint8Array;
  /**
   * The struct at that place, from 0. It is the same object each time, moved there: what an earlier call gave is that struct
   * now, too. To have two at once, lay a second array over the memory.
   * @throws RangeError past the last; TypeError when the memory is detached.
   */
  at(index: number): Values<F>;
}

export interface Placed {
  readonly name: string;
  readonly offset: number;
  readonly field: Field;
}

/** A declared struct. The `any` lets every declared struct stand where just some struct is asked for. */
export interface StructType<F extends Fields = any> extends Placement {
  readonly kind: 'struct';
  readonly name: string;
  /** sizeof, in bytes, without a flexible array. */
  readonly size: number;
  readonly alignment: number;
  readonly layout: readonly Placed[];
  /** Where the named field ends, as the kernel's own `offsetofend`. */
  offsetofend(field: keyof F & string): number;
  /** A zeroed struct with `extra` bytes of room behind it. */
  create(extra?: number): View<F>;
  /** A view of memory that exists. `offset` must be a multiple of the struct's alignment. */
  view(memory: ArrayBufferLike, offset?: number, length?: number): View<F>;
  /**
   * Structs in memory that exists, from `offset` on: by default as many as there is room for. Memory that a device writes
   * too: say which of the words are `volatile`.
   * A flexible array at their end has no elements.
   * @throws RangeError where they do not fit, or `offset` is not a multiple of the struct's alignment.
   */
  array(memory: ArrayBufferLike, offset?: number, count?: number): StructArray<F>;
  /** A view of a copy: for bytes that the kernel placed where the struct's alignment does not hold. */
  copy(bytes: Uint8Array): View<F>;
}

export function struct<F extends Fields>(name: string, fields: F): StructType<F> {
  const { layout, size, alignment } = place(name, fields);
  const written = new Set(layout.flatMap(({ field }) => (field.kind === 'scalar' ? [field.ctype] : [])));
  const prototype = Object.create(null, { [Symbol.toStringTag]: { value: name } }) as object;
  for (const placed of layout) Object.defineProperty(prototype, placed.name, accessor(placed, size));
  // `at` moves the array itself and returns it: only of an object that it knows can V8 make that cost next to nothing.
  const arrayPrototype = Object.create(prototype, {
    at: {
      value(this: Words, index: number) {
        const start = index * size;
        if (index >>> 0 !== index || !(start < this.bytes.length)) throw misplaced(name, index, this.bytes.length / size);
        this.startByte = start;
        return this;
      },
    },
  }) as object;
  // The next struct begins where it would.
  for (const { name: field, field: tail } of layout) if (tail.kind === 'flexible') define(arrayPrototype, field, noElements(tail));

  function lay<T>(over: object, memory: ArrayBufferLike, offset: number, length: number): T {
    if (!(offset >= 0) || offset % alignment !== 0)
      throw new RangeError(`Expected a multiple of ${alignment} for offset of ${name} but received ${offset}`);
    if (length < size) throw new RangeError(`Expected at least ${size} bytes for ${name} but received ${length}`);
    const result = Object.create(over) as object;
    Object.defineProperty(result, 'startByte', { value: 0, writable: true });
    define(result, 'bytes', new Uint8Array(memory, offset, length));
    define(result, 'dataView', new DataView(memory, offset, length));
    for (const ctype of written) {
      if (ctype === '__u8') continue;
      const { BYTES_PER_ELEMENT } = typedArrays[ctype];
      define(result, wordsOf[ctype], new typedArrays[ctype](memory as ArrayBuffer, offset, Math.floor(length / BYTES_PER_ELEMENT)));
    }
    return result as T;
  }

  const view = (memory: ArrayBufferLike, offset = 0, length = memory.byteLength - offset): View<F> =>
    lay(prototype, memory, offset, length);

  return {
    kind: 'struct',
    name,
    size,
    alignment,
    layout,
    offsetofend(field) {
      const placed = layout.find((candidate) => candidate.name === field);
      if (placed === undefined || placed.field.kind === 'flexible') throw new RangeError(`${name} has no field ${field}`);
      return placed.offset + placed.field.size;
    },
    // A buffer of its own: a small typed array may live inside the engine's heap, where it has no fixed address.
    create: (extra = 0) => view(new ArrayBuffer(size + extra)),
    view,
    array(memory, offset = 0, count = Math.floor((memory.byteLength - offset) / size)) {
      const most = Math.floor(Math.min(memory.byteLength - offset, mostBytes) / size);
      if (!Number.isInteger(count) || count < 1 || count > most)
        throw new RangeError(`Expected an integer from 1 to ${most} for count of ${name} but received ${count}`);
      return lay(arrayPrototype, memory, offset, count * size);
    },
    copy: (bytes) => view(bytes.slice().buffer),
  };
}

function typedArray(ctype: CType, { buffer, byteOffset }: Uint8Array, offset: number, length: number): TypedArray<CType> {
  return new typedArrays[ctype](buffer as ArrayBuffer, byteOffset + offset, length);
}

function noElements({ element }: Flexible): unknown {
  return element.kind === 'scalar' ? new typedArrays[element.ctype](0) : [];
}

function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value });
}

/** What views and arrays of structs have beside the fields. */
const reservedNames = ['at', 'startByte', 'dataView', ...Object.values(wordsOf)];

/** An array ends where the offsets of its words are no longer integers of 32 bits. */
const mostBytes = 0x1_0000_0000;

function misplaced(name: string, index: number, count: number): Error {
  return count === 0 ? detached() : new RangeError(`Expected an integer from 0 to ${count - 1} for index of ${name} but received ${index}`);
}

/** The layout C gives the fields: each at a multiple of its own alignment, the whole a multiple of the largest. */
function place(name: string, fields: Fields): { layout: Placed[]; size: number; alignment: number } {
  const layout: Placed[] = [];
  let end = 0;
  let alignment = 1;
  for (const [key, field] of Object.entries(fields)) {
    if (reservedNames.includes(key)) throw new TypeError(`${name} cannot have a field named ${key}`);
    const element = field.kind === 'flexible' || field.kind === 'array' ? field.element : field;
    const own = element.kind === 'struct' ? element.alignment : element.size;
    const offset = field.sharing === undefined ? roundUp(end, own) : layout.find((placed) => placed.name === field.sharing)?.offset;
    if (offset === undefined || offset % own !== 0) throw new TypeError(`${name}.${key} cannot lie where ${field.sharing} does`);
    layout.push({ name: key, offset, field });
    end = Math.max(end, field.kind === 'flexible' ? offset : offset + field.size);
    alignment = Math.max(alignment, own);
  }
  return { layout, size: roundUp(end, alignment), alignment };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function accessor({ offset, field }: Placed, size: number): PropertyDescriptor & ThisType<Words> {
  if (field.kind === 'struct') {
    return {
      get() {
        return field.view(this.bytes.buffer, this.bytes.byteOffset + this.startByte + offset, field.size);
      },
    };
  }
  if (field.kind === 'flexible') return flexibleAccessor(field, offset, size);
  if (field.kind === 'array') {
    const { element, length } = field;
    return {
      get() {
        return typedArray(element.ctype, this.bytes, this.startByte + offset, length);
      },
    };
  }
  return scalarAccessor(field, offset);
}

function flexibleAccessor({ element, count }: Flexible, offset: number, size: number): PropertyDescriptor & ThisType<Words> {
  return {
    get() {
      // A scalar may begin in the padding before the struct's end; a struct cannot.
      const room = Math.floor((this.bytes.byteLength - (element.kind === 'scalar' ? offset : size)) / element.size);
      const length = count === undefined ? room : Math.min(room, (this as unknown as Record<string, number>)[count] ?? 0);
      if (element.kind === 'scalar') return typedArray(element.ctype, this.bytes, offset, length);
      return Array.from({ length }, (_, index) =>
        element.view(this.bytes.buffer, this.bytes.byteOffset + offset + index * element.size, element.size),
      );
    },
  };
}
