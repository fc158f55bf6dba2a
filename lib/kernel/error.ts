import { describeErrno } from '../abi/errno.js';
import type { Request } from '../abi/ioctl.js';
import { hint } from './hints.js';

/** Where an answer came from, for the error's sentence. */
export interface Call {
  /** The system call: 'ioctl', 'open', 'pread'. */
  syscall: string;
  request?: Request;
  /** The file, as its user knows it: '/dev/vfio/12', or a device's address. */
  path?: string;
  /** What to do about it, where the caller knows more than the table of hints. */
  hint?: string | undefined;
}

/**
 * A kernel's refusal, shaped as Node's own system errors are. Compare `code`; it is the contract.
 */
export class KernelError extends Error {
  /** The error's name: 'EBUSY'. */
  readonly code: string;
  /** Its number, negative as in Node's own errors: -16. */
  readonly errno: number;
  readonly syscall: string;
  /** The ioctl: 'VFIO_GROUP_SET_CONTAINER'. */
  readonly request: string | undefined;
  readonly path: string | undefined;
  /** What to do about it, in one sentence. One that guesses ends with a question mark. */
  readonly hint: string | undefined;
  /** What of the machine may be the reason, by the names that `vfio doctor --check` and `explain` know. */
  readonly checks: readonly string[];
  /** Of a list of requests, which one was refused: its place in the list, from 0. */
  index: number | undefined;

  /** @internal */
  constructor(errno: number, { syscall, request, path, hint: known }: Call) {
    const { code, text } = describeErrno(-errno);
    const { text: sentence, checks } = hint(request?.name ?? syscall, code);
    const advice = known ?? sentence;
    const place = [request === undefined ? syscall : `${syscall} ${request.name}`, path && `'${path}'`].filter(Boolean).join(' ');
    super(`${code}: ${text}, ${place}${advice === undefined ? '' : `. ${advice}`}`);
    this.name = 'KernelError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.request = request?.name;
    this.path = path;
    this.hint = advice;
    this.checks = known === undefined ? checks : [];
  }
}

/** The result of a system call, or a KernelError for a negative one. */
export function check(result: number, call: Call): number {
  if (result < 0) throw new KernelError(result, call);
  return result;
}

/** What this package refuses by itself, with a code to compare: 'ERR_VFIO_…'. */
export class CodedError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Something was used after it was closed. */
export class ClosedError extends Error {
  readonly code = 'ERR_VFIO_CLOSED';

  constructor(what: string) {
    super(`${what} is closed`);
    this.name = 'ClosedError';
  }
}

/** The error of one of a list, which then says which one. */
export function ofElement(index: number, error: unknown): unknown {
  if (error instanceof Error) error.message = `list[${index}]: ${error.message}`;
  if (error instanceof KernelError) error.index = index;
  return error;
}

/** A step for one of a list: what it throws says for which one. */
export function forElement<T>(index: number, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw ofElement(index, error);
  }
}

/** Misuse in one form: what was expected, for which argument, and what came. */
export function expected(what: string, argument: string, received: unknown): RangeError {
  return new RangeError(
    `Expected ${what} for ${argument} but received ${typeof received === 'string' ? `'${received}'` : String(received)}`,
  );
}

/** An integer up to `most`, by default 32 bits of them, or misuse. */
export function checkedInteger(argument: string, value: number, most = 0xffff_ffff): number {
  if (!Number.isInteger(value) || value < 0 || value > most) throw expected(`an integer from 0 to ${most}`, argument, value);
  return value;
}

/** An argument of 64 bits, or misuse. */
export function checked64(argument: string, value: bigint): bigint {
  if (typeof value !== 'bigint') throw new TypeError(`Expected a bigint for ${argument} but received ${String(value)}`);
  if (BigInt.asUintN(64, value) !== value) throw expected('an integer from 0 to 18446744073709551615', argument, value);
  return value;
}

/** A power of two in a bigint, or misuse. */
export function checkedPowerOfTwo(argument: string, value: bigint): bigint {
  if (checked64(argument, value) === 0n || (value & (value - 1n)) !== 0n) throw expected('a power of two', argument, value);
  return value;
}
