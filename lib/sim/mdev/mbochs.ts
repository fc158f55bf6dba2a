/** The kernel's sample driver mbochs: the Bochs display, whose picture is given out as a dma-buf. */
import { errno } from '../../abi/errno.js';
import { PCI_BASE_ADDRESS_0 } from '../../abi/pci.js';
import { MAP_SHARED } from '../../abi/system.js';
import { VFIO_DEVICE_GET_GFX_DMABUF, VFIO_DEVICE_QUERY_GFX_PLANE } from '../../abi/vfio/gfx.js';
import { VFIO_DEVICE_SET_IRQS, VFIO_PCI_NUM_IRQS } from '../../abi/vfio/irq.js';
import {
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_BAR2_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_CAP_TYPE,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
  VFIO_REGION_SUBTYPE_GFX_EDID,
  VFIO_REGION_TYPE_GFX,
  vfio_region_info,
  vfio_region_info_cap_type,
} from '../../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../abi/vfio/reset.js';
import type { Mapping } from '../../kernel/kernel.js';
import type { Argument } from '../argument.js';
import { RegisterMapping } from '../mapping.js';
import type { FdTable } from '../open-file.js';
import type { KernelProfile } from '../profile.js';
import { ConfigSpace, configSize, MediatedDevice, word, type RegionPlace } from './device.js';
import { identifyDisplay, writtenBar } from './display-config.js';
import { DispiRegisters } from './dispi.js';
import { Edid } from './edid.js';
import { MemoryRegisters } from './memory-registers.js';
import type { MdevDriver } from './parent.js';
import { Planes } from './planes.js';

const pageSize = 4096;
/** One after the other in the device's file: config space, registers, monitor, video memory. */
const registersAt = pageSize;
const edidAt = 2 * pageSize;
const memoryAt = 3 * pageSize;
const edidRegion = VFIO_PCI_NUM_REGIONS;
const allMegabytes = 256;

interface Model {
  readonly name: string;
  readonly megabytes: number;
  /** The largest picture the monitor region speaks of; 0: it says nothing. */
  readonly width: number;
  readonly height: number;
}

const models: readonly Model[] = [
  { name: 'small', megabytes: 4, width: 800, height: 600 },
  { name: 'medium', megabytes: 16, width: 1920, height: 1440 },
  { name: 'large', megabytes: 64, width: 0, height: 0 },
];

class Mbochs extends MediatedDevice {
  readonly #size: number;
  readonly #config = new ConfigSpace();
  readonly #dispi: DispiRegisters;
  readonly #edid: Edid;
  readonly #planes = new Planes();
  #memory: Uint8Array | undefined;

