/**
 * The declaration language: a C struct of the kernel's headers as a value, from which everything else follows: its
 * TypeScript type, its accessors, its size and offsets, and the C program that checks it against the real header.
 *
 * Accessors sit on a prototype made once per struct and read typed arrays, which have the kernel's own byte order.
 * A view costs about a microsecond to make and two nanoseconds to use: make one per open object and keep it.
 */

type CType = '__u8' | '__u16' | '__u32' | '__s32' | '__u64';
type Value<C extends CType> = C extends '__u64' ? bigint : number;

const typedArrays = { __u8: Uint8Array, __u16: Uint16Array, __u32: Uint32Array, __s32: Int32Array, __u64: BigUint64Array } as const;
type TypedArray<C extends CType> = InstanceType<(typeof typedArrays)[C]>;

/**
 * What a field is for. The C type alone does not say it, and tools need it: which fields hold file descriptors,
 * addresses of this process, addresses of the device, ids of objects, or bits with names.
 */
export type Meaning = 'number' | 'argsz' | 'flags' | 'fd' | 'id' | 'iova' | 'address' | 'reserved';

/** What `since` and `sharing` say of a field. */
interface Placement {
  /** First kernel version whose header has the field. */
  readonly since?: string;
  /** The first member of the anonymous union the field is in. */
  readonly sharing?: string;
}

export interface Scalar<C extends CType = CType> extends Placement {
  readonly kind: 'scalar';
  readonly ctype: C;
  readonly size: number;
  readonly meaning: Meaning;
  /** How the names of a flags field's bits begin. */
  readonly prefixes?: readonly string[];
}

const sizes = { __u8: 1, __u16: 2, __u32: 4, __s32: 4, __u64: 8 } as const;

function scalar<C extends CType>(ctype: C, meaning: Meaning = 'number'): Scalar<C> {
  return { kind: 'scalar', ctype, size: sizes[ctype], meaning };
}

export const u8 = scalar('__u8');
export const u16 = scalar('__u16');
export const u32 = scalar('__u32');
export const s32 = scalar('__s32');
export const u64 = scalar('__u64');
/** The length word VFIO structs begin with: how much room the caller has, in bytes. */
export const argsz = scalar('__u32', 'argsz');
export const fd = scalar('__s32', 'fd');
/** One that the kernel makes. */
export const newFd = scalar('__u32', 'fd');
/** The number of an object of /dev/iommu. */
export const id = scalar('__u32', 'id');
/** An address as the device sees it. */
export const iova = scalar('__u64', 'iova');
/** An address of this process. */
export const address = scalar('__u64', 'address');
export const reserved = scalar('__u32', 'reserved');

/** Bits whose names begin with one of `prefixes`. */
export function flags(...prefixes: string[]): Scalar<'__u32'> {
  return { ...scalar('__u32', 'flags'), prefixes };
}

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
  return { kind: 'array', element, length, size: length * element.size };
}

/** The flexible array at a struct's end. `count` names the field that holds its length; without it, to the end. */
export interface Flexible<E extends Scalar | StructType = Scalar | StructType> extends Placement {
  readonly kind: 'flexible';
  readonly element: E;
  readonly count?: string;
}
export function flexible<E extends Scalar | StructType>(element: E, count?: string): Flexible<E> {
  return count === undefined ? { kind: 'flexible', element } : { kind: 'flexible', element, count };
}

export type Field = Scalar | FixedArray | StructType | Flexible;
type Fields = Readonly<Record<string, Field>>;

type ValueOf<F extends Field> =
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

/** One struct in memory. Assigning to a property writes the bytes. */
export type View<F extends Fields = Fields> = {
  /** The struct's bytes, to the end of its flexible array: what is passed to a kernel. */
  readonly bytes: Uint8Array;
} & { [K in keyof F]: ValueOf<F[K]> };

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
  /** A view of a copy: for bytes that the kernel placed where the struct's alignment does not hold. */
  copy(bytes: Uint8Array): View<F>;
}

/** The typed arrays behind a view. Those the struct has no field for stay undefined. */
interface Words {
  bytes: Uint8Array;
  words16: Uint16Array;
  words32: Uint32Array;
  signed32: Int32Array;
  words64: BigUint64Array;
}

export function struct<F extends Fields>(name: string, fields: F): StructType<F> {
  const { layout, size, alignment } = place(name, fields);
  const prototype = Object.create(null, { [Symbol.toStringTag]: { value: name } }) as object;
  for (const placed of layout) Object.defineProperty(prototype, placed.name, accessor(placed, size));

  function view(memory: ArrayBufferLike, offset = 0, length = memory.byteLength - offset): View<F> {
    if (offset % alignment !== 0) throw new RangeError(`Expected a multiple of ${alignment} for offset of ${name} but received ${offset}`);
    if (length < size) throw new RangeError(`Expected at least ${size} bytes for ${name} but received ${length}`);
    const result = Object.create(prototype) as Words;
    define(result, 'bytes', new Uint8Array(memory, offset, length));
    define(result, 'words16', new Uint16Array(memory, offset, length >> 1));
    define(result, 'words32', new Uint32Array(memory, offset, length >> 2));
    define(result, 'signed32', new Int32Array(memory, offset, length >> 2));
    if (alignment === 8) define(result, 'words64', new BigUint64Array(memory, offset, length >> 3));
    return result as unknown as View<F>;
  }

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
    copy: (bytes) => view(bytes.slice().buffer),
  };
}

function typedArray(ctype: CType, { buffer, byteOffset }: Uint8Array, offset: number, length: number): TypedArray<CType> {
  return new typedArrays[ctype](buffer as ArrayBuffer, byteOffset + offset, length);
}

function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value });
}

/** The layout C gives the fields: each at a multiple of its own alignment, the whole a multiple of the largest. */
function place(name: string, fields: Fields): { layout: Placed[]; size: number; alignment: number } {
  const layout: Placed[] = [];
  let end = 0;
  let alignment = 1;
  for (const [key, field] of Object.entries(fields)) {
    if (key === 'bytes') throw new TypeError(`${name} cannot have a field named bytes`);
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
        return field.view(this.bytes.buffer, this.bytes.byteOffset + offset, field.size);
      },
    };
  }
  if (field.kind === 'flexible') return flexibleAccessor(field, offset, size);
  if (field.kind === 'array') {
    const { element, length } = field;
    return {
      get() {
        return typedArray(element.ctype, this.bytes, offset, length);
      },
    };
  }
  const index = offset / field.size;
  switch (field.ctype) {
    case '__u8':
      return {
        get() {
          return this.bytes[index];
        },
        set(value: number) {
          this.bytes[index] = value;
        },
      };
    case '__u16':
      return {
        get() {
          return this.words16[index];
        },
        set(value: number) {
          this.words16[index] = value;
        },
      };
    case '__u32':
      return {
        get() {
          return this.words32[index];
        },
        set(value: number) {
          this.words32[index] = value;
        },
      };
    case '__s32':
      return {
        get() {
          return this.signed32[index];
        },
        set(value: number) {
          this.signed32[index] = value;
        },
      };
    case '__u64':
      return {
        get() {
          return this.words64[index];
        },
        set(value: bigint) {
          this.words64[index] = value;
        },
      };
  }
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
