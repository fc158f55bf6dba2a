/**
 * The words that structs are made of: what C calls them, what they are for, and how each is read and written.
 *
 * Reads go through one DataView and writes through typed arrays: of the forms that V8 has, those cost least in optimized
 * code. Words have the kernel's own order of bytes, which is little-endian on every machine this runs on.
 */

export type CType = '__u8' | '__u16' | '__u32' | '__s32' | '__u64';
export type Value<C extends CType> = C extends '__u64' ? bigint : number;

export const typedArrays = { __u8: Uint8Array, __u16: Uint16Array, __u32: Uint32Array, __s32: Int32Array, __u64: BigUint64Array } as const;
export type TypedArray<C extends CType> = InstanceType<(typeof typedArrays)[C]>;

/**
 * What a field is for. The C type alone does not say it, and tools need it: which fields hold file descriptors,
 * addresses of this process, addresses of the device, ids of objects, or bits with names.
 */
export type Meaning = 'number' | 'argsz' | 'flags' | 'fd' | 'id' | 'iova' | 'address' | 'reserved';

/** What `since` and `sharing` say of a field. */
export interface Placement {
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
  /** The most significant byte comes first, whatever the machine's order is. */
  readonly bigEndian?: true;
  /** Somebody else reads and writes it meanwhile. */
  readonly volatile?: true;
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

/** A word of a protocol or a device whose bytes come in the order of the network. */
export function bigEndian<C extends '__u16' | '__u32' | '__u64'>(field: Scalar<C>): Scalar<C> {
  return { ...field, bigEndian: true };
}

/**
 * A word through which a driver and a device, or two threads, tell each other how far they are: each read is one access of
 * its own, and what is read or written after it in the program is so in memory. The engine may leave out reads of other
 * words, or put one in the place of several. Costs some ten nanoseconds: for the one word that is waited for.
 */
export function volatile<C extends CType>(field: Scalar<C>): Scalar<C> {
  return { ...field, volatile: true };
}

/** What a struct's accessors use. Those the struct has no word for stay undefined. */
export interface Words {
  /** Where the struct begins in each of the others, in bytes: an array of structs moves it. */
  startByte: number;
  readonly bytes: Uint8Array;
  readonly dataView: DataView;
  readonly words16: Uint16Array;
  readonly words32: Uint32Array;
  readonly signed32: Int32Array;
  readonly words64: BigUint64Array;
}

/** By what name a struct has the typed array that words of each kind are written through. */
export const wordsOf = { __u8: 'bytes', __u16: 'words16', __u32: 'words32', __s32: 'signed32', __u64: 'words64' } as const;

/** Memory is detached when its buffer is closed; a typed array then reads as undefined, and is written without a word. */
export function detached(): TypeError {
  return new TypeError('The memory of the struct is detached: its buffer was closed or transferred');
}

function held<T>(value: T | undefined): T {
  if (value === undefined) throw detached();
  return value;
}

/** @inline */
type Accessor = PropertyDescriptor & ThisType<Words>;

/** The property of a scalar that is `offset` bytes into its struct. @internal */
export function scalarAccessor({ ctype, bigEndian, volatile, size }: Scalar, offset: number): Accessor {
  if (bigEndian && volatile) throw new TypeError('A word cannot be volatile and big-endian');
  if (bigEndian) return bigEndianAccessors[ctype as keyof typeof bigEndianAccessors](offset);
  return (volatile ? volatileAccessors : accessors)[ctype](offset, offset / size);
}

// Each is written out: V8 makes them fast by what it saw each of them do, and a function that they share would be looked up
// at every write. The length that is compared is the one that the write's own bounds need anyway.
const accessors: Readonly<Record<CType, (offset: number, index: number) => Accessor>> = {
  __u8: (offset) => ({
    get() {
      return this.dataView.getUint8(this.startByte + offset);
    },
    set(value: number) {
      if (this.bytes.length === 0) throw detached();
      this.bytes[this.startByte + offset] = value;
    },
  }),
  __u16: (offset, index) => ({
    get() {
      return this.dataView.getUint16(this.startByte + offset, true);
    },
    set(value: number) {
      if (this.words16.length === 0) throw detached();
      this.words16[(this.startByte >>> 1) + index] = value;
    },
  }),
  __u32: (offset, index) => ({
    get() {
      return this.dataView.getUint32(this.startByte + offset, true);
    },
    set(value: number) {
      if (this.words32.length === 0) throw detached();
      this.words32[(this.startByte >>> 2) + index] = value;
    },
  }),
  __s32: (offset, index) => ({
    get() {
      return this.dataView.getInt32(this.startByte + offset, true);
    },
    set(value: number) {
      if (this.signed32.length === 0) throw detached();
      this.signed32[(this.startByte >>> 2) + index] = value;
    },
  }),
  __u64: (_offset, index) => ({
    get() {
      return held(this.words64[(this.startByte >>> 3) + index]);
    },
    set(value: bigint) {
      if (this.words64.length === 0) throw detached();
      this.words64[(this.startByte >>> 3) + index] = value;
    },
  }),
};

const volatileAccessors: typeof accessors = {
  __u8: (_offset, index) => ({
    get() {
      return Atomics.load(this.bytes, this.startByte + index);
    },
    set(value: number) {
      Atomics.store(this.bytes, this.startByte + index, value);
    },
  }),
  __u16: (_offset, index) => ({
    get() {
      return Atomics.load(this.words16, (this.startByte >>> 1) + index);
    },
    set(value: number) {
      Atomics.store(this.words16, (this.startByte >>> 1) + index, value);
    },
  }),
  __u32: (_offset, index) => ({
    get() {
      return Atomics.load(this.words32, (this.startByte >>> 2) + index);
    },
    set(value: number) {
      Atomics.store(this.words32, (this.startByte >>> 2) + index, value);
    },
  }),
  __s32: (_offset, index) => ({
    get() {
      return Atomics.load(this.signed32, (this.startByte >>> 2) + index);
    },
    set(value: number) {
      Atomics.store(this.signed32, (this.startByte >>> 2) + index, value);
    },
  }),
  __u64: (_offset, index) => ({
    get() {
      return Atomics.load(this.words64, (this.startByte >>> 3) + index);
    },
    set(value: bigint) {
      Atomics.store(this.words64, (this.startByte >>> 3) + index, value);
    },
  }),
};

const bigEndianAccessors = {
  __u16: (offset: number): Accessor => ({
    get() {
      return this.dataView.getUint16(this.startByte + offset);
    },
    set(value: number) {
      this.dataView.setUint16(this.startByte + offset, value);
    },
  }),
  __u32: (offset: number): Accessor => ({
    get() {
      return this.dataView.getUint32(this.startByte + offset);
    },
    set(value: number) {
      this.dataView.setUint32(this.startByte + offset, value);
    },
  }),
  __u64: (offset: number): Accessor => ({
    get() {
      return this.dataView.getBigUint64(this.startByte + offset);
    },
    set(value: bigint) {
      this.dataView.setBigUint64(this.startByte + offset, value);
    },
  }),
};
