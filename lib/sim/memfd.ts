/** Memory that is a file, as memfd_create(2) makes it. */
import { errno } from '../abi/errno.js';
import {
  MAP_HUGE_MASK,
  MAP_HUGE_SHIFT,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  PROT_READ,
  PROT_WRITE,
} from '../abi/system.js';
import type { Mapping } from '../kernel/kernel.js';
import { hugePageOf } from './huge-pages.js';
import { BusFaultError, CheckedMapping, MemoryMapping, type Width } from './mapping.js';
import { OpenFile } from './open-file.js';
import type { UserMemory } from './user-memory.js';

const pageSize = 4096;
/** The name appears behind 'memfd:', in a name of a file. */
const longestName = 249;
/** MFD_NOEXEC_SEAL and MFD_EXEC, of Linux 6.3. One or the other. */
const [noExecution, execution] = [0x8, 0x10];
const knownFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | noExecution | execution;
const hugeBits = MAP_HUGE_MASK << MAP_HUGE_SHIFT;
const both = PROT_READ | PROT_WRITE;

/** Bytes by page; a page that was never written is not there and reads as zero. */
class SparseBytes {
  readonly #pages = new Map<number, Uint8Array>();

  has(page: number): boolean {
    return this.#pages.has(page);
  }

  /** The page, to be written. A new one is `initial`. */
  page(number: number, initial = new Uint8Array(pageSize)): Uint8Array {
    const page = this.#pages.get(number) ?? initial;
    this.#pages.set(number, page);
    return page;
  }

  read(offset: number, into: Uint8Array): void {
    for (const { page, from, part } of pieces(offset, into)) {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) part.fill(0);
      else part.set(bytes.subarray(from, from + part.byteLength));
    }
  }

  write(offset: number, bytes: Uint8Array): void {
    for (const { page, from, part } of pieces(offset, bytes)) this.page(page).set(part, from);
  }
}

/** Bytes that the process may have mapped, all of them. */
class WholeBytes {
  memory: ArrayBuffer;

  constructor(memory: ArrayBuffer) {
    this.memory = memory;
  }

  read(offset: number, into: Uint8Array): void {
    into.set(new Uint8Array(this.memory, offset, into.byteLength));
  }

  write(offset: number, bytes: Uint8Array): void {
    new Uint8Array(this.memory).set(bytes, offset);
  }
}

function* pieces(offset: number, bytes: Uint8Array): Generator<{ page: number; from: number; part: Uint8Array }> {
  for (let done = 0; done < bytes.byteLength; ) {
    const from = (offset + done) % pageSize;
    const part = bytes.subarray(done, done + pageSize - from);
    yield { page: Math.floor((offset + done) / pageSize), from, part };
    done += part.byteLength;
  }
}

export class MemfdFile extends OpenFile {
  readonly #space: UserMemory;
  /** Its size cannot change. */
  readonly #sealed: boolean;
  readonly #hugePage: bigint | undefined;
  #bytes: SparseBytes | WholeBytes = new SparseBytes();
  #size: number;
  #position = 0;
  /** Mappings that show its memory. */
  #shown = 0;

  private constructor(space: UserMemory, size: number, sealed: boolean, hugePage: bigint | undefined) {
    super();
    this.#space = space;
    this.#size = size;
    this.#sealed = sealed;
    this.#hugePage = hugePage;
  }

  /** The file, or -errno. */
  static create(space: UserMemory, name: string, size: number, flags: number): MemfdFile | number {
    const known = knownFlags | ((flags & MFD_HUGETLB) === 0 ? 0 : hugeBits);
    if ((flags & ~known) !== 0 || (flags & (noExecution | execution)) === (noExecution | execution)) return -errno.EINVAL;
    if (new TextEncoder().encode(name).byteLength > longestName) return -errno.EINVAL;
    const hugePage = hugePageOf(flags, MFD_HUGETLB);
    if (hugePage === 'unknown') return -errno.ENODEV;
    if (hugePage !== undefined && size % Number(hugePage) !== 0) return -errno.EINVAL;
    return new MemfdFile(space, size, (flags & MFD_ALLOW_SEALING) !== 0, hugePage);
  }

  get size(): number {
    return this.#size;
  }

