import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../abi/system.js';
import { check, ClosedError, expected } from '../kernel/error.js';
import type { Kernel, Mapping } from '../kernel/kernel.js';
import { Resource, together } from '../kernel/resource.js';

/** A mapping that is memory. */
export type MappedMemory = Mapping & { readonly memory: ArrayBuffer };

/**
 * Page-aligned memory of this process, outside V8's heap: it never moves. `flags`: more of mmap(2)'s.
 *
 * Its pages are there from the start: before Linux 6.2, mapping for devices that only read pins the one page of zeros wherever
 * nothing was written yet, and what is written later the device never sees.
 */
export function mapMemory(kernel: Kernel, size: number, flags = 0): MappedMemory {
  const mapping = kernel.mmap(-1, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | flags, 0);
  if (typeof mapping === 'number') {
    check(mapping, { syscall: 'mmap' });
    throw new TypeError(`mmap answered ${mapping}`);
  }
  if (mapping.memory === undefined) throw new TypeError('An anonymous mapping has no memory');
  return mapping as MappedMemory;
}

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
  readonly #mapping: MappedMemory;
  readonly #unmap: () => void;
  readonly #owner: Resource;

  constructor(owner: Resource, mapping: MappedMemory, iova: bigint, unmap: () => void) {
    super(`DMA buffer at IOVA 0x${iova.toString(16)}`, owner);
    this.iova = iova;
    this.size = mapping.length;
    this.#mapping = mapping;
    this.#unmap = unmap;
    this.#owner = owner;
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

  protected override release(): void {
    try {
      this.#unmap();
    } catch (error) {
      // While the kernel keeps the mapping we must keep the memory: until there is no address space any more.
      this.#owner.afterwards(() => this.#mapping.unmap());
      throw error;
    }
    this.#mapping.unmap();
  }
}

/** Memory of this process, as an address space maps it. */
interface UserMemory {
  readonly address: bigint;
  /** Bytes. */
  readonly size: bigint;
}

/** How an address space maps a buffer of its own, and takes it away again. */
interface BufferMapping {
  /** Returns the IOVA. */
  map(memory: UserMemory): bigint;
  unmap(buffer: UserMemory & { readonly iova: bigint }): void;
  /** Of mmap(2), for memory of another kind. */
  readonly flags?: number;
}

/** A buffer of `size` bytes, rounded up to `page`, or nothing at all. */
export function allocateBuffer(
  owner: Resource,
  kernel: Kernel,
  size: number,
  page: bigint,
  { map, unmap, flags }: BufferMapping,
): DmaBuffer {
  return together((undo) => {
    const mapping = mapMemory(kernel, Number((BigInt(checkedSize(size)) + page - 1n) & -page), flags);
    undo({ close: () => mapping.unmap() });
    const memory = { address: kernel.addressOf(mapping.memory), size: BigInt(mapping.length) };
    const iova = map(memory);
    return new DmaBuffer(owner, mapping, iova, () => unmap({ iova, ...memory }));
  });
}

export function checkedSize(size: number): number {
  if (!Number.isSafeInteger(size) || size <= 0) throw expected('a positive integer', 'size', size);
  return size;
}
