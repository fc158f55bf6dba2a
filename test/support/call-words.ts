/**
 * Calls in words that are the same on every machine: file descriptors by what they are, addresses by where they lie in memory
 * that the kernel was told of, devices and groups without their numbers.
 */
import { describeErrno } from '../../lib/abi/errno.js';
import {
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  iommu_ioas_copy,
  iommu_ioas_map,
  iommu_ioas_map_file,
} from '../../lib/abi/iommufd/ioas.js';
import { tailOf } from '../../lib/abi/payload.js';
import type { StructType } from '../../lib/abi/struct.js';
import { describeCall } from '../../lib/kernel/call-text.js';
import { fdsGiven } from '../../lib/kernel/file-kinds.js';
import type { TracedCall } from '../../lib/kernel/trace.js';
import { IOMMU_TEST_CMD } from './mock/abi.js';

/** What says nothing of the kernel, or what other files say: contents of registers and of sysfs, and waiting. */
const unsaid = new Set(['watch', 'unwatch', 'munmap', 'readFile', 'writeFile', 'readdir', 'readlink', 'access']);

export class Names {
  readonly #fds = new Map<number, { readonly name: string; readonly number: number }>();
  #opened = 0;
  readonly #areas: { readonly start: bigint; readonly end: bigint }[] = [];
  readonly #chosen = new Set<bigint>();
  readonly #counts = new Map<string, number>();

  opened(fd: number, kind: string): string {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const name = `${kind}#${count}`;
    this.#fds.set(fd, { name, number: 1000 + this.#opened++ });
    return name;
  }

  fd(fd: number): string {
    return this.#fds.get(fd)?.name ?? String(fd);
  }

  /** As a number that fits in the struct's place: descriptors from 1000 on, in the order of their opening. */
  fdNumber(fd: number): number {
    return this.#fds.get(fd)?.number ?? fd;
  }

  /** Memory that the kernel is told of. Which it is cannot be said: addresses that were given back are given out again. */
  area(start: bigint, size: number): void {
    this.#areas.unshift({ start, end: start + BigInt(size) });
  }

  /** Where in its memory an address lies. Up to a page behind the end belongs to it, if to nothing else. */
  address(value: bigint): bigint {
    const area =
      this.#areas.find(({ start, end }) => value >= start && value < end) ??
      this.#areas.find(({ start, end }) => value >= start && value <= end + 0x1000n);
    return area === undefined ? value : memory + (value - area.start);
  }

  /** The kernel chose it, by how the memory happens to be aligned. */
  choose(iova: bigint): void {
    this.#chosen.add(iova);
  }

  iova(value: bigint): bigint {
    return this.#chosen.has(value) ? chosen : value;
  }
}

const memory = 0x100_0000_0000n;
const chosen = 0x200_0000_0000n;

/** Writes the names over the bytes of a struct. */
function rename(type: StructType, bytes: Uint8Array, names: Names, base = 0): void {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scalar = (meaning: string, size: number, at: number): void => {
    if (at + size > bytes.byteLength) return;
    if (meaning === 'fd') data.setInt32(at, names.fdNumber(data.getInt32(at, true)), true);
    if (meaning === 'iova') data.setBigUint64(at, names.iova(data.getBigUint64(at, true)), true);
    if (meaning === 'address') data.setBigUint64(at, names.address(data.getBigUint64(at, true)), true);
  };
  for (const { offset, field } of type.layout) {
    const at = base + offset;
    if (field.kind === 'scalar') scalar(field.meaning, field.size, at);
    else if (field.kind === 'struct') rename(field, bytes, names, at);
    else if (field.kind === 'flexible') {
      const view = base === 0 && bytes.byteLength >= type.size ? (type.copy(bytes) as Record<string, unknown>) : {};
      const tail = tailOf(type, view);
      const element = tail ?? field.element;
      // A struct that is said by the flags comes once.
      if (tail?.kind === 'struct') rename(tail, bytes, names, at);
      else if (element.kind === 'struct')
        for (let each = at; each < bytes.byteLength; each += element.size) rename(element, bytes, names, each);
      else if (element.meaning !== 'number')
        for (let each = at; each < bytes.byteLength; each += element.size) scalar(element.meaning, element.size, each);
    }
  }
}

/** Numbers of this machine, and of this run. */
const local: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b/g, 'DEVICE'],
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID'],
  [/(\/dev\/vfio\/(?:noiommu-)?)\d+/g, '$1GROUP'],
  [/(\/dev\/vfio\/devices\/(?:noiommu-)?vfio)\d+/g, '$1N'],
  [/\b(group_id|bus|devfn|segment)=\d+/g, '$1=N'],
];

/** A call and its answer: `key` tells it from others, `words` says it, which takes longer. */
export interface Said {
  readonly key: string;
  readonly words: () => string;
}

