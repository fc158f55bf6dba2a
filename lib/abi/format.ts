/** Calls in words, as strace(1) would say them if it knew VFIO: from the declarations, and from nothing else. */
import { BadAnswerError, walkChain } from './chain.js';
import { describeErrno } from './errno.js';
import * as headers from './headers.js';
import type { FileKind, Request } from './ioctl.js';
import { tailOf } from './payload.js';
import { requests } from './requests.js';
import type { Field, Placed, Scalar, StructType, View } from './struct.js';
import { proposedRequests } from './vfio/vsva-2020.js';

/** Single bits by name, for each prefix that was asked for. */
const known = new Map<string, readonly (readonly [name: string, bit: number])[]>();

function bitsNamed(prefix: string): readonly (readonly [name: string, bit: number])[] {
  let bits = known.get(prefix);
  if (bits === undefined) {
    const mask = numbers(prefix).find(([name]) => name === `${prefix}MASK`)?.[1] ?? 0;
    bits = numbers(prefix)
      .filter(([, value]) => value > 0 && (value & (value - 1)) === 0 && (value & mask) === 0)
      .sort(([, a], [, b]) => a - b);
    known.set(prefix, bits);
  }
  return bits;
}

function numbers(prefix: string): (readonly [name: string, value: number])[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(prefix) && typeof value === 'number' ? [[name, value] as const] : [],
  );
}

/**
 * Flags by the names that begin with one of `prefixes`, without it: 'READ|WRITE'. Bits without a name are hexadecimal, no bits
 * '0'. Where a constant of the prefix is called MASK, what it covers is a number with a name of its own.
 */
export function formatFlags(value: number, ...prefixes: string[]): string {
  const parts: string[] = [];
  let left = value >>> 0;
  for (const prefix of prefixes) {
    for (const [name, bit] of bitsNamed(prefix)) {
      if ((left & bit) >>> 0 === 0) continue;
      parts.push(name.slice(prefix.length));
      left = (left & ~bit) >>> 0;
    }
    const mask = numbers(prefix).find(([name]) => name === `${prefix}MASK`)?.[1];
    if (mask === undefined) continue;
    const chosen = numbers(prefix)
      .map(([name, number]) => [name.slice(prefix.length), number] as const)
      .find(([name, number]) => number === (left & mask) && !operations.has(name));
    parts.push(chosen?.[0] ?? String(left & mask));
    left = (left & ~mask) >>> 0;
  }
  if (left !== 0 || parts.length === 0) parts.push(left === 0 ? '0' : hexadecimal(left));
  return parts.join('|');
}

/** What VFIO_DEVICE_FEATURE_BUS_MASTER does; numbers, and no features. */
const operations: ReadonlySet<string> = new Set(['CLEAR_MASTER', 'SET_MASTER']);

function hexadecimal(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

function formatScalar({ ctype, meaning, prefixes }: Scalar, value: number | bigint): string {
  if (meaning === 'flags' && prefixes !== undefined) return formatFlags(Number(value), ...prefixes);
  if (value === 0n) return meaning === 'address' ? 'NULL' : '0';
  if (ctype === '__u64' || (ctype === '__u32' && value >= 0x1_0000)) return hexadecimal(value);
  return String(value);
}

/** More of an array than this many elements is not shown. */
const mostElements = 32;

function formatList<T>(values: ArrayLike<T>, show: (value: T) => string): string {
  const shown = Array.from({ length: Math.min(values.length, mostElements) }, (_, index) => show(values[index]!));
  if (values.length > mostElements) shown.push(`... ${values.length} in all`);
  return `[${shown.join(', ')}]`;
}

/** Bytes in hexadecimal: '[34 12 e8 11]'; of many, the first. */
export function formatBytes(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, mostElements))
    .toString('hex')
    .replaceAll(/..(?!$)/g, '$& ');
  return `[${shown}${bytes.byteLength > mostElements ? ' ...' : ''}]`;
}

type Values = Record<string, unknown>;

function formatField(field: Field, value: unknown): string {
  switch (field.kind) {
    case 'scalar':
      return formatScalar(field, value as number | bigint);
    case 'struct':
      return formatView(field, value as View);
    case 'array':
      return formatElements(field.element, value as ArrayLike<unknown>);
    case 'flexible':
      return formatElements(field.element, value as ArrayLike<unknown>);
  }
}

function formatElements(element: Scalar | StructType, values: ArrayLike<unknown>): string {
  if (element.kind === 'scalar' && element.ctype === '__u8') return formatBytes(values as Uint8Array);
  return formatList(values, (value) => formatField(element, value));
}

/** Whether the field says nothing: reserved and zero, the other name of a union, or the header of a capability. */
function silent({ name, field }: Placed, value: unknown): boolean {
  if (field.sharing !== undefined) return true;
  if (field.kind === 'struct') return field.name === 'vfio_info_cap_header';
  return (field.kind === 'scalar' && field.meaning === 'reserved' && value === 0) || (name === 'pad' && value === 0);
}

