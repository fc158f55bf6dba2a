import type { StructType } from './struct.js';

/**
 * The kinds of file a request can be made on. One number may mean another request on another kind. `migration` is the data
 * fd of a device that moves its state.
 */
export type FileKind = 'container' | 'group' | 'device' | 'migration' | 'iommufd';

/** How the third argument of ioctl(2) is to be read. */
export type ArgumentKind =
  /** Nothing: the argument is ignored. */
  | 'none'
  /** A number, by value. */
  | 'number'
  /** A pointer to a 32-bit file descriptor. */
  | 'fd'
  /** A pointer to text that ends with a zero byte. */
  | 'text';

export interface Request {
  readonly name: string;
  readonly number: number;
  readonly on: FileKind;
  readonly argument: ArgumentKind | StructType;
  /** The bytes of the struct the kernel insists on: a smaller length word is EINVAL. 0 without a struct. */
  readonly minimum: number;
  /** The capability chain of the answer, by capability id. */
  readonly chain?: Chain;
}

export interface Chain {
  /** Set in the answer's flags when there is a chain, even when it did not fit. */
  readonly flag: number;
  readonly kinds: Readonly<Record<number, StructType>>;
}

/** What a request is given, beside its name and number. */
export interface RequestDeclaration {
  on: FileKind;
  argument: ArgumentKind | StructType;
  /** The last field the kernel requires, as its handler's `offsetofend(struct, field)` has it. */
  minimum?: string;
  chain?: Chain;
}

/** The encoding of a request without direction and size, the only form VFIO uses. */
export function _IO(type: number, number: number): number {
  return (type << 8) | number;
}

export function request(name: string, number: number, declaration: RequestDeclaration): Request {
  const { on, argument, minimum, chain } = declaration;
  const bytes = minimum === undefined || typeof argument === 'string' ? 0 : argument.offsetofend(minimum);
  return { name, number, on, argument, minimum: bytes, ...(chain && { chain }) };
}
