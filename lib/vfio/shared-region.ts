import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../abi/system.js';
import { check, checkedInteger } from '../kernel/error.js';
import type { Kernel, Mapping, Mmio } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';
import { checkedSize } from '../memory/process-memory.js';

/** A `Region` as another thread is told of it: numbers, which `postMessage` copies. */
export interface RegionMemory {
  /** Of the device, while it is open. The device's own: nobody else closes it. */
  readonly fd: number;
  /** Where the region begins in the device's file, and how long it is, in bytes. */
  readonly offset: number;
  readonly size: number;
}

const mostFd = 0x7fff_ffff;

/**
 * A device's registers in another thread than the one that has the device: this thread's own mapping of them. A device whose
 * registers are mapped stays open in the kernel, so it is closed before the device is.
 */
export class SharedRegion extends Resource {
  /** Bytes. */
  readonly size: number;
  readonly #mapping: Mapping;

  private constructor(size: number, mapping: Mapping) {
    super(`Shared region of ${size} bytes`);
    this.size = size;
    this.#mapping = mapping;
  }

  /**
   * Maps what `region.share()` told of, while the device is open.
   * @throws KernelError EBADF when it is not; RangeError for what is no such numbers
   */
  static open(kernel: Kernel, { fd, offset, size }: RegionMemory): SharedRegion {
    checkedInteger('fd', fd, mostFd);
    checkedInteger('offset', offset, Number.MAX_SAFE_INTEGER);
    checkedSize(size);
    const mapping = kernel.mmap(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED, offset);
    if (typeof mapping === 'number') {
      check(mapping, { syscall: 'mmap' });
      throw new TypeError(`mmap answered ${mapping}`);
    }
    return new SharedRegion(size, mapping);
  }

  /** As `region.mmio`. @throws ClosedError */
  get mmio(): Mmio {
    this.assertOpen();
    return this.#mapping.mmio;
  }

  /** As `region.fastMmio`: an access that the bus refuses **ends the process**. @throws ClosedError */
  get fastMmio(): Mmio {
    this.assertOpen();
    return this.#mapping.fastMmio;
  }

  protected override release(): void {
    this.#mapping.unmap();
  }
}