/** `length`: where the caller's bytes end; fields behind it are left out. */
function formatView(type: StructType, view: View, length = view.bytes.byteLength): string {
  const values = view as unknown as Values;
  const parts: string[] = [];
  for (const placed of type.layout) {
    const { name, offset, field } = placed;
    if (field.kind === 'flexible') {
      const tail = tailOf(type, values);
      const room = view.bytes.subarray(Math.min(offset, length), length);
      if (tail !== undefined) parts.push(`${name}=${formatTail(tail, room)}`);
      else if (room.byteLength > 0) parts.push(`${name}=${formatField(field, values[name])}`);
      continue;
    }
    if (offset + field.size > length) break;
    if (!silent(placed, values[name])) parts.push(`${name}=${formatField(field, values[name])}`);
  }
  return `{${parts.join(', ')}}`;
}

function formatTail(tail: Scalar | StructType, bytes: Uint8Array): string {
  if (tail.kind === 'struct') return formatStruct(tail, bytes);
  const whole = bytes.slice(0, bytes.byteLength - (bytes.byteLength % tail.size));
  return formatElements(tail, tail.ctype === '__s32' ? new Int32Array(whole.buffer) : whole);
}

/**
 * A struct's fields by name: '{argsz=32, flags=READ|WRITE, vaddr=0x7f0000000000, iova=0x1000, size=0x1000}'. Addresses and all of
 * 64 bits are hexadecimal, flags named; fields behind the end of `bytes`, or of what its length word says, are left out.
 */
export function formatStruct(type: StructType, bytes: Uint8Array): string {
  const padded = new Uint8Array(Math.max(bytes.byteLength, type.size));
  padded.set(bytes);
  const view = type.view(padded.buffer) as View;
  const [first] = type.layout;
  const sized = first?.field.kind === 'scalar' && first.field.meaning === 'argsz' ? (view as unknown as Values)[first.name] : undefined;
  // An answer's length word may ask for more than there is.
  const length = typeof sized === 'number' && sized >= 4 ? Math.min(sized, bytes.byteLength) : bytes.byteLength;
  return formatView(type, view, length);
}

/** The chain of an answer, or '' where it has none. */
function formatChain({ chain, argument }: Request, bytes: Uint8Array): string {
  if (chain === undefined || typeof argument === 'string' || bytes.byteLength < argument.size) return '';
  const info = argument.view(bytes.slice().buffer) as unknown as { argsz: number; flags: number; cap_offset: number };
  if ((info.flags & chain.flag) === 0 || info.cap_offset === 0) return '';
  try {
    const elements = walkChain(bytes.subarray(0, info.argsz), argument.size, info.cap_offset);
    const texts = elements.map(({ id, bytes }) => {
      const type = chain.kinds[id];
      return type === undefined ? `{id=${id}, bytes=${formatBytes(bytes)}}` : `${type.name}${formatStruct(type, bytes)}`;
    });
    return `[${texts.join(', ')}]`;
  } catch (error) {
    if (error instanceof BadAnswerError) return 'malformed';
    throw error;
  }
}

/** The third argument of a request, before the call or after it. */
export function formatArgument(request: Request | undefined, argument: number | Uint8Array | undefined): string {
  if (argument === undefined) return request === undefined || request.argument === 'none' ? '' : 'NULL';
  if (typeof argument === 'number') return String(argument);
  if (request === undefined) return formatBytes(argument);
  if (typeof request.argument !== 'string') {
    const chain = formatChain(request, argument);
    return `${formatStruct(request.argument, argument)}${chain && ` + ${chain}`}`;
  }
  if (request.argument === 'text') return JSON.stringify(Buffer.from(argument).toString('latin1').replace(/\0.*$/s, ''));
  if (request.argument === 'fd' && argument.byteLength >= 4) return `[${new Int32Array(argument.slice(0, 4).buffer)[0]}]`;
  return formatBytes(argument);
}

/** A result as strace has it: '0', '5', '-1 EINVAL'. */
export function formatResult(result: number): string {
  return result < 0 ? `-1 ${describeErrno(-result).code}` : String(result);
}

/**
 * The requests that a number can be on a kind of file. More than one where the container's IOMMU decides; requests of a
 * container also on /dev/iommu, which can answer as one; proposals where nothing else has the number.
 */
export function findRequests(kind: FileKind | undefined, number: number): readonly Request[] {
  const kinds = kind === 'iommufd' || kind === 'container' ? ['iommufd', 'container'] : kind === undefined ? undefined : [kind];
  const find = (list: readonly Request[]): Request[] =>
    list.filter((request) => request.number === number && (kinds === undefined || kinds.includes(request.on)));
  const found = find(requests);
  return found.length > 0 ? found : find(proposedRequests);
}
