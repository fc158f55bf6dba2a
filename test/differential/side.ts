/** One of the two kernels: what operations stand for on it, the calls, and what came back in words that both can have. */
import { describeErrno } from '../../lib/abi/errno.js';
import type { Request } from '../../lib/abi/ioctl.js';
import { requests } from '../../lib/abi/requests.js';
import type { StructType } from '../../lib/abi/struct.js';
import { EFD_NONBLOCK, O_RDWR } from '../../lib/abi/system.js';
import { VFIO_DEVICE_FEATURE } from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_GET_GFX_DMABUF } from '../../lib/abi/vfio/gfx.js';
import { VFIO_GROUP_GET_DEVICE_FD } from '../../lib/abi/vfio/group.js';
import { check } from '../../lib/kernel/error.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import { findNode } from '../../lib/pci/topology.js';
import { MediatedPlaces } from './mediated-places.js';
import { scratchAt, type Memory } from './memory.js';
import { isAddress, type Ioctl, type Operation, type Value, type Width, type Word } from './operation.js';
import type { Place } from './places.js';

/** What one operation did, without anything that only one of the kernels could say. */
export interface Outcome {
  /** The number, the errno's name, 'fd', 'mapping', or what was thrown. */
  readonly result: string;
  /** The argument, or the data, as it was after the call. */
  readonly bytes: Uint8Array;
}

/** What an eventfd holds, without taking it. */
export type Peek = (fd: number) => bigint;

/** As much of the argument as a kernel is shown, and as much of it as is compared when the length word says less. */
const argumentSize = 4096;
const comparedSize = 256;
/** An fd that nothing has. */
const nothing = 0x3fff_ffff;

const byName = new Map(requests.map((request) => [request.name, request]));
const wordSizes = { u8: 1, u32: 4, s32: 4, u64: 8 } as const;

/** Where an address or an fd of this kernel alone stands in an argument. */
interface Mark {
  readonly at: number;
  readonly size: number;
  readonly field: string | undefined;
  readonly before: bigint;
}

export class Side {
  readonly kernel: Kernel;
  readonly #places: readonly Place[];
  readonly #memory: Memory;
  readonly #argument = new Uint8Array(new ArrayBuffer(argumentSize));
  readonly #numbers = new Map<string, bigint>();
  readonly #mappings = new Map<string, Mapping>();
  readonly #open = new Map<string, number>();
  readonly #eventfds = new Set<string>();
  /** The names of those that are open, by what their fds are called. */
  readonly #devices = new Map<string, string>();
  readonly #peek: Peek;
  readonly #mediated: MediatedPlaces;

  /** `memory` is the kernel's, and whose it was; `peek` tells what an eventfd of the kernel holds. */
  constructor(kernel: Kernel, memory: Memory, places: readonly Place[], peek: Peek) {
    this.kernel = kernel;
    this.#peek = peek;
    this.#places = places;
    this.#mediated = new MediatedPlaces(kernel);
    this.#memory = memory;
  }

  /** The memory that requests have addresses of, as it is. */
  get memory(): Uint8Array {
    return this.#memory.given;
  }