export function say(call: TracedCall, names: Names): Said | undefined {
  const { name, fd, kind, request, result } = call;
  if (unsaid.has(name) || (name === 'close' && result === 0) || (name === 'read' && kind === 'eventfd')) return undefined;
  const from = fd === undefined ? '' : names.fd(fd);
  noteChoice(call, names);
  const before = call.before && renamed(call, call.before, names);
  const answer = madeBy(call, names) ?? (result < 0 ? describeErrno(-result).code : String(result));
  const after = call.after && renamed(call, call.after, names);
  // A pointer to no memory of the caller's own.
  const argument = Number.isInteger(call.argument) ? Number(names.address(BigInt(call.argument as number))) : call.argument;
  const at = call.offset === undefined ? '' : `, 0x${placed(from, call.offset, names).toString(16)}`;
  const moves = name === 'pread' || name === 'pwrite' || name === 'read' || name === 'write';
  const words = (): string => {
    const told = { ...call, argument, result: undefined, ...(before && { before }), ...(after && { after }) };
    const text = moves
      ? `${name}(${from}, ${call.bytes?.byteLength} bytes${at})`
      : describeCall(told as unknown as TracedCall).replace(/^(\w+)\(-?\d+/, fd === undefined ? '$&' : `$1(${from}`);
    return `${neutral(text)} = ${answer}`;
  };
  const said = moves
    ? [call.bytes?.byteLength, at]
    : [request?.name ?? call.number, neutral(call.path ?? ''), argument, hex(before), hex(after)];
  return {
    key: [name, from, ...said, call.size, call.flags, answer].map((part) => (typeof part === 'object' ? '' : part)).join(' '),
    words,
  };
}

/** An offset in the file of the process's pages stands for an address: there are 8 bytes for each page. */
function placed(file: string, offset: number, names: Names): bigint {
  if (!file.startsWith('pagemap')) return BigInt(offset);
  const address = (BigInt(offset) / 8n) * 0x1000n;
  return (names.address(address) / 0x1000n) * 8n;
}

/** An IOVA that an address space chose. */
function noteChoice({ request, result, after }: TracedCall, names: Names): void {
  if (result !== 0 || after === undefined) return;
  for (const { name, argument, field } of choosing) {
    if (request?.name !== name || after.byteLength < argument.size) continue;
    const view = argument.copy(after) as unknown as Record<string, number | bigint>;
    if ((Number(view['flags']) & IOMMU_IOAS_MAP_FIXED_IOVA) === 0) names.choose(BigInt(view[field] ?? 0));
  }
}

const choosing = [
  { name: IOMMU_IOAS_MAP.name, argument: iommu_ioas_map as StructType, field: 'iova' },
  { name: IOMMU_IOAS_MAP_FILE.name, argument: iommu_ioas_map_file as StructType, field: 'iova' },
  { name: IOMMU_IOAS_COPY.name, argument: iommu_ioas_copy as StructType, field: 'dst_iova' },
];

const hex = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '' : neutral(Buffer.from(bytes).toString('hex')));

function neutral(text: string): string {
  return local.reduce((neutralized, [pattern, word]) => neutralized.replaceAll(pattern, word), text);
}

function renamed({ request, number }: TracedCall, given: Uint8Array, names: Names): Uint8Array {
  const bytes = given.slice();
  // What it is asked for is said, by its first words; with what files and addresses, the names do not know.
  if (number === IOMMU_TEST_CMD.number) return bytes.subarray(0, 8);
  if (request?.argument === 'text') return new TextEncoder().encode(neutral(Buffer.from(bytes).toString('latin1')));
  if (request !== undefined && typeof request.argument === 'object') rename(request.argument, bytes, names);
  else if (request?.argument === 'fd' && bytes.byteLength >= 4) {
    const data = new DataView(bytes.buffer);
    data.setInt32(0, names.fdNumber(data.getInt32(0, true)), true);
  }
  return bytes;
}

/** The name of what the call opened. */
function madeBy({ name, path = '', request, argument, result }: TracedCall, names: Names): string | undefined {
  if (result < 0) return undefined;
  if (name === 'open') return names.opened(result, kindAt(path));
  if (name === 'memfd' || name === 'eventfd') return names.opened(result, name);
  if (request === undefined) return undefined;
  const given = fdsGiven(request, argument, result);
  for (const { fd, kind } of given) names.opened(fd, kind);
  return given.find(({ fd }) => fd === result) && names.fd(result);
}

function kindAt(path: string): string {
  if (path.endsWith('iommu')) return 'iommufd';
  if (path.endsWith('pagemap')) return 'pagemap';
  if (path.includes('devices')) return 'device';
  return path === '/dev/vfio/vfio' ? 'container' : 'group';
}