  /** For who knows that the file reaches that far: mappings, and devices. */
  load(offset: number, into: Uint8Array): void {
    this.#bytes.read(offset, into);
  }

  store(offset: number, bytes: Uint8Array): void {
    this.#bytes.write(offset, bytes);
  }

  override pread(bytes: Uint8Array, offset: number): number {
    const part = bytes.subarray(0, Math.max(0, this.#size - offset));
    this.#bytes.read(offset, part);
    return part.byteLength;
  }

  override pwrite(bytes: Uint8Array, offset: number): number {
    if (this.#hugePage !== undefined) return -errno.EINVAL;
    if (bytes.byteLength === 0) return 0;
    if (this.#sealed && offset + bytes.byteLength > this.#size) return -errno.EPERM;
    this.#bytes.write(offset, bytes);
    this.#size = Math.max(this.#size, offset + bytes.byteLength);
    return bytes.byteLength;
  }

  override read(bytes: Uint8Array): number {
    const count = this.pread(bytes, this.#position);
    this.#position += count;
    return count;
  }

  override write(bytes: Uint8Array): number {
    const count = this.pwrite(bytes, this.#position);
    this.#position += count;
    return count;
  }

  override mmap(length: number, protection: number, flags: number, offset: number): Mapping | number {
    if ((flags & (MAP_SHARED | MAP_PRIVATE)) === 0) return -errno.EINVAL;
    if (this.#hugePage !== undefined && (length % Number(this.#hugePage) !== 0 || offset % Number(this.#hugePage) !== 0))
      return -errno.EINVAL;
    this.retain();
    const whole = offset === 0 && length === this.#size;
    if (this.#sealed && whole && (flags & MAP_SHARED) !== 0 && (protection & both) === both)
      return new MemoryMapping(this.#show(), protection, () => this.#hide());
    const copied = (flags & MAP_SHARED) === 0 ? new SparseBytes() : undefined;
    return new MemfdMapping(this, offset, length, protection, copied);
  }

  /**
   * All of it as memory of the process. In JavaScript, no two buffers have the same bytes: mappings at the same time share one, and
   * a mapping of a part has none.
   */
  #show(): ArrayBuffer {
    const bytes = this.#bytes instanceof WholeBytes ? this.#bytes : new WholeBytes(new ArrayBuffer(this.#size));
    if (bytes !== this.#bytes) this.#bytes.read(0, new Uint8Array(bytes.memory));
    this.#bytes = bytes;
    if (this.#shown === 0) this.#space.map(bytes.memory, this.#hugePage);
    this.#shown += 1;
    return bytes.memory;
  }

  #hide(): void {
    this.#shown -= 1;
    if (this.#shown === 0 && this.#bytes instanceof WholeBytes) this.#bytes.memory = this.#space.unmap(this.#bytes.memory);
    this.drop();
  }
}

class MemfdMapping extends CheckedMapping {
  readonly memory = undefined;
  readonly #file: MemfdFile;
  readonly #start: number;
  /** Of a private mapping, the pages that were written through it. */
  readonly #copied: SparseBytes | undefined;

  constructor(file: MemfdFile, start: number, length: number, protection: number, copied: SparseBytes | undefined) {
    super(length, protection);
    this.#file = file;
    this.#start = start;
    this.#copied = copied;
  }

  protected override load(offset: number, width: Width): bigint {
    const at = this.#place(offset);
    const bytes = new Uint8Array(8);
    const part = bytes.subarray(0, width);
    if (this.#copied?.has(Math.floor(at / pageSize)) === true) this.#copied.read(at, part);
    else this.#file.load(at, part);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  protected override store(offset: number, width: Width, value: bigint): void {
    const at = this.#place(offset);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    if (this.#copied === undefined) return this.#file.store(at, bytes.subarray(0, width));
    const page = Math.floor(at / pageSize);
    const original = new Uint8Array(pageSize);
    this.#file.load(page * pageSize, original);
    this.#copied.page(page, original).set(bytes.subarray(0, width), at % pageSize);
  }

  /** Past the page the file ends in, there is nothing. */
  #place(offset: number): number {
    const at = this.#start + offset;
    if (at >= Math.ceil(this.#file.size / pageSize) * pageSize) throw new BusFaultError(offset);
    return at;
  }

  protected override release(): void {
    this.#file.drop();
  }
}
