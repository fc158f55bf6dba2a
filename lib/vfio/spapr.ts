import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../abi/vfio/container.js';
import type { Request } from '../abi/ioctl.js';
import {
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_INFO_DDW,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_iommu_spapr_register_memory,
  vfio_iommu_spapr_tce_create,
  vfio_iommu_spapr_tce_info,
  vfio_iommu_spapr_tce_remove,
} from '../abi/vfio/spapr.js';
import { checked64, checkedPowerOfTwo, expected } from '../kernel/error.js';
import { together } from '../kernel/resource.js';
import type { AddressSpace, IovaRange, MapOptions, MappedRange } from '../memory/address-space.js';
import type { AllocateOptions } from '../memory/allocate-options.js';
import { allocateBuffer, type DmaBuffer } from '../memory/buffer.js';
import { IovaAllocator, noIovaFor } from '../memory/iova-allocator.js';
import { mapEach, unmapEach } from '../memory/lists.js';
import { checkedSize, pagesWanted } from '../memory/process-memory.js';
import type { Container } from './container.js';
import { Eeh } from './eeh.js';

/** What VFIO_IOMMU_SPAPR_TCE_GET_INFO says. */
export interface SpaprInfo {
  /** The window every group begins with: its first IOVA, and its size in bytes. Its pages are 4 KiB. */
  readonly window: { readonly start: bigint; readonly size: bigint };
  /**
   * The windows that can be made, in version 2: page sizes as a bitmap of bytes, how many windows there can be in all,
   * and how many levels a window's table can have.
   */
  readonly dynamicWindows: { readonly pageSizes: bigint; readonly most: number; readonly levels: number } | undefined;
}

/** A stretch of IOVAs that can be mapped, in pages of one size. Sizes in bytes. */
export interface SpaprWindow {
  readonly start: bigint;
  readonly size: bigint;
  readonly pageSize: bigint;
}

export interface CreateWindowOptions {
  /** The page size as a power of two, one of `info().dynamicWindows.pageSizes`: 16 is 64 KiB. */
  readonly pageShift: number;
  /** Bytes, a power of two. */
  readonly size: bigint;
  /** Of the window's table: more of them take smaller pieces of kernel memory. Default: 1. */
  readonly levels?: number;
}

/** The page of the window every group begins with. */
const defaultPageSize = 0x1000n;
/** The page of the host's kernel, as most are built for POWER: memory is registered in multiples of it. */
const hostPageSize = 0x1_0000n;
const top = 0xffff_ffff_ffff_ffffn;

/**
 * The IOMMU of POWER servers (sPAPR), as a container's address space. Memory is mapped inside windows; version 2, the
 * default, maps only memory that was registered before, and can have a second window.
 *
 * Good for as long as the container has a group in it. Tested on the simulated kernel only: our lab has no POWER machine.
 */
export class Spapr implements AddressSpace {
  readonly version: 1 | 2;
  /** Recovery from errors that the hardware answered by cutting the devices off. */
  readonly eeh: Eeh;
  readonly #container: Container;
  readonly #register = vfio_iommu_spapr_register_memory.create();
  readonly #iovas = new IovaAllocator();
  #windows: SpaprWindow[];

  private constructor(container: Container, version: 1 | 2) {
    this.version = version;
    this.#container = container;
    this.eeh = new Eeh(container);
    this.#windows = [{ ...this.info().window, pageSize: defaultPageSize }];
  }

  /**
   * VFIO_SET_IOMMU with VFIO_SPAPR_TCE_IOMMU (version 1, Linux 3.11) or VFIO_SPAPR_TCE_v2_IOMMU (version 2, Linux 4.2),
   * on a container that has a group.
   * @throws KernelError
   */
  static use(container: Container, { version = 2 }: { readonly version?: 1 | 2 } = {}): Spapr {
    if (version !== 1 && version !== 2) throw expected('1 or 2', 'version', version);
    container.setIommu(version === 1 ? VFIO_SPAPR_TCE_IOMMU : VFIO_SPAPR_TCE_v2_IOMMU);
    return new Spapr(container, version);
  }

