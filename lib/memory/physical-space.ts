import { checkedPowerOfTwo, CodedError, expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { together, type Resource } from '../kernel/resource.js';
import type { AddressSpace, IovaRange, MapOptions, MappedRange } from './address-space.js';
import type { AllocateOptions } from './allocate-options.js';
import { allocateBuffer, type DmaBuffer } from './buffer.js';
import { noIovaFor } from './iova-allocator.js';
import { mapEach, unmapEach } from './lists.js';
import { pageSize, physicalAddressAt } from './physical-address.js';
import { checkedSize, pagesWanted } from './process-memory.js';

/** Physical memory in one piece, in bytes. */
export interface PhysicalRun {
  readonly address: bigint;
  readonly size: bigint;
}

/** What keeps memory in its place and tells where that is: an `Ioas` with a device without an IOMMU attached to it. */
export interface Pinner extends Resource {
  map(options: MapOptions): bigint;
  unmap(range: { iova: bigint; size: bigint }): bigint;
  physicalAddress(range: { readonly iova: bigint; readonly size: bigint }): PhysicalRun;
}

/** Memory that was given to the device, and where the pinner has it. */
interface Pinned extends PhysicalRun {
  readonly iova: bigint;
}

const top = 0xffff_ffff_ffff_ffffn;
const hugePage = 0x20_0000n;
const reserve = 'reserve some: echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';

/**
 * The address space of a device without an IOMMU: physical memory, all of it. Its IOVAs are physical addresses, so what is
 * mapped has to be in one piece there and to stay. A pinner sees to that; without one, only huge pages stay, and only
 * `allocate` works. Nothing holds the device to what is mapped, nor to reading or writing it.
 */
export class PhysicalSpace implements AddressSpace {
  readonly #owner: Resource;
  readonly #kernel: Kernel;
  readonly #pinner: Pinner | undefined;
  readonly #page: bigint;
  #pinned: readonly Pinned[] = [];

  /** Its buffers belong to the pinner, or else to `owner`. */
  constructor(kernel: Kernel, owner: Resource, pinner?: Pinner) {
    this.#kernel = kernel;
    this.#owner = pinner ?? owner;
    this.#pinner = pinner;
    this.#page = pageSize(kernel);
  }

  /** Everything: which of it is memory nobody says. */
  ranges(): readonly IovaRange[] {
    this.#owner.assertOpen();
    return [{ start: 0n, last: top }];
  }

  /** The size of the processor's pages: what is larger may be in pieces. */
  pageSizes(): readonly bigint[] {
    this.#owner.assertOpen();
    return [this.#page];
  }

  /**
   * Keeps memory where it is and returns its physical address.
   * @throws CodedError ERR_VFIO_NOT_CONTIGUOUS where it lies in several pieces; ERR_VFIO_NO_IOMMU when an IOVA is asked for,
   * or nothing keeps memory in place.
   */
  map({ iova, address, size, below = top, alignment = 1n, ...access }: MapOptions): bigint {
    checkedPowerOfTwo('alignment', alignment);
    if (iova !== undefined)
      throw new CodedError('ERR_VFIO_NO_IOMMU', 'Without an IOMMU memory is where it is: map it without an IOVA, and use the one returned');
    const pinner = this.#pinner;
    if (pinner === undefined) {
      throw new CodedError(
        'ERR_VFIO_NO_IOMMU',
        'Without an IOMMU, and a device opened through its group, nothing keeps memory in its place: take what allocate() gives',
      );
    }
    return together((undo) => {
      const pinned = pinner.map({ address, size, ...access });
      undo({ close: () => pinner.unmap({ iova: pinned, size }) });
      const run = pinner.physicalAddress({ iova: pinned, size });
      checkRun(run, size, { below, alignment });
      this.#pinned = [...this.#pinned, { ...run, iova: pinned }];
      return run.address;
    });
  }

  unmap({ iova, size }: { iova: bigint; size: bigint }): bigint {
    this.#owner.assertOpen();
    const inside = this.#pinned.filter((pinned) => pinned.address >= iova && pinned.address + pinned.size <= iova + size);
    this.#pinned = this.#pinned.filter((pinned) => !inside.includes(pinned));
    return inside.reduce((bytes, pinned) => bytes + (this.#pinner?.unmap(pinned) ?? 0n), 0n);
  }

  /** At once: it is of a few pages, as memory without an IOMMU is in one piece. */
  async mapAsync(options: MapOptions): Promise<bigint> {
    return this.map(options);
  }

  mapMany(list: readonly MapOptions[]): bigint[] {
    return mapEach(this, list);
  }

  unmapMany(list: readonly MappedRange[]): bigint {
    return unmapEach(this, list);
  }

  /**
   * New zeroed memory in one piece: a page, or huge pages, of which the machine has to have some reserved; of 2 MiB unless
   * `pageSize` says otherwise.
   * @throws CodedError ERR_VFIO_NOT_CONTIGUOUS when there are none; RangeError when it is not below `below`.
   */
  allocate(size: number, options: AllocateOptions = {}): DmaBuffer {
    this.#owner.assertOpen();
    const wanted = pagesWanted(options);
    if (this.#pinner === undefined && wanted.includes(this.#page))
      throw expected('huge pages, which stay where they are,', 'pageSize', this.#page);
    if (wanted.length > 0) return this.#allocate(size, options);
    if (this.#pinner !== undefined && BigInt(checkedSize(size)) <= this.#page) return this.#allocate(size, options);
    try {
      return this.#allocate(size, { ...options, pageSize: hugePage });
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'ERR_VFIO_NO_HUGE_PAGES') throw error;
      throw new CodedError(
        'ERR_VFIO_NOT_CONTIGUOUS',
        `Without an IOMMU a device needs memory in one piece that stays where it is, and for ${size} bytes that takes huge pages; ${reserve}`,
        { cause: error.cause },
      );
    }
  }

  /** At once, as `mapAsync`. */
  async allocateAsync(size: number, options?: AllocateOptions): Promise<DmaBuffer> {
    return this.allocate(size, options);
  }

  #allocate(size: number, options: AllocateOptions): DmaBuffer {
    const pinner = this.#pinner;
    return allocateBuffer(this.#owner, this.#kernel, size, this.#page, options, {
      // Huge pages lie at multiples of themselves; where, nobody chooses.
      map: ({ address, size: bytes }) =>
        pinner === undefined ? this.#find({ address, size: bytes }, options) : this.map({ ...options, address, size: bytes }),
      unmap: (buffer) => this.#free(buffer),
    });
  }

  /** Huge pages are where they are, each in one piece. */
  #find({ address, size }: PhysicalRun, options: AllocateOptions): bigint {
    const { below = top, alignment = 1n } = options;
    const start = physicalAddressAt(this.#kernel, address);
    const page = pagesWanted(options).reduce((smallest, each) => (each < smallest ? each : smallest));
    let length = page;
    while (length < size && physicalAddressAt(this.#kernel, address + length) === start + length) length += page;
    checkRun({ address: start, size: length }, size, { below, alignment });
    return start;
  }

  /** Its memory may have been unmapped already; and a pinner that is being closed lets go of everything. */
  #free({ iova, size }: { readonly iova: bigint; readonly size: bigint }): void {
    const at = this.#pinned.findIndex((pinned) => pinned.address === iova && pinned.size === size);
    const pinned = this.#pinned[at];
    if (pinned === undefined) return;
    this.#pinned = this.#pinned.toSpliced(at, 1);
    if (this.#pinner?.closed === false) this.#pinner.unmap(pinned);
  }
}

function checkRun(run: PhysicalRun, size: bigint, { below, alignment }: { readonly below: bigint; readonly alignment: bigint }): void {
  if (run.size < size) {
    throw new CodedError(
      'ERR_VFIO_NOT_CONTIGUOUS',
      `Without an IOMMU a device needs memory in one piece, and of these ${size} bytes only ${run.size} are; take pages one by one, or huge pages; ${reserve}`,
    );
  }
  if (run.address + size - 1n > below) throw noIovaFor(size, below);
  if (run.address % alignment !== 0n) throw expected('one that the physical address is a multiple of', 'alignment', alignment);
}
