import type { Capability } from '../abi/chain.js';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../abi/system.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD,
  VFIO_REGION_INFO_CAP_NVLINK2_SSATGT,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  vfio_region_info,
  vfio_region_info_cap_nvlink2_lnkspd,
  vfio_region_info_cap_nvlink2_ssatgt,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_info_cap_type,
} from '../abi/vfio/region.js';
import { askInfo, findCapability } from '../kernel/answer.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { CodedError, expected } from '../kernel/error.js';
import type { Mapping, Mmio } from '../kernel/kernel.js';
import { Resource, together } from '../kernel/resource.js';
import { FileMmio, SparseMmio, type MappedArea } from './mmio.js';
import type { RegionMemory } from './shared-region.js';

/** What VFIO_DEVICE_GET_REGION_INFO says. Sizes and offsets are bytes. */
export interface RegionInfo {
  readonly index: number;
  /** 0: the device has nothing there. */
  readonly size: number;
  /** Where the region begins in the device's file. */
  readonly offset: number;
  readonly readable: boolean;
  readonly writable: boolean;
  /** The parts that can be mapped: usually all or none. Offsets are from the region's start. */
  readonly mappable: readonly { readonly offset: number; readonly size: number }[];
  /** What a device-specific region is. */
  readonly type: { readonly type: number; readonly subtype: number } | undefined;
  /** The MSI-X table lies in it, and may be mapped with the rest. Linux 4.16. */
  readonly msixMappable: boolean;
  /** Of an NVLink2 bridge, whose driver left in Linux 5.13: its address on the system bus, and its speed. */
  readonly nvlink2: { readonly target: bigint | undefined; readonly linkSpeed: number | undefined };
  readonly capabilities: readonly Capability[];
}

/** One region of a device: a BAR, the ROM, configuration space, or something of the device's own. */
export class Region extends Resource {
  readonly info: RegionInfo;
  readonly #descriptor: Descriptor;
  #mappings: readonly { readonly offset: number; readonly mapping: Mapping }[] | undefined;
  #mmio: Mmio | undefined;
  #fastMmio: Mmio | undefined;

  /** @internal */
  constructor(owner: Resource, descriptor: Descriptor, index: number) {
    owner.assertOpen();
    const info = readInfo(descriptor, index);
    super(`Region ${index} of ${descriptor.path}`, owner);
    this.#descriptor = descriptor;
    this.info = info;
  }

  /** Bytes. */
  get size(): number {
    return this.info.size;
  }

  /**
   * Register access: through a mapping where the region can be mapped, else through the file. Made at first use; keep
   * it in a variable where speed matters.
   * @throws RangeError where the device has nothing
   */
  get mmio(): Mmio {
    this.assertOpen();
    this.#mmio ??= this.#registers(({ mmio }) => mmio);
    return this.#mmio;
  }

  /**
   * The same registers, several times as fast where the region can be mapped, read and written. An access that the bus refuses
   * is not caught there: on the real kernel it **ends the process**, where `mmio` throws. The batch forms are those of `mmio`.
   */
  get fastMmio(): Mmio {
    this.assertOpen();
    this.#fastMmio ??= this.#registers(({ fastMmio }) => fastMmio);
    return this.#fastMmio;
  }

  /** pread(2) at `offset` of the region, all of `bytes`. The kernel uses the widest aligned accesses. */
  read(offset: number, bytes: Uint8Array): void {
    this.#descriptor.pread(bytes, this.#position(offset, bytes));
  }

  /** pwrite(2). */
  write(offset: number, bytes: Uint8Array): void {
    this.#descriptor.pwrite(bytes, this.#position(offset, bytes));
  }

  /**
   * What to post to another thread of this process, for `SharedRegion.open` there. That is closed before the device is.
   * @throws CodedError ERR_VFIO_NOT_SHARED when it cannot be mapped as a whole, to be read and written.
   */
  share(): RegionMemory {
    this.assertOpen();
    const { mappable, offset, readable, size, writable } = this.info;
    if (!readable || !writable || mappable[0]?.size !== size)
      throw new CodedError('ERR_VFIO_NOT_SHARED', `${this.label} is this thread's alone: it cannot be mapped as a whole, read and written`);
    return { fd: this.#descriptor.fd, offset, size };
  }

  #position(offset: number, bytes: Uint8Array): number {
    this.assertOpen();
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + bytes.byteLength > this.size) {
      throw expected(`an offset with ${bytes.byteLength} bytes inside the region's ${this.size}`, 'offset', offset);
    }
    return this.info.offset + offset;
  }

  #registers(of: (mapping: Mapping) => Mmio): Mmio {
    if (this.size === 0) throw new RangeError(`${this.label} is empty: the device has nothing there`);
    this.#mappings ??= this.#map();
    const areas: MappedArea[] = this.#mappings.map(({ offset, mapping }) => ({ offset, size: mapping.length, mmio: of(mapping) }));
    const [only] = areas;
    if (only?.size === this.size) return only.mmio;
    const file = new FileMmio(this.#descriptor, this.info.offset, this.size);
    return areas.length === 0 ? file : new SparseMmio(areas, file, this.size);
  }

  #map(): { offset: number; mapping: Mapping }[] {
    const { info } = this;
    const protection = (info.readable ? PROT_READ : 0) | (info.writable ? PROT_WRITE : 0);
    return together((undo) =>
      info.mappable.map(({ offset, size }) => {
        const mapping = this.#descriptor.mmap(size, protection, MAP_SHARED, info.offset + offset);
        undo({ close: () => mapping.unmap() });
        return { offset, mapping };
      }),
    );
  }

  protected override release(): void {
    for (const { mapping } of this.#mappings ?? []) mapping.unmap();
    this.#mappings = undefined;
  }
}

function readInfo(descriptor: Descriptor, index: number): RegionInfo {
  const { info, capabilities } = askInfo(descriptor, VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, (info) => {
    info.index = index;
  });
  const size = Number(info.size);
  const sparse = findCapability(capabilities, VFIO_REGION_INFO_CAP_SPARSE_MMAP, vfio_region_info_cap_sparse_mmap);
  const type = findCapability(capabilities, VFIO_REGION_INFO_CAP_TYPE, vfio_region_info_cap_type);
  const areas = sparse?.areas.map((area) => ({ offset: Number(area.offset), size: Number(area.size) })) ?? [{ offset: 0, size }];
  return {
    index,
    size,
    offset: Number(info.offset),
    readable: (info.flags & VFIO_REGION_INFO_FLAG_READ) !== 0,
    writable: (info.flags & VFIO_REGION_INFO_FLAG_WRITE) !== 0,
    mappable: (info.flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0 ? areas.filter((area) => area.size > 0) : [],
    type: type && { type: type.type, subtype: type.subtype },
    msixMappable: capabilities.some(({ id }) => id === VFIO_REGION_INFO_CAP_MSIX_MAPPABLE),
    nvlink2: {
      target: findCapability(capabilities, VFIO_REGION_INFO_CAP_NVLINK2_SSATGT, vfio_region_info_cap_nvlink2_ssatgt)?.tgt,
      linkSpeed: findCapability(capabilities, VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD, vfio_region_info_cap_nvlink2_lnkspd)?.link_speed,
    },
    capabilities,
  };
}