  /** The windows there are, of which each can be mapped. */
  get windows(): readonly SpaprWindow[] {
    return [...this.#windows];
  }

  /** VFIO_IOMMU_SPAPR_TCE_GET_INFO. Linux 3.11; dynamic windows 4.2. */
  info(): SpaprInfo {
    const info = vfio_iommu_spapr_tce_info.create();
    info.argsz = vfio_iommu_spapr_tce_info.size;
    this.#container.ioctl(VFIO_IOMMU_SPAPR_TCE_GET_INFO, info.bytes);
    const { pgsizes, max_dynamic_windows_supported, levels } = info.ddw;
    return {
      window: { start: BigInt(info.dma32_window_start), size: BigInt(info.dma32_window_size) },
      dynamicWindows:
        (info.flags & VFIO_IOMMU_SPAPR_INFO_DDW) === 0 ? undefined : { pageSizes: pgsizes, most: max_dynamic_windows_supported, levels },
    };
  }

  /** VFIO_IOMMU_ENABLE, version 1: accounts for locked memory of the window's size, and lets it be mapped. Linux 3.11. */
  enable(): void {
    this.#container.ioctl(VFIO_IOMMU_ENABLE);
  }

  /** VFIO_IOMMU_DISABLE, version 1. What is mapped stays; no more can be mapped or unmapped. Linux 3.11. */
  disable(): void {
    this.#container.ioctl(VFIO_IOMMU_DISABLE);
  }

  /**
   * VFIO_IOMMU_SPAPR_REGISTER_MEMORY, version 2: pins memory of this process, so that it can be mapped. Address and size
   * in bytes are multiples of the host's page (64 KiB on most kernels for POWER). Linux 4.2.
   */
  registerMemory(memory: { readonly address: bigint; readonly size: bigint }): void {
    this.#requestMemory(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, memory);
  }

  /**
   * VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, version 2, of the very range that was registered. Unmap it first: from memory
   * that is mapped still, the kernel takes only this container's claim, and it stays pinned. Linux 4.2.
   */
  unregisterMemory(memory: { readonly address: bigint; readonly size: bigint }): void {
    this.#requestMemory(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, memory);
  }

  /**
   * VFIO_IOMMU_SPAPR_TCE_CREATE, version 2: another window, where the platform puts it. Linux 4.2.
   * @throws KernelError ENOSPC when there are as many as the platform has; EINVAL for a page size, size or number of
   *   levels it does not have.
   */
  createWindow({ pageShift, size, levels = 1 }: CreateWindowOptions): SpaprWindow {
    if (!Number.isInteger(pageShift) || pageShift < 12 || pageShift > 63)
      throw expected('an integer from 12 to 63', 'pageShift', pageShift);
    const pageSize = 1n << BigInt(pageShift);
    checked64('size', size);
    if (size < pageSize || (size & (size - 1n)) !== 0n) throw expected('a power of two of at least the page', 'size', size);
    if (!Number.isInteger(levels) || levels < 1 || levels > 0xffff_ffff) throw expected('a positive integer', 'levels', levels);
    const create = vfio_iommu_spapr_tce_create.create();
    create.argsz = vfio_iommu_spapr_tce_create.size;
    create.page_shift = pageShift;
    create.window_size = size;
    create.levels = levels;
    this.#container.ioctl(VFIO_IOMMU_SPAPR_TCE_CREATE, create.bytes);
    const window = { start: create.start_addr, size, pageSize };
    this.#windows.push(window);
    return window;
  }

  /** VFIO_IOMMU_SPAPR_TCE_REMOVE, version 2: removes the window that starts there, and unmaps what is in it. Linux 4.2. */
  removeWindow(start: bigint): void {
    const window = this.#windows.find((candidate) => candidate.start === start);
    if (window === undefined) throw expected('the start of a window', 'start', start);
    const remove = vfio_iommu_spapr_tce_remove.create();
    remove.argsz = vfio_iommu_spapr_tce_remove.size;
    remove.start_addr = start;
    this.#container.ioctl(VFIO_IOMMU_SPAPR_TCE_REMOVE, remove.bytes);
    this.#windows = this.#windows.filter((candidate) => candidate !== window);
  }

  /** The windows, as ranges. */
  ranges(): readonly IovaRange[] {
    return this.#windows.map(rangeOf);
  }

  /** The sizes of the windows' pages. What is mapped in a window is a multiple of its own. */
  pageSizes(): readonly bigint[] {
    return [...new Set(this.#windows.map(({ pageSize }) => pageSize))].sort((a, b) => (a < b ? -1 : 1));
  }

  /**
   * VFIO_IOMMU_MAP_DMA, inside one window and in its pages; without an IOVA, at a free one of the first window that has
   * one. A page that is mapped already is replaced. On bare metal, a device that may write may read.
   * @throws RangeError outside the windows: the kernel does not look at where a range ends. KernelError EPERM before
   *   `enable()` (version 1) or `registerMemory()` (version 2); EINVAL for memory that is not registered.
   */
  map({ iova, below = top, alignment = 1n, ...memory }: MapOptions): bigint {
    checkedPowerOfTwo('alignment', alignment);
    return together((undo) => {
      const place = iova ?? this.#place(checked64('size', memory.size), 1n, { below, alignment }).iova;
      if (iova === undefined) undo({ close: () => this.#iovas.release(place, memory.size) });
      this.#checkRange({ iova: place, size: memory.size });
      return this.#container.map({ iova: place, ...memory });
    });
  }

  /** VFIO_IOMMU_UNMAP_DMA of any pages of one window. Returns `size`: the kernel does not say what was mapped. */
  unmap(range: { readonly iova: bigint; readonly size: bigint }): bigint {
    this.#checkRange(range);
    const unmapped = this.#container.unmap(range);
    this.#iovas.release(range.iova, range.size);
    return unmapped;
  }

  /** In this thread: of what takes long, most is registering memory. */
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
   * New zeroed memory, registered where the version asks for it, and mapped at a free IOVA of the first window that has
   * one. `size` in bytes is rounded up to the host's page and the window's. Undone when the buffer or the container is
   * closed.
   * @throws RangeError when no IOVA below `below` is free; KernelError.
   */
  allocate(size: number, options: AllocateOptions = {}): DmaBuffer {
    this.#container.assertOpen();
    const { below = top, alignment = 1n, read, write } = options;
    checkedPowerOfTwo('alignment', alignment);
    return together((undo) => {
      const leastPage = [hostPageSize, ...pagesWanted(options)].reduce((largest, page) => (page > largest ? page : largest));
      const { iova, page, size: placed } = this.#place(BigInt(checkedSize(size)), leastPage, { below, alignment });
      undo({ close: () => this.#iovas.release(iova, placed) });
      return allocateBuffer(this.#container, this.#container.kernel, size, page, options, {
        map: ({ address, size }) =>
          together((undoRegistration) => {
            const memory = { address, size };
            if (this.version === 2) {
              this.registerMemory(memory);
              undoRegistration({ close: () => this.unregisterMemory(memory) });
            }
            return this.map({ iova, ...memory, ...(read !== undefined && { read }), ...(write !== undefined && { write }) });
          }),
        unmap: (buffer) => this.#free(buffer.iova, buffer),
      });
    });
  }

  /** In this thread, as `mapAsync`. */
  async allocateAsync(size: number, options?: AllocateOptions): Promise<DmaBuffer> {
    return this.allocate(size, options);
  }

  /** Takes IOVAs for `size` bytes, rounded up to the page of the window they are in, or to `leastPage`. */
  #place(
    size: bigint,
    leastPage: bigint,
    { below, alignment }: { readonly below: bigint; readonly alignment: bigint },
  ): { readonly iova: bigint; readonly page: bigint; readonly size: bigint } {
    for (const window of this.#windows) {
      const page = window.pageSize > leastPage ? window.pageSize : leastPage;
      const request = {
        size: (size + page - 1n) & -page,
        alignment: alignment > page ? alignment : page,
        ranges: [rangeOf(window)],
        below,
      };
      const iova = this.#iovas.allocate(request);
      if (iova !== undefined) return { iova, page, size: request.size };
    }
    throw noIovaFor(size, below);
  }

  #free(iova: bigint, memory: { readonly address: bigint; readonly size: bigint }): void {
    // When the last group leaves, the kernel unmaps and unregisters everything and forgets how to.
    if (this.#container.groups.length > 0) {
      // A window that was removed took its mappings along.
      if (this.#windows.some((window) => contains(window, iova, memory.size))) this.unmap({ iova, size: memory.size });
      if (this.version === 2) this.unregisterMemory(memory);
    }
    this.#iovas.release(iova, memory.size);
  }

  #requestMemory(request: Request, { address, size }: { readonly address: bigint; readonly size: bigint }): void {
    if (checked64('size', size) === 0n) throw expected('a positive number of bytes', 'size', size);
    this.#register.argsz = vfio_iommu_spapr_register_memory.size;
    this.#register.flags = 0;
    this.#register.vaddr = checked64('address', address);
    this.#register.size = size;
    this.#container.ioctl(request, this.#register.bytes);
  }

  #checkRange({ iova, size }: { readonly iova: bigint; readonly size: bigint }): void {
    if (checked64('size', size) === 0n) throw expected('a positive number of bytes', 'size', size);
    checked64('iova', iova);
    const window = this.#windows.find((candidate) => contains(candidate, iova, size));
    if (window === undefined) throw expected('a range inside one window', 'iova', `0x${iova.toString(16)}, ${size} bytes`);
    if (((iova | size) & (window.pageSize - 1n)) !== 0n)
      throw expected(`multiples of the window's page, ${window.pageSize} bytes,`, 'iova and size', `0x${iova.toString(16)}, ${size} bytes`);
  }
}

function rangeOf({ start, size }: SpaprWindow): IovaRange {
  return { start, last: start + size - 1n };
}

function contains(window: SpaprWindow, iova: bigint, size: bigint): boolean {
  return iova >= window.start && iova + size <= window.start + window.size;
}
