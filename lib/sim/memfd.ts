/** Memory that is a file, as memfd_create(2) makes it. */
import { errno } from '../abi/errno.js';
import { MAP_PRIVATE, MAP_SHARED, MFD_ALLOW_SEALING, MFD_CLOEXEC } from '../abi/system.js';
import type { Mapping } from '../kernel/kernel.js';
import { BusFaultError, CheckedMapping, type Width } from './mapping.js';
import { OpenFile } from './open-file.js';

const pageSize = 4096;
/** The name appears behind 'memfd:', in a name of a file. */
const longestName = 249;
/** MFD_NOEXEC_SEAL and MFD_EXEC, of Linux 6.3. One or the other. */
const [noExecution, execution] = [0x8, 0x10];
const knownFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING | noExecution | execution;

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

function* pieces(offset: number, bytes: Uint8Array): Generator<{ page: number; from: number; part: Uint8Array }> {
  for (let done = 0; done < bytes.byteLength;) {
    const from = (offset + done) % pageSize;
    const part = bytes.subarray(done, done + pageSize - from);
    yield { page: Math.floor((offset + done) / pageSize), from, part };
    done += part.byteLength;
  }
}

export class MemfdFile extends OpenFile {
  readonly #bytes = new SparseBytes();
  #size: number;
  #position = 0;

  private constructor(size: number) {
    super();
    this.#size = size;
  }

  /** The file, or -errno. There are no huge pages. */
  static create(name: string, size: number, flags: number): MemfdFile | number {
    if ((flags & ~knownFlags) !== 0 || (flags & (noExecution | execution)) === (noExecution | execution)) return -errno.EINVAL;
    return new TextEncoder().encode(name).byteLength > longestName ? -errno.EINVAL : new MemfdFile(size);
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
    if (bytes.byteLength === 0) return 0;
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
    this.retain();
    const copied = (flags & MAP_SHARED) === 0 ? new SparseBytes() : undefined;
    return new MemfdMapping(this, offset, length, protection, copied);
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
