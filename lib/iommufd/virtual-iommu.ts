import { IOMMU_HW_QUEUE_ALLOC, IOMMU_VIOMMU_ALLOC, iommu_hw_queue_alloc, iommu_viommu_alloc } from '../abi/iommufd/viommu.js';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../abi/system.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { checked64, checkedInteger } from '../kernel/error.js';
import type { Mapping, Mmio } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';
import { destroyObject } from './destroy.js';
import { withDriverData, type DriverData } from './driver-data.js';
import type { GuestTable } from './guest-tables.js';
import { invalidate } from './invalidate.js';
import { NestedPageTable, type NestedPageTableOptions } from './nested-page-table.js';
import { VirtualDevice, type BoundDevice } from './virtual-device.js';
import { VirtualEventQueue, type VirtualEventQueueOptions } from './virtual-event-queue.js';

export interface VirtualIommuOptions {
  /** One of IOMMU_VIOMMU_TYPE_. */
  readonly type: number;
  /** A struct that goes with the type, if one does. What the driver answers is in it afterwards. */
  readonly data?: DriverData;
}

export interface HardwareQueueOptions {
  /** One of IOMMU_HW_QUEUE_TYPE_. */
  readonly type: number;
  /** Which of its queues. */
  readonly index: number;
  /** Where the guest has the queue, in its own addresses: an IOVA of the page table that the virtual IOMMU is on. */
  readonly iova: bigint;
  /** Bytes. The memory behind them is contiguous, and stays mapped as long as the queue. */
  readonly size: bigint;
}

/**
 * A part of an IOMMU for a guest: page tables of the guest nest on it, devices are on it by the guest's names, and what the
 * IOMMU has to tell of them comes out of its event queues. It is on a page table that others can nest on, which holds the
 * guest's memory. Closing it closes what was made on it, and destroys it (IOMMU_DESTROY). Linux 6.13.
 */
export class VirtualIommu extends Resource {
  /** Its id in the open file: page tables of the guest are made on it. */
  readonly id: number;
  readonly type: number;
  readonly #descriptor: Descriptor;

  private constructor(owner: Resource, descriptor: Descriptor, id: number, type: number) {
    super(`virtual IOMMU ${id} of ${descriptor.path}`, owner);
    this.id = id;
    this.type = type;
    this.#descriptor = descriptor;
  }

  /** On page table `parent`, of the IOMMU that `device` is behind. @internal */
  static create(
    owner: Resource,
    descriptor: Descriptor,
    parent: number,
    device: BoundDevice,
    { type, data }: VirtualIommuOptions,
  ): VirtualIommu {
    owner.assertOpen();
    const request = iommu_viommu_alloc.create();
    // The data came later than the rest.
    request.size = data === undefined ? IOMMU_VIOMMU_ALLOC.minimum : iommu_viommu_alloc.size;
    request.type = checkedInteger('type', type);
    request.dev_id = device.id;
    request.hwpt_id = parent;
    request.data_len = data?.bytes.byteLength ?? 0;
    withDriverData(descriptor.kernel, data === undefined ? [] : [data], (address) => {
      request.data_uptr = address;
      descriptor.ioctl(IOMMU_VIOMMU_ALLOC, request.bytes);
    });
    return new VirtualIommu(owner, descriptor, request.out_viommu_id, type);
  }

  /** The fd of the file it has its id in. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * Puts a device on it, as what the guest calls it: a stream id, or a device id. IOMMU_VDEVICE_ALLOC. Linux 6.13.
   * @throws KernelError EEXIST where the device is on one, or another device has the name; EINVAL for a device of another IOMMU.
   */
  addDevice(device: BoundDevice, virtualId: bigint): VirtualDevice {
    return VirtualDevice.create(this, this.#descriptor, device, virtualId);
  }

  /**
   * A page table of the guest, for a device that it is to be attached to. IOMMU_HWPT_ALLOC. Linux 6.13.
   * @throws KernelError EOPNOTSUPP where the IOMMU has no such page tables; EINVAL for a device of another IOMMU.
   */
  createPageTable(device: BoundDevice, table: GuestTable, options?: NestedPageTableOptions): NestedPageTable {
    return NestedPageTable.create({ owner: this, descriptor: this.#descriptor, on: this.id, device }, table, options);
  }

  /**
   * A queue for one type of event. IOMMU_VEVENTQ_ALLOC. Linux 6.15.
   * @throws KernelError EEXIST where there is one for the type.
   */
  createEventQueue<Data>(options: VirtualEventQueueOptions<Data>): VirtualEventQueue<Data> {
    return VirtualEventQueue.create(this, this.#descriptor, options);
  }

  /**
   * A queue of the hardware that the guest uses by itself, in memory of the guest. IOMMU_HW_QUEUE_ALLOC. Linux 6.17.
   * @throws KernelError ENOENT where the memory is not mapped; EFAULT where it is not contiguous; EEXIST for an index in use.
   */
  createHardwareQueue({ type, index, iova, size }: HardwareQueueOptions): HardwareQueue {
    this.assertOpen();
    const request = iommu_hw_queue_alloc.create();
    request.size = iommu_hw_queue_alloc.size;
    request.viommu_id = this.id;
    request.type = checkedInteger('type', type);
    request.index = checkedInteger('index', index);
    request.nesting_parent_iova = checked64('iova', iova);
    request.length = checked64('size', size);
    this.#descriptor.ioctl(IOMMU_HW_QUEUE_ALLOC, request.bytes);
    return new HardwareQueue(this, this.#descriptor, request.out_hw_queue_id);
  }

  /**
   * Hands commands of the guest on to the hardware, which drops what it has in its caches. `entries` are structs for `type`,
   * one of IOMMU_VIOMMU_INVALIDATE_DATA_; none at all asks whether the type is known. IOMMU_HWPT_INVALIDATE. Linux 6.13.
   * @throws InvalidationError with how many were handled.
   */
  invalidate(type: number, entries: readonly DriverData[]): void {
    this.assertOpen();
    invalidate(this.#descriptor, this.id, checkedInteger('type', type), entries);
  }

  /** Maps registers that its hardware gives the guest, at an offset that the driver answered in the data. mmap(2). Linux 6.17. */
  mapRegisters(offset: bigint, length: bigint): HardwareRegisters {
    this.assertOpen();
    const [size, at] = [Number(checked64('length', length)), Number(checked64('offset', offset))];
    return new HardwareRegisters(this, this.#descriptor.mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, at));
  }

  protected override release(): void {
    destroyObject(this.#descriptor, this.id);
  }
}

/** A queue of the hardware that a guest uses by itself. Closing it takes the memory from the hardware (IOMMU_DESTROY). */
export class HardwareQueue extends Resource {
  readonly id: number;
  readonly #descriptor: Descriptor;

  /** @internal */
  constructor(owner: Resource, descriptor: Descriptor, id: number) {
    super(`hardware queue ${id} of ${descriptor.path}`, owner);
    this.id = id;
    this.#descriptor = descriptor;
  }

  protected override release(): void {
    destroyObject(this.#descriptor, this.id);
  }
}

/** Registers of the hardware, while they are mapped. */
export class HardwareRegisters extends Resource {
  readonly #mapping: Mapping;

  constructor(owner: Resource, mapping: Mapping) {
    super(`registers of ${owner.label}`, owner);
    this.#mapping = mapping;
  }

  /** Bytes. */
  get length(): number {
    return this.#mapping.length;
  }

  get mmio(): Mmio {
    return this.#mapping.mmio;
  }

  protected override release(): void {
    this.#mapping.unmap();
  }
}
