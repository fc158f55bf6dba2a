/** The mock's virtual IOMMUs: a word that is echoed, a cache of four words for each device, and events. */
import { errno } from '../../../lib/abi/errno.js';
import { IOMMU_HWPT_ALLOC_PASID } from '../../../lib/abi/iommufd/hwpt.js';
import type {
  DeviceIommu,
  HardwareQueueHardware,
  HardwareQueueHost,
  Invalidated,
  MakeHardwareQueue,
  NestedDomain,
  Stage2,
  VirtualIommuHardware,
  VirtualIommuHost,
} from '../../../lib/sim/iommufd/hardware.js';
import type { UserData, UserDataArray } from '../../../lib/sim/iommufd/user-data.js';
import {
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_TEST_DEV_CACHE_DEFAULT,
  IOMMU_TEST_HW_QUEUE_MAX,
  IOMMU_TEST_INVALIDATE_FLAG_ALL,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  MOCK_DEV_CACHE_ID_MAX,
  MOCK_DEV_CACHE_NUM,
  iommu_viommu_event_selftest,
  iommu_viommu_invalidate_selftest,
  iommu_viommu_selftest,
} from './abi.js';
import { MockNestedDomain } from './nested.js';

const exposedBytes = 8192;

export class MockVirtualIommu implements VirtualIommuHardware {
  readonly #host: VirtualIommuHost;
  readonly #queues = new Map<number, HardwareQueueHost>();

  private constructor(host: VirtualIommuHost) {
    this.#host = host;
  }

  /** mock_viommu_init. With data it shows two pages, which begin with the caller's word. */
  static create(this: void, host: VirtualIommuHost, _parent: Stage2, data: UserData | undefined): MockVirtualIommu | number {
    if (data === undefined) return new MockVirtualIommu(host);
    const fields = data.copy(IOMMU_VIOMMU_TYPE_SELFTEST, iommu_viommu_selftest, 'out_data');
    if (typeof fields === 'number') return fields;
    const pages = new Uint8Array(exposedBytes);
    pages.set(fields.bytes.subarray(0, 4));
    fields.out_data = fields.in_data;
    fields.out_mmap_length = BigInt(exposedBytes);
    fields.out_mmap_offset = BigInt(host.expose(pages));
    const result = data.answer(fields.bytes);
    return result === 0 ? new MockVirtualIommu(host) : result;
  }

  allocateNested(flags: number, data: UserData): NestedDomain | number {
    return (flags & ~IOMMU_HWPT_ALLOC_PASID) === 0 ? MockNestedDomain.create(data, this.#host) : -errno.EOPNOTSUPP;
  }

  hardwareQueues(type: number): MakeHardwareQueue | undefined {
    return type === IOMMU_HW_QUEUE_TYPE_SELFTEST ? (host) => this.#makeQueue(host) : undefined;
  }

  /** mock_hw_queue_init_phys: each but the first needs the one before it. */
  #makeQueue(host: HardwareQueueHost): HardwareQueueHardware | number {
    const { index } = host;
    if (index >= IOMMU_TEST_HW_QUEUE_MAX) return -errno.EINVAL;
    if (this.#queues.has(index)) return -errno.EEXIST;
    const previous = this.#queues.get(index - 1);
    if (index > 0) {
      if (previous === undefined) return -errno.EIO;
      host.dependOn(previous);
    }
    this.#queues.set(index, host);
    return { release: () => this.#queues.delete(index) };
  }

  invalidate(entries: UserDataArray): Invalidated {
    // None at all asks whether the type is known.
    if (entries.count === 0 && entries.type === IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST) return { handled: 0, result: 0 };
    const commands = entries.all(IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST, iommu_viommu_invalidate_selftest);
    if (typeof commands === 'number') return { handled: 0, result: commands };
    for (const [handled, { flags, vdev_id, cache_id }] of commands.entries()) {
      if ((flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL) !== 0) return { handled, result: -errno.EOPNOTSUPP };
      const device = this.#host.device(BigInt(vdev_id));
      if (cache_id > MOCK_DEV_CACHE_ID_MAX || !hasCache(device)) return { handled, result: -errno.EINVAL };
      const { cache } = device.virtual;
      if (flags === 0) cache[cache_id] = 0;
      else cache.fill(0);
    }
    return { handled: commands.length, result: 0 };
  }
}

/** Devices of the mock's IOMMU, and no others are on its virtual IOMMUs. */
function hasCache(device: DeviceIommu | undefined): device is DeviceIommu & { readonly virtual: MockVirtualDevice } {
  return device !== undefined && 'virtual' in device && device.virtual instanceof MockVirtualDevice;
}

/** What the mock keeps of a device for virtual IOMMUs. */
export class MockVirtualDevice {
  readonly cache = Array<number>(MOCK_DEV_CACHE_NUM).fill(IOMMU_TEST_DEV_CACHE_DEFAULT);
  #host: VirtualIommuHost | undefined;
  #virtualId = 0n;

  /** mock_domain_nop_attach: to a page table of a virtual IOMMU, or to another. 0 or -errno. */
  attach(device: DeviceIommu, host: VirtualIommuHost | undefined): number {
    const virtualId = host === undefined ? 0n : host.virtualId(device);
    if (virtualId === undefined) return -errno.ENOENT;
    if (host !== this.#host) {
      this.#host = host;
      this.#virtualId = virtualId;
    }
    return 0;
  }

  /** iommufd_test_trigger_vevent. What the device is called does not change while it stays attached. */
  trigger(): number {
    if (this.#host === undefined || this.#virtualId === 0n) return -errno.ENOENT;
    const event = iommu_viommu_event_selftest.create();
    event.virt_id = Number(BigInt.asUintN(32, this.#virtualId));
    return this.#host.report(IOMMU_VEVENTQ_TYPE_SELFTEST, event.bytes);
  }
}
