/**
 * What is not even a system call: an argument of the wrong type or range throws before anything is done, in the words of
 * the addon that calls the real kernel (native/arguments.h).
 */
import { types } from 'node:util';
import { MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN } from '../abi/system.js';

export const mostInt = 0x7fff_ffff;
export const mostWord = 0xffff_ffff;
/** A kernel can be built for that many NUMA nodes. */
export const mostNode = 1023;
/** Longer addresses do not fit in user space. */
export const mostBytes = 2 ** 47;

/** A whole number from `least` to `most`. */
export function checkInteger(name: string, value: unknown, least: number, most: number): void {
  const what = `an integer from ${least} to ${most}`;
  if (typeof value !== 'number') throw wrongType(what, name, value);
  if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(message(what, name, value));
}

export function checkFd(value: unknown): void {
  checkInteger('fd', value, 0, mostInt);
}

export function checkOffset(value: unknown): void {
  checkInteger('offset', value, 0, Number.MAX_SAFE_INTEGER);
}

/** Text that a C string can hold. */
export function checkText(name: string, value: unknown): void {
  if (typeof value !== 'string') throw wrongType('a string', name, value);
  if (value.includes('\0')) throw new RangeError(message('a string without zero bytes', name, value));
}

/** A Uint8Array, or one of Node's buffers, which are such. */
export function checkBytes(name: string, value: unknown): void {
  if (!types.isUint8Array(value)) throw wrongType('a Uint8Array', name, value);
}

/** Structs of one size, as many as there is room for answers. */
export function checkStructs(structs: unknown, results: unknown): void {
  checkBytes('structs', structs);
  if (!types.isInt32Array(results)) throw wrongType('an Int32Array', 'results', results);
  const [{ length }, count] = [structs as Uint8Array, results.length];
  if (count === 0 ? length !== 0 : length % count !== 0) throw new RangeError(message(`${count} structs of one size`, 'structs', length));
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw wrongType('a function', name, value);
}

/** Memory with bytes: an address leads to one. */
export function checkMemory(name: string, value: unknown): void {
  if (!types.isArrayBuffer(value)) throw wrongType('an ArrayBuffer', name, value);
  if (value.byteLength === 0) throw new RangeError(message('an ArrayBuffer with bytes', name, value));
}

/** That no mapping is placed where the caller wants it: one could replace memory that is in use. */
export function checkPlacement(flags: number): void {
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN)) !== 0)
    throw new RangeError(message('no MAP_FIXED, MAP_FIXED_NOREPLACE or MAP_GROWSDOWN', 'flags', flags));
}

const wrongType = (what: string, name: string, value: unknown): TypeError => new TypeError(message(what, name, value));

const message = (what: string, name: string, value: unknown): string => `Expected ${what} for ${name} but received ${describe(value)}`;

/** Runs no code of the caller's. */
function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `'${value.split('\0', 1)[0]?.slice(0, 63)}'`;
    case 'symbol':
      return 'a symbol';
    case 'function':
      return 'a function';
    case 'object':
      return value === null ? 'null' : 'an object';
    case 'bigint':
      return BigInt.asIntN(256, value) === value ? String(value) : 'a large bigint';
    default:
      return String(value);
  }
}
