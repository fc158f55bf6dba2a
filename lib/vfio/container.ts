import type { Request } from '../abi/ioctl.js';
import { O_RDWR } from '../abi/system.js';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../abi/vfio/container.js';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_DMA_UNMAP_FLAG_VADDR,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../abi/vfio/type1.js';
import { adopt } from '../kernel/adopt.js';
import { Descriptor } from '../kernel/descriptor.js';
import { checked64, checkedPowerOfTwo, CodedError, expected, forElement, KernelError, ofElement } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { RequestList } from '../kernel/request-list.js';
import { finishAll, Resource, together, type OpenFile } from '../kernel/resource.js';
import { Spare } from '../kernel/spare.js';
import type { AddressSpace, IovaRange, MapOptions, MappedRange } from '../memory/address-space.js';
import type { AllocateOptions } from '../memory/allocate-options.js';
import { allocateBuffer, allocateBufferAsync, type DmaBuffer } from '../memory/buffer.js';
import { IovaAllocator, noIovaFor, type IovaRequest } from '../memory/iova-allocator.js';
import { ContainerDirtyTracking } from './dirty-tracking.js';
import { adoptDeviceFile, Device } from './device.js';
import { Group } from './group.js';
import { askType1Info, everything, type Type1Info } from './type1-info.js';

type DmaMap = Omit<ReturnType<typeof vfio_iommu_type1_dma_map.create>, 'bytes'>;
type DmaUnmap = Omit<ReturnType<typeof vfio_iommu_type1_dma_unmap.create>, 'bytes'>;

/**
 * /dev/vfio/vfio, or /dev/iommu in its place: one IOMMU address space, for the devices of the groups in it. It owns its
 * groups and the memory allocated from it. Closing it closes them.
 */
export class Container extends Resource implements AddressSpace {
  readonly kernel: Kernel;
  readonly #descriptor: Descriptor;
  readonly #map = new Spare(() => vfio_iommu_type1_dma_map.create());
  readonly #unmap = new Spare(() => vfio_iommu_type1_dma_unmap.create());
  readonly #maps = new Spare(() => new RequestList(this.#descriptor, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map));
  readonly #unmaps = new Spare(() => new RequestList(this.#descriptor, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap));
  readonly #iovas = new IovaAllocator();
  /** Whose file it is, and who closes it, if it is not the container's own. */
  readonly #iommufd: OpenFile | undefined;
  #type: number | undefined;

  private constructor(descriptor: Descriptor, iommufd?: OpenFile) {
    super(`Container ${descriptor.path}`, iommufd);
    this.kernel = descriptor.kernel;
    this.#descriptor = descriptor;
    this.#iommufd = iommufd;
  }

  /** Opens a new container: VFIO's own or, with '/dev/iommu' as the path, one of iommufd's (Linux 6.2). @throws KernelError */
  static open(kernel: Kernel, path = '/dev/vfio/vfio'): Container {
    return new Container(Descriptor.open(kernel, path, O_RDWR));
  }

  /**
   * An open /dev/iommu as a container. What is mapped here and what is mapped in `iommufd.compatibilityIoas()` is the same;
   * closing the container closes its groups, and leaves the file open. Linux 6.2.
   */
  static over(iommufd: OpenFile): Container {
    return new Container(Descriptor.adopt(iommufd.kernel, iommufd.fd, '/dev/iommu'), iommufd);
  }

  /**
   * One that is open already, as another process opened it and handed it on: from now on this closes it. What is mapped there is
   * not known here: give IOVAs that are free. The file stays open in the kernel for as long as the other has it, too.
   * @throws KernelError ENOTTY or EINVAL when the fd is another file's, which it stays.
   */
  static adopt(kernel: Kernel, fd: number): Container {
    return new Container(adopt(kernel, { fd, what: 'a container', path: '/dev/vfio/vfio', request: VFIO_GET_API_VERSION }));
  }

  /** The fd, for requests this class has no method for. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** A request this class has no method for. @throws KernelError */
  ioctl(request: Request, argument?: number | Uint8Array): number {
    return this.#descriptor.ioctl(request, argument);
  }