  /** The files by which a device is open. */
  filesOf(name: string): number[] {
    return [...this.#open].flatMap(([ref, fd]) => (this.#devices.get(ref) === name ? [fd] : []));
  }

  /** What the eventfds hold, in the order they were made. */
  counters(): string {
    return [...this.#eventfds].map((name) => this.#peek(this.#open.get(name) ?? nothing)).join(' ');
  }

  /** Closes and unmaps all there is, the newest first. */
  close(): void {
    for (const mapping of [...this.#mappings.values()].reverse()) mapping.unmap();
    for (const fd of [...this.#open.values()].reverse()) check(this.kernel.close(fd), { syscall: 'close' });
    this.#mediated.removeAll();
  }

  run(operation: Operation): Outcome {
    try {
      return this.#run(operation);
    } catch (error) {
      // An argument that is none, or a bus fault: both kernels refuse it by throwing, or neither.
      const { code, name } = error as Error & { code?: string };
      if (code === undefined && name !== 'RangeError' && name !== 'TypeError') throw error;
      return { result: `threw ${code ?? name}`, bytes: empty };
    }
  }

  #run(operation: Operation): Outcome {
    const { kernel } = this;
    switch (operation.call) {
      case 'open':
        this.#devices.set(`#${operation.id}`, operation.path.replace(/^node /, ''));
        return this.#gives(operation, kernel.open(this.#path(operation.path), O_RDWR));
      case 'close': {
        const name = String(operation.file);
        const result = kernel.close(this.#fd(operation.file));
        // The number may be another file's from now on.
        if (this.#open.delete(name)) this.#numbers.delete(name);
        this.#eventfds.delete(name);
        return plain(result);
      }
      case 'eventfd':
        this.#eventfds.add(`#${operation.id}`);
        return this.#gives(operation, kernel.eventfd(operation.initial, EFD_NONBLOCK));
      case 'memfd':
        return this.#gives(operation, kernel.memfd('differential', operation.size, 0));
      case 'ioctl':
        return this.#ioctl(operation);
      case 'read':
        return transfer(operation.length, (bytes) => kernel.read(this.#fd(operation.file), bytes));
      case 'write': {
        const bytes = new Uint8Array(operation.words.reduce((sum, [type]) => sum + wordSizes[type], 0));
        this.#put(bytes, 0, operation.words);
        return plain(kernel.write(this.#fd(operation.file), bytes));
      }
      case 'pread':
        return transfer(operation.length, (bytes) => kernel.pread(this.#fd(operation.file), bytes, Number(this.#number(operation.offset))));
      case 'pwrite': {
        const bytes = Uint8Array.from(operation.bytes);
        return plain(kernel.pwrite(this.#fd(operation.file), bytes, Number(this.#number(operation.offset))));
      }
      case 'mmap': {
        const { file, length, protection, flags, offset } = operation;
        const mapping = kernel.mmap(this.#fd(file), length, protection, flags, Number(this.#number(offset)));
        if (typeof mapping === 'number') return plain(mapping);
        this.#mappings.set(`#${operation.id}`, mapping);
        return { result: 'mapping', bytes: empty };
      }
      case 'munmap':
        this.#mapping(operation.mapping)?.unmap();
        this.#mappings.delete(String(operation.mapping));
        return plain(0);
      case 'load':
        return word(operation.width, load(this.#mapping(operation.mapping), operation));
      case 'store':
        store(this.#mapping(operation.mapping), operation, this.#number(operation.value));
        return plain(0);
      case 'create':
        return plain(this.#mediated.create(operation));
      case 'poke':
        this.#put(this.#memory.scratch, operation.at, operation.words);
        return plain(0);
    }
  }

  #ioctl(operation: Ioctl & { readonly id: number }): Outcome {
    const request = byName.get(operation.request);
    if (request === undefined) throw new Error(`No request is called ${operation.request}`);
    const fd = this.#fd(operation.file);
    if (operation.text !== undefined) this.#devices.set(`#${operation.id}`, operation.text.replace(/^@/, ''));
    if (operation.value !== undefined || request.argument === 'none' || request.argument === 'number')
      return this.#answers(operation, this.kernel.ioctl(fd, request.number, operation.value ?? 0), empty);
    const argument = this.#argument.fill(0);
    const marks = this.#fill(argument, request, operation);
    const result = this.kernel.ioctl(fd, request.number, argument);
    const promised = typeof request.argument === 'string' ? 0 : new DataView(argument.buffer).getUint32(0, true);
    const bytes = argument.slice(0, Math.max(comparedSize, Math.min(promised, argumentSize)));
    this.#keepAnswers(operation, request, result, bytes);
    this.#hide(operation, marks, result, bytes);
    return this.#answers(operation, result, bytes);
  }

  /** Writes the argument; what belongs to this kernel alone is marked. */
  #fill(argument: Uint8Array, request: Request, { text, fields = {}, words = [] }: Ioctl): Mark[] {
    if (text !== undefined) {
      new TextEncoder().encodeInto(this.#place(text.replace(/^@/, ''))?.address ?? text, argument);
      return [];
    }
    if (typeof request.argument === 'string') return this.#put(argument, 0, words);
    const type: StructType = request.argument;
    const marks: Mark[] = [];
    const view = new DataView(argument.buffer);
    let end = type.size;
    for (const { name, offset, field } of type.layout) {
      if (field.kind === 'flexible') {
        end = offset;
        // Fds that are not given are none: 0 is one of the process.
        if (field.element.kind === 'scalar' && field.element.meaning === 'fd') argument.fill(0xff, offset);
      }
      if (field.kind !== 'scalar') continue;
      const value = fields[name] ?? (field.meaning === 'fd' ? -1 : 0);
      const before = write(view, offset, field.size, this.#number(value));
      if (field.meaning === 'fd' || isLocal(value)) marks.push({ at: offset, size: field.size, field: name, before });
    }
    return [...marks, ...this.#put(argument, end, words)];
  }

  #put(bytes: Uint8Array, at: number, words: readonly Word[]): Mark[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const marks: Mark[] = [];
    for (const [type, value, field] of words) {
      const size = wordSizes[type];
      const before = write(view, at, size, this.#number(value));
      if (isLocal(value) || field !== undefined) marks.push({ at, size, field, before });
      at += size;
    }
    return marks;
  }

  /** Fds that were made are kept by their field; those and addresses that are as they were look the same on both kernels. */
  #hide(operation: Operation, marks: readonly Mark[], result: number, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer);
    for (const { at, size, field, before } of marks) {
      const now = read(view, at, size);
      if (now === before) write(view, at, size, 0n);
      else if (result >= 0 && size === 4 && field !== undefined && now < 0x8000_0000n) {
        this.#keep(`#${operation.id}.${field}`, Number(now));
        write(view, at, size, BigInt(nothing));
      }
    }
  }

  #keepAnswers({ id }: Operation, { argument }: Request, result: number, bytes: Uint8Array): void {
    if (result < 0 || typeof argument === 'string') return;
    const view = new DataView(bytes.buffer);
    for (const { name, offset, field } of (argument as StructType).layout)
      if (field.kind === 'scalar' && (field.meaning === 'id' || field.meaning === 'iova'))
        this.#numbers.set(`#${id}.${name}`, read(view, offset, field.size));
  }

  /** The answer of a request, whose result may be an fd. */
  #answers(operation: Ioctl & { readonly id: number }, result: number, bytes: Uint8Array): Outcome {
    const makesFd =
      operation.request === VFIO_GROUP_GET_DEVICE_FD.name ||
      operation.request === VFIO_DEVICE_GET_GFX_DMABUF.name ||
      (operation.request === VFIO_DEVICE_FEATURE.name && result > 0);
    return makesFd ? { ...this.#gives(operation, result), bytes } : { ...plain(result), bytes };
  }

  #gives({ id }: Operation, result: number): Outcome {
    if (result < 0) return plain(result);
    this.#keep(`#${id}`, result);
    return { result: 'fd', bytes: empty };
  }

  #keep(name: string, fd: number): void {
    this.#open.set(name, fd);
    this.#numbers.set(name, BigInt(fd));
  }

  #path(path: string): string {
    if (path === 'container') return '/dev/vfio/vfio';
    if (path === 'iommufd') return '/dev/iommu';
    const [kind, name] = path.split(' ');
    const place = this.#place(name);
    if (place === undefined) return path;
    if (kind === 'group') return `/dev/vfio/${place.noIommu ? 'noiommu-' : ''}${place.group}`;
    return findNode(this.kernel, `/sys/bus/${isMediated(place) ? 'mdev' : 'pci'}/devices/${place.address}`) ?? '/dev/vfio/devices/none';
  }

  #place(name: string | undefined): Place | undefined {
    return this.#places.find((candidate) => candidate.name === name) ?? this.#mediated.find(name);
  }

  #fd(value: Value): number {
    return Number(BigInt.asIntN(32, this.#number(value)));
  }

  #mapping(value: Value): Mapping | undefined {
    return this.#mappings.get(String(value));
  }

  #number(value: Value): bigint {
    if (typeof value === 'number') return BigInt(value);
    if (value.startsWith('#')) return this.#numbers.get(value) ?? (isFd(value) ? BigInt(nothing) : 0n);
    const [, area, offset] = /^(memory|scratch)\+(0x[0-9a-f]+)$/.exec(value) ?? [];
    if (offset === undefined) return BigInt(value);
    return this.#memory.address + BigInt(area === 'memory' ? 0 : scratchAt) + BigInt(offset);
  }
}

const empty = new Uint8Array(0);

const isMediated = ({ name }: Place): boolean => name.startsWith('#');

/** What an operation gave is an fd, or a field is; all else are numbers that both kernels have. */
const isFd = (value: string): boolean => /^#\d+($|.*_fd$)/.test(value);

/** Whether the number differs between the kernels. Ids do not: both give the lowest that is free. */
function isLocal(value: Value): boolean {
  return isAddress(value) || (typeof value === 'string' && isFd(value));
}

function plain(result: number): Outcome {
  return { result: result < 0 ? describeErrno(-result).code : String(result), bytes: empty };
}

function transfer(length: number, call: (bytes: Uint8Array) => number): Outcome {
  // What is not answered shows as what was there before.
  const bytes = new Uint8Array(new ArrayBuffer(length)).fill(0xa5);
  return { ...plain(call(bytes)), bytes };
}

function word(width: Width, value: bigint | undefined): Outcome {
  const bytes = new Uint8Array(width);
  if (value !== undefined) write(new DataView(bytes.buffer), 0, width, value);
  return { result: value === undefined ? 'no mapping' : '0', bytes };
}

function load(mapping: Mapping | undefined, { offset, width }: { offset: number; width: Width }): bigint | undefined {
  const mmio = mapping?.mmio;
  if (mmio === undefined) return undefined;
  return BigInt(
    { 1: () => mmio.read8(offset), 2: () => mmio.read16(offset), 4: () => mmio.read32(offset), 8: () => mmio.read64(offset) }[width](),
  );
}

function store(mapping: Mapping | undefined, { offset, width }: { offset: number; width: Width }, value: bigint): void {
  const mmio = mapping?.mmio;
  if (mmio === undefined) return;
  const number = Number(BigInt.asUintN(32, value));
  if (width === 1) mmio.write8(offset, number & 0xff);
  else if (width === 2) mmio.write16(offset, number & 0xffff);
  else if (width === 4) mmio.write32(offset, number);
  else mmio.write64(offset, BigInt.asUintN(64, value));
}

function read(view: DataView, at: number, size: number): bigint {
  if (size === 8) return view.getBigUint64(at, true);
  return BigInt(size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at));
}

/** Writes as many of the number's low bytes; what they are. */
function write(view: DataView, at: number, size: number, value: bigint): bigint {
  if (size === 8) view.setBigUint64(at, BigInt.asUintN(64, value), true);
  else if (size === 4) view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  else if (size === 2) view.setUint16(at, Number(BigInt.asUintN(16, value)), true);
  else view.setUint8(at, Number(BigInt.asUintN(8, value)));
  return read(view, at, size);
}
