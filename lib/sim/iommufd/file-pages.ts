/** Pages of files: memory of a memfd, and what devices have given out as dma-bufs. */
import { errno } from '../../abi/errno.js';
import type { DmaBufFile } from '../dma-buf.js';
import { MemfdFile } from '../memfd.js';
import type { OpenFile } from '../open-file.js';
import type { Pin } from '../user-memory.js';
import { LockedPages, Pages, type PinnedPages } from './pages.js';

const pageSize = 4096n;

export class FilePages extends LockedPages {
  readonly #file: OpenFile;

  /** Of any file: what it is shows when it is pinned. */
  constructor(file: OpenFile, start: bigint, writable: boolean) {
    super(start & -pageSize, writable);
    this.#file = file;
    file.retain();
  }

  override get ofFile(): boolean {
    return true;
  }

  /** memfd_pin_folios, which takes whole pages of memory files only. */
  protected override reach(offset: bigint, length: bigint): Pin | number {
    const file = this.#file;
    const end = (this.address + offset + length + pageSize - 1n) & -pageSize;
    if (!(file instanceof MemfdFile) || end > BigInt(file.size)) return -errno.EINVAL;
    const start = Number(this.address + offset);
    return {
      read: (at, into) => file.load(start + at, into),
      write: (at, from) => file.store(start + at, from),
      release: () => {},
    };
  }

  protected override release(): void {
    this.#file.drop();
  }
}

export class DmaBufPages extends Pages {
  readonly #file: DmaBufFile;
  readonly #memory: Pin;
  /** Once it is revoked, it stays so, whatever becomes of the device. */
  readonly #state: { revoked: boolean };

  private constructor(file: DmaBufFile, memory: Pin, state: { revoked: boolean }, start: bigint, writable: boolean) {
    super(start & -pageSize, writable);
    this.#file = file;
    this.#memory = memory;
    this.#state = state;
    file.retain();
  }

  /** iopt_alloc_dmabuf_pages: -errno for what cannot be had. */
  static create(file: DmaBufFile, start: bigint, length: bigint, writable: boolean): DmaBufPages | number {
    if (BigInt(file.size) <= start + length - 1n) return -errno.EINVAL;
    const state = { revoked: false };
    const memory = file.give(() => (state.revoked = true));
    return typeof memory === 'number' ? memory : new DmaBufPages(file, memory, state, start, writable);
  }

  override get reachable(): boolean {
    return !this.#state.revoked;
  }

  /** Nothing of it is locked. What is revoked can be mapped, and is not reached. */
  override pin(offset: bigint): PinnedPages {
    const start = Number(this.address + offset);
    return {
      read: (at, into) => this.#memory.read(start + at, into),
      write: (at, from) => this.#memory.write(start + at, from),
      split: (size) => [this.pin(offset), this.pin(offset + size)],
      release: () => {},
    };
  }

  /** It is no memory of the processor's. */
  override transfer(): number {
    return -errno.EINVAL;
  }

  override pins(): boolean {
    return false;
  }

  protected override release(): void {
    this.#memory.release();
    this.#file.drop();
  }
}
