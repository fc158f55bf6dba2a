import { MAP_POPULATE, MAP_SHARED } from '../abi/system.js';
import { checked64, checkedInteger, ClosedError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';
import { checkedSize, mapMemory, type MappedMemory } from './process-memory.js';

/** A `DmaBuffer` as another thread is told of it: numbers, which `postMessage` copies. */
export interface SharedMemory {
  /** Of the memfd, while the buffer is open. The buffer's own: nobody else closes it. */
  readonly fd: number;
  /** Bytes. */
  readonly size: number;
  readonly iova: bigint;
}

const mostFd = 0x7fff_ffff;

/**
 * A `DmaBuffer` of another thread: the same bytes, and the same IOVA. It is this thread's own mapping of them: closing it takes
 * nothing from the device, and once the buffer is closed, it is memory that no device reaches.
 *
 * What another thread writes, this one sees in the order of `Atomics` and register writes, and of nothing else.
 */
export class SharedBuffer extends Resource {
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
  readonly #fd: number;
  readonly #mapping: MappedMemory;

  private constructor({ fd, iova, size }: SharedMemory, mapping: MappedMemory) {
    super(`Shared DMA buffer at IOVA 0x${iova.toString(16)}`);
    this.iova = iova;
    this.size = size;
    this.#fd = fd;
    this.#mapping = mapping;
  }

  /**
   * Maps what `buffer.share()` told of, while the buffer is open.
   * @throws KernelError EBADF when it is not; RangeError when the fd is another's by now.
   */
  static open(kernel: Kernel, { fd, size, iova }: SharedMemory): SharedBuffer {
    const shared = { fd: checkedInteger('fd', fd, mostFd), size: checkedSize(size), iova: checked64('iova', iova) };
    return new SharedBuffer(shared, mapMemory(kernel, fd, size, MAP_SHARED | MAP_POPULATE));
  }

  /** The memory, for typed arrays of any kind. @throws ClosedError */
  get memory(): ArrayBuffer {
    if (this.closed) throw new ClosedError(this.label);
    return this.#mapping.memory;
  }

  /** The memory as bytes. Each use makes a view: keep it where speed matters. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory);
  }

  /** What it was opened by, for one more thread. @throws ClosedError */
  share(): SharedMemory {
    this.assertOpen();
    return { fd: this.#fd, size: this.size, iova: this.iova };
  }

  protected override release(): void {
    this.#mapping.unmap();
  }
}
