/**
 * The IOMMU of POWER servers, versions 1 and 2, with the order of checks of the kernel's vfio_iommu_spapr_tce.c and the
 * windows that a bare-metal machine (powernv) gives. Tested on the simulated kernel only: the lab has no POWER machine.
 */
import { errno } from '../../abi/errno.js';
import { VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../../abi/vfio/container.js';
import {
  VFIO_EEH_PE_OP,
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
} from '../../abi/vfio/spapr.js';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';
import type { DmaMapping } from '../dma.js';
import { endpointOperation, type Endpoint } from './eeh.js';
import type { IommuDriver, IommuDriverKind } from '../iommu-driver.js';
import type { IommuGroup } from '../iommu-group.js';
import type { Platform } from '../platform.js';
import { isPageAligned, RegisteredMemory, type RegisteredRegion } from './memory.js';
import { mostLevels, Window, type Entry } from './window.js';

/** The window every group begins with. */
const window32 = { start: 0n, size: 0x8000_0000n, pageShift: 12 } as const;
/** Where the platform puts a second window. */
const window64Start = 1n << 59n;
const mostWindows = 2;
const top = 0xffff_ffff_ffff_ffffn;

export function spaprKind(platform: Platform): IommuDriverKind {
  const registered = new RegisteredMemory(platform.memory, platform.lockedMemory);
  return {
    forNoIommu: false,
    checkExtension,
    open(type) {
      const known = type === VFIO_SPAPR_TCE_IOMMU || type === VFIO_SPAPR_TCE_v2_IOMMU;
      return known ? new Spapr(type === VFIO_SPAPR_TCE_v2_IOMMU, platform, registered) : -errno.EINVAL;
    },
  };
}

function checkExtension(extension: number): number {
  return extension === VFIO_SPAPR_TCE_IOMMU || extension === VFIO_SPAPR_TCE_v2_IOMMU || extension === VFIO_EEH ? 1 : 0;
}

class Spapr implements IommuDriver {
  readonly checkExtension = checkExtension;
  readonly #version2: boolean;
  readonly #platform: Platform;
  readonly #registered: RegisteredMemory;
  readonly #groups = new Map<IommuGroup, Endpoint>();
  /** What this container registered. */
  readonly #regions = new Set<RegisteredRegion>();
  /** By number; the first free number decides where a new one lies. */
  readonly #windows: (Window | undefined)[] = Array.from({ length: mostWindows }, () => undefined);
  /** The window every group begins with is made when it is first needed. */
  #defaultWindowPending = false;
  #enabled = false;
  /** A request that fixes the container to the calling process was made. */
  #hasProcess = false;

  constructor(version2: boolean, platform: Platform, registered: RegisteredMemory) {
    this.#version2 = version2;
    this.#platform = platform;
    this.#registered = registered;
  }

  attach(group: IommuGroup): number {
    const { endpoint } = group;
    // Mediated devices have none.
    if (endpoint === undefined) return -errno.EINVAL;
    // Version 1 uses the group's own tables, and cannot share them.
    if (!this.#version2 && this.#groups.size > 0) return -errno.EBUSY;
    if (this.#groups.size === 0 && this.#windows[0] === undefined) this.#defaultWindowPending = true;
    this.#groups.set(group, endpoint);
    return 0;
  }

  /** As in the kernel, what is mapped goes even where other groups stay. */
  detach(group: IommuGroup): void {
    this.#groups.delete(group);
    for (const window of this.#windows) window?.clearAll();
  }

  release(): void {
    for (const window of this.#windows) window?.clearAll();
    for (const region of this.#regions) this.#registered.put(region);
    this.#regions.clear();
    this.#disable();
  }

  at(iova: bigint): DmaMapping | undefined {
    return this.#find(iova)?.at(iova);
  }

  ioctl(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_IOMMU_SPAPR_TCE_GET_INFO.number:
        return this.#getInfo(argument);
      case VFIO_IOMMU_MAP_DMA.number:
        return this.#mapDma(argument);
      case VFIO_IOMMU_UNMAP_DMA.number:
        return this.#unmapDma(argument);
      case VFIO_EEH_PE_OP.number:
        return this.#endpointOperation(argument);
    }
    return this.#version2 ? this.#ioctlVersion2(request, argument) : this.#ioctlVersion1(request);
  }

  /** The worst that could be mapped is accounted for as a whole: all of the window. */
  #enable(): number {
    if (this.#enabled) return -errno.EBUSY;
    if (!this.#platform.lockedMemory.take(window32.size)) return -errno.ENOMEM;
    this.#enabled = true;
    return 0;
  }

  #disable(): void {
    if (this.#enabled && !this.#version2) this.#platform.lockedMemory.give(window32.size);
    this.#enabled = false;
  }

  #ioctlVersion1(request: number): number {
    switch (request) {
      case VFIO_IOMMU_ENABLE.number:
        return this.#enable();
      case VFIO_IOMMU_DISABLE.number:
        this.#disable();
        return 0;
      default:
        return -errno.ENOTTY;
    }
  }

  #ioctlVersion2(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_IOMMU_SPAPR_REGISTER_MEMORY.number:
        this.#hasProcess = true;
        return this.#withMemory(argument, (start, size) => this.#register(start, size));
      case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY.number:
        if (!this.#hasProcess) return -errno.EPERM;
        return this.#withMemory(argument, (start, size) => this.#unregister(start, size));
      case VFIO_IOMMU_SPAPR_TCE_CREATE.number:
        this.#hasProcess = true;
        return this.#createWindow(argument);
      case VFIO_IOMMU_SPAPR_TCE_REMOVE.number:
        this.#hasProcess = true;
        return this.#removeWindow(argument);
      default:
        return -errno.ENOTTY;
    }
  }

  #getInfo(argument: Argument): number {
    const { minimum } = VFIO_IOMMU_SPAPR_TCE_GET_INFO;
    const info = argument.struct(vfio_iommu_spapr_tce_info, minimum);
    if (info === undefined) return -errno.EFAULT;
    if (info.argsz < minimum) return -errno.EINVAL;
    info.dma32_window_start = Number(window32.start);
    info.dma32_window_size = Number(window32.size);
    info.flags = 0;
    if (this.#version2) {
      info.flags = VFIO_IOMMU_SPAPR_INFO_DDW;
      info.ddw.pgsizes = this.#platform.iommu.pageSizes;
      info.ddw.max_dynamic_windows_supported = mostWindows;
      info.ddw.levels = mostLevels;
    }
    const size = info.argsz >= vfio_iommu_spapr_tce_info.size ? vfio_iommu_spapr_tce_info.size : minimum;
    return argument.copyTo(info.bytes.subarray(0, size)) ? 0 : -errno.EFAULT;
  }

  #mapDma(argument: Argument): number {
    if (!this.#enabled) return -errno.EPERM;
    const map = argument.struct(vfio_iommu_type1_dma_map, VFIO_IOMMU_MAP_DMA.minimum);
    if (map === undefined) return -errno.EFAULT;
    const known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    if (map.argsz < VFIO_IOMMU_MAP_DMA.minimum || (map.flags & ~known) !== 0) return -errno.EINVAL;
    const window = this.#windowFor(map.iova);
    if (typeof window === 'number') return window;
    if (((map.size | map.vaddr) & window.pageMask) !== 0n || map.flags === 0) return -errno.EINVAL;
    const unaligned = checkRange(window, map.iova, map.size);
    if (unaligned !== 0) return unaligned;
    return this.#build(window, map);
  }

  /** tce_iommu_build and tce_iommu_build_v2: entry by entry; where one fails, those before it are cleared. */
  #build(window: Window, { iova, vaddr, size, flags }: { iova: bigint; vaddr: bigint; size: bigint; flags: number }): number {
    const page = window.pageMask + 1n;
    // A TCE that lets a device write lets it read, too.
    const access = { readable: true, writable: (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 };
    for (let offset = 0n; offset < size; offset += page) {
      const target = this.#version2 ? this.#useRegistered(vaddr + offset, window.pageShift) : this.#usePage(vaddr + offset);
      if (typeof target === 'number') {
        if (offset > 0n) window.clear(iova, iova + offset - 1n);
        return target;
      }
      window.exchange({ start: iova + offset, last: iova + offset + page - 1n, ...access, ...target });
    }
    return 0;
  }

  #usePage(address: bigint): Pick<Entry, 'pin' | 'undo'> | number {
    const pin = this.#platform.memory.pin(address, 1n << BigInt(window32.pageShift));
    return pin === undefined ? -errno.EFAULT : { pin, undo: () => pin.release() };
  }

  #useRegistered(address: bigint, pageShift: bigint): Pick<Entry, 'pin' | 'undo'> | number {
    const region = this.#registered.lookup(address, pageShift);
    if (region === undefined) return -errno.EINVAL;
    region.mapped += 1;
    const base = Number(address - region.start);
    return {
      pin: {
        read: (offset, into) => region.pin.read(base + offset, into),
        write: (offset, from) => region.pin.write(base + offset, from),
        release: () => {},
      },
      undo: () => {
        region.mapped -= 1;
      },
    };
  }

  /** The struct's size does not come back. */
  #unmapDma(argument: Argument): number {
    if (!this.#enabled) return -errno.EPERM;
    const unmap = argument.struct(vfio_iommu_type1_dma_unmap, VFIO_IOMMU_UNMAP_DMA.minimum);
    if (unmap === undefined) return -errno.EFAULT;
    if (unmap.argsz < VFIO_IOMMU_UNMAP_DMA.minimum || unmap.flags !== 0) return -errno.EINVAL;
    const window = this.#windowFor(unmap.iova);
    if (typeof window === 'number') return window;
    if ((unmap.size & window.pageMask) !== 0n) return -errno.EINVAL;
    const unaligned = checkRange(window, unmap.iova, unmap.size);
    if (unaligned !== 0) return unaligned;
    if (unmap.size > 0n) window.clear(unmap.iova, unmap.iova + unmap.size - 1n);
    return 0;
  }

  #withMemory(argument: Argument, action: (start: bigint, size: bigint) => number): number {
    const memory = argument.struct(vfio_iommu_spapr_register_memory, VFIO_IOMMU_SPAPR_REGISTER_MEMORY.minimum);
    if (memory === undefined) return -errno.EFAULT;
    if (memory.argsz < VFIO_IOMMU_SPAPR_REGISTER_MEMORY.minimum || memory.flags !== 0) return -errno.EINVAL;
    if (!isPageAligned(memory.vaddr | memory.size)) return -errno.EINVAL;
    return action(memory.vaddr, memory.size);
  }

  #register(start: bigint, size: bigint): number {
    if (start + size > top) return -errno.EINVAL;
    const region = this.#registered.get(start, size) ?? this.#registered.create(start, size);
    if (typeof region === 'number') return region;
    if (this.#regions.has(region)) {
      this.#registered.put(region);
      return -errno.EBUSY;
    }
    this.#regions.add(region);
    this.#enabled = true;
    return 0;
  }

  /**
   * The lookup is a user of its own, and the last to go: where the region is still mapped, the kernel drops this
   * container's claim, keeps the region registered, and answers 0.
   */
  #unregister(start: bigint, size: bigint): number {
    const region = this.#registered.get(start, size);
    if (region === undefined) return -errno.ENOENT;
    const own = this.#regions.delete(region);
    const result = own ? this.#registered.put(region) : -errno.ENOENT;
    this.#registered.put(region);
    return result;
  }

  #createWindow(argument: Argument): number {
    const create = argument.struct(vfio_iommu_spapr_tce_create, VFIO_IOMMU_SPAPR_TCE_CREATE.minimum);
    if (create === undefined) return -errno.EFAULT;
    if (create.argsz < VFIO_IOMMU_SPAPR_TCE_CREATE.minimum || create.flags !== 0) return -errno.EINVAL;
    const { page_shift, window_size, levels } = create;
    const window = this.#createDefaultWindow() || this.#addWindow(page_shift, window_size, levels);
    if (typeof window === 'number') return window;
    create.start_addr = window.start;
    return argument.copyTo(create.bytes) ? 0 : -errno.EFAULT;
  }

  #addWindow(pageShift: number, size: bigint, levels: number): Window | number {
    const number = this.#windows.indexOf(undefined);
    if (number < 0) return -errno.ENOSPC;
    if (pageShift >= 64 || (this.#platform.iommu.pageSizes & (1n << BigInt(pageShift))) === 0n) return -errno.EINVAL;
    const window = Window.create(number === 0 ? window32.start : window64Start, pageShift, size, levels);
    if (typeof window !== 'number') this.#windows[number] = window;
    return window;
  }

  #createDefaultWindow(): number {
    if (!this.#defaultWindowPending) return 0;
    const window = this.#addWindow(window32.pageShift, window32.size, 1);
    if (typeof window === 'number') return window;
    this.#defaultWindowPending = false;
    return 0;
  }

  #removeWindow(argument: Argument): number {
    const remove = argument.struct(vfio_iommu_spapr_tce_remove, VFIO_IOMMU_SPAPR_TCE_REMOVE.minimum);
    if (remove === undefined) return -errno.EFAULT;
    if (remove.argsz < VFIO_IOMMU_SPAPR_TCE_REMOVE.minimum || remove.flags !== 0) return -errno.EINVAL;
    if (this.#defaultWindowPending && remove.start_addr === 0n) {
      this.#defaultWindowPending = false;
      return 0;
    }
    const window = this.#find(remove.start_addr);
    if (window === undefined) return -errno.EINVAL;
    window.clearAll();
    this.#windows[this.#windows.indexOf(window)] = undefined;
    return 0;
  }

  #find(iova: bigint): Window | undefined {
    return this.#windows.find((window) => window?.contains(iova));
  }

  /** The window an IOVA lies in, after the first one was made; or -errno. */
  #windowFor(iova: bigint): Window | number {
    return this.#createDefaultWindow() || (this.#find(iova) ?? -errno.ENXIO);
  }

  /** Group by group, the last that joined first, up to one whose answer is not 0: an error, or a state that is not normal. */
  #endpointOperation(argument: Argument): number {
    for (const endpoint of [...this.#groups.values()].reverse()) {
      const result = endpointOperation(endpoint, argument);
      if (result !== 0) return result;
    }
    return 0;
  }
}

/**
 * iommu_tce_put_param_check and iommu_tce_clear_param_check. For an IOVA off the page they are true, and the kernel
 * hands that on as the result: 1, and nothing was done. They do not look at where the range ends, and the kernel would
 * write behind its table; that has no answer to imitate, so it is EINVAL here.
 */
function checkRange(window: Window, iova: bigint, size: bigint): number {
  if ((iova & window.pageMask) !== 0n) return 1;
  return iova + size - 1n > window.last ? -errno.EINVAL : 0;
}