  constructor(uuid: string, kernel: KernelProfile, model: Model) {
    super(uuid, kernel, edidRegion + 1);
    this.#size = model.megabytes * 2 ** 20;
    this.#dispi = new DispiRegisters(this.#size);
    this.#edid = new Edid(model.width, model.height);
    identifyDisplay(this.#config, 0x1234, 0x1111);
  }

  /** Of all the samples the only one that knows them without having been asked for GET_INFO. */
  protected override get irqs(): number {
    return VFIO_PCI_NUM_IRQS;
  }

  protected override irqInfo(info: { count: number }): number {
    info.count = 0;
    return 0;
  }

  protected override region(index: number): RegionPlace | number {
    const flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    switch (index) {
      case VFIO_PCI_CONFIG_REGION_INDEX:
        return { size: configSize, offset: 0, flags };
      case VFIO_PCI_BAR0_REGION_INDEX:
        return { size: this.#size, offset: memoryAt, flags: flags | VFIO_REGION_INFO_FLAG_MMAP };
      case VFIO_PCI_BAR2_REGION_INDEX:
        return { size: pageSize, offset: registersAt, flags };
      case edidRegion:
        return { size: pageSize, offset: edidAt, flags: flags | VFIO_REGION_INFO_FLAG_CAPS, capability: edidCapability() };
      default:
        return index < VFIO_PCI_NUM_REGIONS ? { size: 0, offset: 0, flags: 0 } : -errno.EINVAL;
    }
  }

  /** As the driver itself answered: no more room than its struct has, and the capability cut where the room ends. */
  protected override getRegionInfo(argument: Argument): number {
    if (this.kernel.regionInfoInCore) return super.getRegionInfo(argument);
    const info = argument.struct(vfio_region_info, VFIO_DEVICE_GET_REGION_INFO.minimum);
    if (info === undefined) return -errno.EFAULT;
    const room = info.argsz;
    const most = vfio_region_info.size + vfio_region_info_cap_type.size;
    if (room < VFIO_DEVICE_GET_REGION_INFO.minimum || room > most) return -errno.EINVAL;
    const place = this.region(info.index);
    if (typeof place === 'number') return place;
    info.size = BigInt(place.size);
    info.offset = BigInt(place.offset);
    info.flags = place.flags;
    const answer = new Uint8Array(most);
    if (place.capability !== undefined) {
      info.argsz = most;
      info.cap_offset = vfio_region_info.size;
      answer.set(place.capability, vfio_region_info.size);
    }
    answer.set(info.bytes);
    return argument.copyTo(answer.subarray(0, room)) ? 0 : -errno.EFAULT;
  }

  protected override request(request: number, argument: Argument, fds: FdTable): number {
    switch (request) {
      case VFIO_DEVICE_QUERY_GFX_PLANE.number:
        return this.#planes.query(argument, this.#dispi.mode);
      case VFIO_DEVICE_GET_GFX_DMABUF.number: {
        const id = argument.copyFrom(4);
        return id === undefined ? -errno.EFAULT : this.#planes.export(word(id), fds);
      }
      case VFIO_DEVICE_SET_IRQS.number:
        return -errno.EINVAL;
      case VFIO_DEVICE_RESET.number:
        this.#dispi.reset();
        return 0;
      default:
        return -errno.ENOTTY;
    }
  }

  override mmap(length: number, protection: number, flags: number, offset: number, released: () => void): Mapping | number {
    const whole = Math.ceil(length / pageSize) * pageSize;
    if (offset !== memoryAt || whole > this.#size || (flags & MAP_SHARED) === 0) return -errno.EINVAL;
    return new RegisterMapping(new MemoryRegisters(this.#videoMemory), 0, 0, length, protection, released);
  }

  /** Video memory goes with who had the device open. */
  protected override lastClosed(): void {
    this.#planes.forget();
    this.#memory = undefined;
  }

  protected override access(piece: Uint8Array, position: number, write: boolean): boolean {
    const end = position + piece.byteLength;
    if (position < configSize) {
      if (write) this.#writeConfig(position, piece);
      else this.#config.read(piece, position);
    } else if (position >= registersAt && end <= edidAt) {
      if (write) this.#dispi.write(position - registersAt, piece);
      else if (!this.#edid.readBlock(position - registersAt, piece)) this.#dispi.read(position - registersAt, piece);
    } else if (position >= edidAt && end <= memoryAt) {
      this.#edid.access(position - edidAt, piece, write);
    } else if (position >= memoryAt && end <= memoryAt + this.#size) {
      // The driver counts from its registers and so reaches two pages too far. Mappings are right.
      const at = position - registersAt;
      if (write) this.#videoMemory.set(piece.subarray(0, Math.max(0, this.#size - at)), Math.min(at, this.#size));
      else piece.set(this.#videoMemory.subarray(at, at + piece.byteLength));
    } else {
      return false;
    }
    return true;
  }

  get #videoMemory(): Uint8Array {
    return (this.#memory ??= new Uint8Array(this.#size));
  }

  /** Only BARs 0 and 2 can be written. */
  #writeConfig(offset: number, piece: Uint8Array): void {
    const size = offset === PCI_BASE_ADDRESS_0 ? this.#size : offset === PCI_BASE_ADDRESS_0 + 8 ? pageSize : 0;
    if (size === 0) return;
    this.#config.set32(offset, writtenBar(this.#config, offset, size, word(piece)));
  }
}

function edidCapability(): Uint8Array {
  const capability = vfio_region_info_cap_type.create();
  capability.header.id = VFIO_REGION_INFO_CAP_TYPE;
  capability.header.version = 1;
  capability.type = VFIO_REGION_TYPE_GFX;
  capability.subtype = VFIO_REGION_SUBTYPE_GFX_EDID;
  return capability.bytes;
}

export function mbochs(kernel: KernelProfile): MdevDriver {
  let available = allMegabytes;
  return {
    name: 'mbochs',
    types: models.map((model) => ({
      name: model.name,
      title: `mbochs-${model.name}`,
      description: `virtual display, ${model.megabytes} MB video memory`,
      available: () => Math.floor(available / model.megabytes),
      create: (uuid) => {
        if (available < model.megabytes) return -errno.ENOSPC;
        available -= model.megabytes;
        return new Mbochs(uuid, kernel, model);
      },
      removed: () => {
        available += model.megabytes;
      },
      attributes: () => ({ memory: `${model.megabytes} MB` }),
    })),
  };
}
