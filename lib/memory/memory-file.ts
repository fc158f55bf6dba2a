import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../abi/system.js';
import { Descriptor } from '../kernel/descriptor.js';
import { check, checkedInteger } from '../kernel/error.js';
import type { Kernel, Mapping, Mmio } from '../kernel/kernel.js';
import { Resource, together } from '../kernel/resource.js';
import { checkedSize } from './process-memory.js';

const page = 4096;

/**
 * Memory that has an fd. Whoever has the fd shares it: another process that it is sent to, and devices by `Ioas.mapFile`,
 * which keep it even when this is closed. memfd_create(2).
 */
export class MemoryFile extends Resource {
  /** Bytes. */
  readonly size: number;
  readonly #descriptor: Descriptor;
  readonly #mapping: Mapping;

  private constructor(descriptor: Descriptor, mapping: Mapping) {
    super(descriptor.path);
    this.size = mapping.length;
    this.#descriptor = descriptor;
    this.#mapping = mapping;
  }

  /** New zeroed memory of `size` bytes, rounded up to the page. `name` is what /proc shows. @throws KernelError */
  static create(kernel: Kernel, size: number, name = 'vfio'): MemoryFile {
    const bytes = Math.ceil(checkedSize(size) / page) * page;
    return together((undo) => {
      const fd = check(kernel.memfd(name, bytes, 0), { syscall: 'memfd_create', path: name });
      const descriptor = undo(Descriptor.adopt(kernel, fd, `memory file '${name}'`));
      return new MemoryFile(descriptor, descriptor.mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
    });
  }

  /** To hand to another process, or to `Ioas.mapFile`. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Single accesses, of 1 to 8 bytes. */
  get mmio(): Mmio {
    this.assertOpen();
    return this.#mapping.mmio;
  }

  /** Fills `bytes` with what is at `offset`. @throws RangeError past the end */
  read(offset: number, bytes: Uint8Array): void {
    this.#descriptor.pread(bytes, this.#checked(offset, bytes));
  }

  /** Writes them at `offset`. @throws RangeError past the end */
  write(offset: number, bytes: Uint8Array): void {
    this.#descriptor.pwrite(bytes, this.#checked(offset, bytes));
  }

  #checked(offset: number, { byteLength }: Uint8Array): number {
    return checkedInteger('offset', offset, this.size - byteLength);
  }

  protected override release(): void {
    this.#mapping.unmap();
    this.#descriptor.close();
  }
}
