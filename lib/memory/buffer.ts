import { checkedPowerOfTwo, ClosedError, CodedError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource, together, togetherAsync } from '../kernel/resource.js';
import type { AllocateOptions } from './allocate-options.js';
import { makeMemory, populate, type ProcessMemory } from './process-memory.js';
import type { SharedMemory } from './shared-buffer.js';

/**
 * Memory that devices and this process share. `close()` first takes it from the devices, then from this process: the
 * buffer is detached, and a late access throws or reads `undefined`.
 *
 * The device may read and write it at any time between: what JavaScript reads twice may differ.
 */
export class DmaBuffer extends Resource {
  /** Where devices see the first byte: the address that a driver gives them. Without an IOMMU it is a physical one. */
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
  /** The size of the pages it is made of, in bytes: of huge ones, or else the smallest that the address space maps. */
  readonly pageSize: bigint;
  readonly #memory: ProcessMemory;
  readonly #unmap: () => void;
  readonly #owner: Resource;

  /** @internal */
  constructor(owner: Resource, memory: ProcessMemory, iova: bigint, smallestPage: bigint, unmap: () => void) {
    super(`DMA buffer at IOVA 0x${iova.toString(16)}`, owner);
    this.iova = iova;
    this.size = memory.mapping.length;
    this.pageSize = memory.hugePage ?? smallestPage;
    this.#memory = memory;
    this.#unmap = unmap;
    this.#owner = owner;
  }

  /** The memory, for typed arrays of any kind. @throws ClosedError */
  get memory(): ArrayBuffer {
    if (this.closed) throw new ClosedError(this.label);
    return this.#memory.mapping.memory;
  }

  /** The memory as bytes. Each use makes a view: keep it where speed matters. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory);
  }

  /**
   * What to post to another thread of this process, for `SharedBuffer.open` there. It has opened it before this is closed, and
   * nothing that it does with it after that reaches the device, or crashes.
   * @throws CodedError ERR_VFIO_NOT_SHARED when it was not allocated with `shared`.
   */
  share(): SharedMemory {
    if (this.closed) throw new ClosedError(this.label);
    const { file } = this.#memory;
    if (file === undefined)
      throw new CodedError('ERR_VFIO_NOT_SHARED', `The ${this.label} is this thread's alone: allocate it with { shared: true }`);
    return { fd: file.fd, size: this.size, iova: this.iova };
  }

  protected override release(): void {
    try {
      this.#unmap();
    } catch (error) {
      // While the kernel keeps the mapping we must keep the memory: until there is no address space any more.
      this.#owner.afterwards(() => this.#memory.close());
      throw error;
    }
    this.#memory.close();
  }
}

/** Memory of this process, as an address space maps it. */
interface UserMemory {
  readonly address: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/** The same, and what its IOVA is to be a multiple of: what the options ask for, or the huge page. */
interface PlacedMemory extends UserMemory {
  readonly alignment: bigint;
}

/** How an address space maps a buffer of its own, and takes it away again. */
interface BufferMapping<Iova extends bigint | Promise<bigint>> {
  /** Returns the IOVA. */
  map(memory: PlacedMemory): Iova;
  unmap(buffer: UserMemory & { readonly iova: bigint }): void;
}

/** A buffer of `size` bytes, rounded up to `page`, or nothing at all. */
export function allocateBuffer(
  owner: Resource,
  kernel: Kernel,
  size: number,
  page: bigint,
  options: AllocateOptions,
  { map, unmap }: BufferMapping<bigint>,
): DmaBuffer {
  return together((undo) => {
    const made = undo(makeMemory(kernel, size, page, options));
    const memory = placedMemory(kernel, made, options);
    const iova = map(memory);
    return new DmaBuffer(owner, made, iova, page, () => unmap({ iova, ...memory }));
  });
}

/** The same, with its pages brought in and pinned on another thread. */
export async function allocateBufferAsync(
  owner: Resource,
  kernel: Kernel,
  size: number,
  page: bigint,
  options: AllocateOptions,
  { map, unmap }: BufferMapping<Promise<bigint>>,
): Promise<DmaBuffer> {
  return togetherAsync(async (undo) => {
    const made = undo(makeMemory(kernel, size, page, { ...options, populate: false }));
    const memory = placedMemory(kernel, made, options);
    await populate(made);
    const iova = await map(memory);
    const { close } = undo({ close: () => unmap({ iova, ...memory }) });
    return new DmaBuffer(owner, made, iova, page, close);
  });
}

function placedMemory(kernel: Kernel, { mapping, hugePage = 1n }: ProcessMemory, options: AllocateOptions): PlacedMemory {
  const alignment = checkedPowerOfTwo('alignment', options.alignment ?? 1n);
  return {
    address: kernel.addressOf(mapping.memory),
    size: BigInt(mapping.length),
    alignment: hugePage > alignment ? hugePage : alignment,
  };
}