  /** The groups in it. */
  get groups(): readonly Group[] {
    return this.children.filter((child) => child instanceof Group);
  }

  /** Whose files keep their groups in it, and so its mappings. */
  get #holders(): readonly (Group | Device)[] {
    return this.children.filter((child) => child instanceof Group || child instanceof Device);
  }

  /** VFIO_GET_API_VERSION. Always 0 so far. */
  apiVersion(): number {
    return this.#descriptor.ioctl(VFIO_GET_API_VERSION);
  }

  /** VFIO_CHECK_EXTENSION. 0: not there. Some extensions show only after `setIommu()`. */
  checkExtension(extension: number): number {
    return this.#descriptor.ioctl(VFIO_CHECK_EXTENSION, extension);
  }

  /** Opens the group and puts it in the container (VFIO_GROUP_SET_CONTAINER). Closed with the container. */
  openGroup(number: number): Group {
    this.assertOpen();
    return Group.open(this, number);
  }

  /** A group that is open already, and that is put into the container unless it is in one. @throws as `Container.adopt` */
  adoptGroup(number: number, fd: number): Group {
    return Group.adopt(this, number, fd);
  }

  /** A device that is open already, out of a group in this container. Closed with it. @throws as `Container.adopt` */
  adoptDevice(address: string, fd: number): Device {
    this.assertOpen();
    return new Device(adoptDeviceFile(this.kernel, address, fd), this);
  }

  /**
   * Opens the group of a device without an IOMMU, /dev/vfio/noiommu-NUMBER, and puts it in the container: the device, and
   * a mistake in its driver, can then read and overwrite all memory of the machine. Takes CAP_SYS_RAWIO, and a container
   * that has no other kind of group. Then `setIommu(VFIO_NOIOMMU_IOMMU)`. Linux 4.5.
   */
  openNoIommuGroup(number: number): Group {
    this.assertOpen();
    return Group.open(this, number, { noIommu: true });
  }

  /**
   * VFIO_SET_IOMMU: chooses the IOMMU's interface, by default type1 version 2. Once, and with a group in the container;
   * when the last group leaves, the container is as new.
   * @throws KernelError EPERM where the platform does not isolate interrupts.
   */
  setIommu(type: number = VFIO_TYPE1v2_IOMMU): void {
    this.#descriptor.ioctl(VFIO_SET_IOMMU, type);
    this.#type = type;
  }

  /** VFIO_IOMMU_GET_INFO, with all its capabilities. */
  info(): Type1Info {
    // The number is also that of a request with another struct.
    this.#assertNoSpapr();
    this.#assertIommu();
    return askType1Info(this.#descriptor);
  }

  ranges(): readonly IovaRange[] {
    return this.info().ranges;
  }

  /** The sizes that VFIO_IOMMU_GET_INFO lists, with which a mapping is made of as few pages as can be. */
  pageSizes(): readonly bigint[] {
    const { pageSizes } = this.info();
    return Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit)).filter((size) => (pageSizes & size) !== 0n);
  }

  /**
   * VFIO_IOMMU_MAP_DMA; without an IOVA, at one that is free, from 64 KiB on: where as much was unmapped a moment ago, or else
   * the lowest. The caller keeps the memory where it is until it is unmapped; `allocate()` does so by itself.
   */
  map({ iova, address, size, below = everything.last, alignment = 1n, read = true, write = true }: MapOptions): bigint {
    const flags = mapFlags(read, write);
    checkedPowerOfTwo('alignment', alignment);
    if (iova !== undefined) {
      this.#mapDma(flags, iova, address, size);
      return iova;
    }
    return this.#iovas.allocateMapped(requestOf({ size, below, alignment }, this.info()), (free) =>
      this.#mapDma(flags, free, address, size),
    );
  }

  /** VFIO_IOMMU_MAP_DMA on another thread. The files of the container and of a group stay open until it ends. */
  async mapAsync({ iova, address, size, below = everything.last, alignment = 1n, read = true, write = true }: MapOptions): Promise<bigint> {
    const flags = mapFlags(read, write);
    checkedPowerOfTwo('alignment', alignment);
    if (iova !== undefined) {
      await this.#mapDmaAsync(flags, iova, address, size);
      return iova;
    }
    const request = requestOf({ size, below, alignment }, this.info());
    return this.#iovas.allocateMappedAsync(request, (free) => this.#mapDmaAsync(flags, free, address, size));
  }

  mapMany(list: readonly MapOptions[]): bigint[] {
    this.#assertNoSpapr();
    this.#assertIommu();
    if (list.length === 0) return [];
    return together((undo) => {
      const iovas = this.#chooseIovas(list, (iova, size) => undo({ close: () => this.#iovas.release(iova, size) }));
      const maps = this.#maps.take();
      maps.fill(list, (map, { address, size, read = true, write = true }, index) =>
        fillMap(map, mapFlags(read, write), iovas[index] ?? 0n, address, size),
      );
      const range = (index: number): MappedRange => ({ iova: iovas[index] ?? 0n, size: list[index]?.size ?? 0n });
      let next = 0;
      while (next < list.length) {
        const first = next;
        const refused = maps.make(first);
        undo({ close: () => this.unmapMany(Array.from({ length: refused - first }, (_, index) => range(first + index))) });
        next = refused + 1;
        const options = list[refused];
        if (options === undefined) continue;
        const refusal = maps.refusal(refused);
        if (options.iova !== undefined || refusal.code !== 'EEXIST') throw ofElement(refused, refusal);
        // The caller has mapped something itself where this was to be. It goes elsewhere, by itself.
        const iova = forElement(refused, () => this.map(options));
        undo({ close: () => this.unmap({ iova, size: options.size }) });
        this.#iovas.release(range(refused).iova, options.size);
        iovas[refused] = iova;
      }
      this.#maps.giveBack(maps);
      return iovas;
    });
  }

  /** The IOVAs of a list: those it has, and free ones, which `taken` is told of. */
  #chooseIovas(list: readonly MapOptions[], taken: (iova: bigint, size: bigint) => void): bigint[] {
    const info = list.some(({ iova }) => iova === undefined) ? this.info() : undefined;
    return list.map((options, index) =>
      forElement(index, () => {
        const { iova, size, below = everything.last } = options;
        if (info === undefined || iova !== undefined) return iova ?? 0n;
        const chosen = this.#iovas.allocate(requestOf(options, info));
        if (chosen === undefined) throw noIovaFor(size, below);
        taken(chosen, size);
        return chosen;
      }),
    );
  }

  /** VFIO_IOMMU_UNMAP_DMA of a range that covers whole mappings. Returns the bytes unmapped: 0 where nothing was. */
  unmap({ iova, size }: { iova: bigint; size: bigint }): bigint {
    const unmapped = this.#unmapDma(0, iova, size);
    this.#iovas.release(iova, size);
    return unmapped;
  }

  unmapMany(list: readonly MappedRange[]): bigint {
    this.#assertNoSpapr();
    this.#assertIommu();
    if (list.length === 0) return 0n;
    const unmaps = this.#unmaps.take();
    unmaps.fill(list, (unmap, { iova, size }) => fillUnmap(unmap, 0, iova, size));
    const done = unmaps.make();
    for (const { iova, size } of list.slice(0, done)) this.#iovas.release(iova, size);
    if (done < list.length) throw ofElement(done, unmaps.refusal(done));
    const bytes = list.reduce((sum, _, index) => sum + unmaps.at(index).size, 0n);
    this.#unmaps.giveBack(unmaps);
    return bytes;
  }

  /** VFIO_IOMMU_UNMAP_DMA of everything. Linux 5.12. Returns the bytes unmapped. */
  unmapAll(): bigint {
    const unmapped = this.#unmapDma(VFIO_DMA_UNMAP_FLAG_ALL, 0n, 0n);
    this.#iovas.releaseAll();
    return unmapped;
  }

  /**
   * Keeps the mappings inside the range and forgets where this process has their memory, so that the process can be
   * replaced by another (exec) that has the same memory elsewhere. Until `updateAddress` no group can join. Returns the
   * bytes it covered. VFIO_IOMMU_UNMAP_DMA with VADDR. Linux 5.12.
   * @throws KernelError EBUSY while a mediated device is in the container.
   */
  forgetAddresses({ iova, size }: { iova: bigint; size: bigint }): bigint {
    return this.#unmapDma(VFIO_DMA_UNMAP_FLAG_VADDR, iova, size);
  }

  /** `forgetAddresses` of every mapping. */
  forgetAllAddresses(): bigint {
    return this.#unmapDma(VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0n, 0n);
  }

  /**
   * Says where this process has the memory of a mapping that lost its address: the same memory, and the mapping's own
   * IOVA and size. VFIO_IOMMU_MAP_DMA with VADDR. Linux 5.12.
   */
  updateAddress({ iova, address, size }: { iova: bigint; address: bigint; size: bigint }): void {
    this.#mapDma(VFIO_DMA_MAP_FLAG_VADDR, iova, address, size);
  }

  /**
   * Remembers, until it is closed, which pages devices may have written. Version 2 of type1 only. Linux 5.8.
   * @throws KernelError EACCES on version 1.
   */
  trackDirtyPages(): ContainerDirtyTracking {
    this.assertOpen();
    return ContainerDirtyTracking.start(this, this.#descriptor, this.info().pageSize, () => this.#holders.length === 0);
  }

  /**
   * New zeroed memory, mapped for the devices at an IOVA of the container's choice. `size` in bytes is rounded up to
   * the IOMMU's page, or to `pageSize`. Undone when the buffer or the container is closed.
   * @throws RangeError when no IOVA below `below` is free; KernelError.
   */
  allocate(size: number, options: AllocateOptions = {}): DmaBuffer {
    this.assertOpen();
    return allocateBuffer(this, this.kernel, size, this.info().pageSize, options, {
      map: (memory) => this.map({ ...options, ...memory }),
      unmap: (buffer) => this.#free(buffer),
    });
  }

  async allocateAsync(size: number, options: AllocateOptions = {}): Promise<DmaBuffer> {
    this.assertOpen();
    return allocateBufferAsync(this, this.kernel, size, this.info().pageSize, options, {
      map: (memory) => this.mapAsync({ ...options, ...memory }),
      unmap: (buffer) => this.#free(buffer),
    });
  }

  /** When the last group leaves, VFIO's own container drops every mapping and forgets how to unmap. iommufd keeps them. */
  #free(buffer: { readonly iova: bigint; readonly size: bigint }): void {
    if (this.#descriptor.closed) return this.#freeLate(buffer);
    try {
      this.unmap(buffer);
    } catch (error) {
      if (this.#holders.length > 0 || !(error instanceof KernelError) || error.code !== 'EINVAL') throw error;
      this.#iovas.release(buffer.iova, buffer.size);
    }
  }

  /** The container was closed while it was being mapped. Its own file ended with that; iommufd's has it still. */
  #freeLate(buffer: { readonly iova: bigint; readonly size: bigint }): void {
    if (this.#iommufd === undefined || this.#iommufd.closed) return;
    const again = Container.over(this.#iommufd);
    again.unmap(buffer);
    again.close();
  }

  /** Without an IOMMU the kernel has none of the requests about mappings, and its ENOTTY does not say why. */
  #assertIommu(): void {
    if (this.#type !== VFIO_NOIOMMU_IOMMU || this.groups.length === 0) return;
    throw new CodedError(
      'ERR_VFIO_NO_IOMMU',
      `${this.label} has no IOMMU, so nothing can be mapped: its devices reach memory by physical address, ` +
        'which physicalAddress(kernel, memory) tells',
    );
  }

  /** Requests about mappings are of type1: a POWER machine answers some of the same numbers in another way. */
  #assertNoSpapr(): void {
    if (this.#type === VFIO_SPAPR_TCE_IOMMU || this.#type === VFIO_SPAPR_TCE_v2_IOMMU)
      throw new TypeError(`${this.label} has the IOMMU of a POWER machine: ask its Spapr instead`);
  }

  #mapDma(flags: number, iova: bigint, address: bigint, size: bigint): void {
    this.#assertIommu();
    const map = this.#map.take();
    fillMap(map, flags, iova, address, size);
    checkDone(this.#descriptor.ioctl(VFIO_IOMMU_MAP_DMA, map.bytes), iova);
    this.#map.giveBack(map);
  }

  /**
   * With a group's file, since the kernel ends an address space with its last group, and does not wait for what is being mapped
   * in it.
   */
  async #mapDmaAsync(flags: number, iova: bigint, address: bigint, size: bigint): Promise<void> {
    this.#assertIommu();
    const map = vfio_iommu_type1_dma_map.create();
    fillMap(map, flags, iova, address, size);
    checkDone(await this.#descriptor.ioctlAsync(VFIO_IOMMU_MAP_DMA, map.bytes, this.#holders[0]?.fd), iova);
    if (!this.closed) return;
    this.#free({ iova, size });
    this.assertOpen();
  }

  #unmapDma(flags: number, iova: bigint, size: bigint): bigint {
    this.#assertIommu();
    const unmap = this.#unmap.take();
    fillUnmap(unmap, flags, iova, size);
    checkDone(this.#descriptor.ioctl(VFIO_IOMMU_UNMAP_DMA, unmap.bytes), iova);
    const unmapped = unmap.size;
    this.#unmap.giveBack(unmap);
    return unmapped;
  }

  /** Devices go first, then what they could reach, newest first, and then the groups: without them the kernel cannot unmap. */
  protected override quiesce(): void {
    const others = this.children.filter((child) => !(child instanceof Group || child instanceof Device)).reverse();
    const devices = this.#holders.map((holder) => () => (holder instanceof Group ? holder.closeDevices() : holder.close()));
    finishAll([...devices, ...others.map((other) => () => other.close())]);
  }

  protected override release(): void {
    if (this.#iommufd === undefined) this.#descriptor.close();
    else this.#descriptor.disown();
  }
}

function mapFlags(read: boolean, write: boolean): number {
  // The kernel refuses it too, but iommufd only when a device is there, and with a warning in the log.
  if (!read && !write) throw expected('true', 'read or write', false);
  return (read ? VFIO_DMA_MAP_FLAG_READ : 0) | (write ? VFIO_DMA_MAP_FLAG_WRITE : 0);
}

/** Every field each time, since the struct is used again. */
function fillMap(map: DmaMap, flags: number, iova: bigint, address: bigint, size: bigint): void {
  map.argsz = vfio_iommu_type1_dma_map.size;
  map.flags = flags;
  map.vaddr = checked64('address', address);
  map.iova = checked64('iova', iova);
  map.size = checked64('size', size);
}

function fillUnmap(unmap: DmaUnmap, flags: number, iova: bigint, size: bigint): void {
  unmap.argsz = vfio_iommu_type1_dma_unmap.size;
  unmap.flags = flags;
  unmap.iova = checked64('iova', iova);
  unmap.size = checked64('size', size);
}

/** What may be allocated for a mapping without an IOVA. */
function requestOf(
  { size, below = everything.last, alignment = 1n }: Pick<MapOptions, 'size' | 'below' | 'alignment'>,
  { pageSize, ranges }: Pick<Type1Info, 'pageSize' | 'ranges'>,
): IovaRequest {
  checkedPowerOfTwo('alignment', alignment);
  return { size: checked64('size', size), alignment: alignment > pageSize ? alignment : pageSize, ranges, below };
}

/** For an IOVA off the page, the IOMMU of POWER machines answers 1 and does nothing. */
function checkDone(result: number, iova: bigint): void {
  if (result !== 0) throw expected('a multiple of the page of the window', 'iova', `0x${iova.toString(16)}`);
}
