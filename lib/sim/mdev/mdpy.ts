/** The kernel's sample driver mdpy: a display whose picture is a frame buffer in a BAR. */
import { errno } from '../../abi/errno.js';
import { PCI_BASE_ADDRESS_0, PCI_CAPABILITY_LIST, PCI_STATUS, PCI_STATUS_CAP_LIST } from '../../abi/pci.js';
import { MAP_SHARED } from '../../abi/system.js';
import {
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_GFX_PLANE_TYPE_REGION,
  vfio_device_gfx_plane_info,
} from '../../abi/vfio/gfx.js';
import { VFIO_DEVICE_SET_IRQS } from '../../abi/vfio/irq.js';
import {
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../abi/vfio/reset.js';
import type { Mapping } from '../../kernel/kernel.js';
import type { Argument } from '../argument.js';
import { RegisterMapping } from '../mapping.js';
import type { KernelProfile } from '../profile.js';
import { ConfigSpace, configSize, MediatedDevice, word, type RegionPlace } from './device.js';
import { identifyDisplay, writtenBar } from './display-config.js';
import { MemoryRegisters } from './memory-registers.js';
import type { MdevDriver } from './parent.js';

const pageSize = 4096;
/** The frame buffer follows config space in the device's file. */
const memoryOffset = pageSize;
/** The frame buffer again, as the region that a graphics plane names. */
const displayRegion = 16;
/** DRM_FORMAT_XRGB8888: 'XR24'. */
const format = 0x3432_5258;
const bytesPerPixel = 4;
const capability = { at: 0x40, vendorSpecific: 0x09, size: 0x10 };
const mostDevices = 4;

interface Mode {
  readonly name: string;
  readonly width: number;
  readonly height: number;
}

const modes: readonly Mode[] = [
  { name: 'vga', width: 640, height: 480 },
  { name: 'xga', width: 1024, height: 768 },
  { name: 'hd', width: 1920, height: 1080 },
];

class Mdpy extends MediatedDevice {
  readonly #mode: Mode;
  readonly #memory: Uint8Array;
  readonly #config = new ConfigSpace();

  constructor(uuid: string, kernel: KernelProfile, mode: Mode) {
    super(uuid, kernel, VFIO_PCI_NUM_REGIONS);
    this.#mode = mode;
    this.#memory = new Uint8Array(2 ** Math.ceil(Math.log2(mode.width * mode.height * bytesPerPixel)));
    this.#identify();
    this.#reset();
  }

  protected override region(index: number): RegionPlace | number {
    const flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return { size: configSize, offset: 0, flags };
    if (index === VFIO_PCI_BAR0_REGION_INDEX || index === displayRegion)
      return { size: this.#memory.byteLength, offset: memoryOffset, flags: flags | VFIO_REGION_INFO_FLAG_MMAP };
    return index < VFIO_PCI_NUM_REGIONS ? { size: 0, offset: 0, flags: 0 } : -errno.EINVAL;
  }

  /** It has none, and says so for each. */
  protected override irqInfo(info: { count: number }): number {
    info.count = 0;
    return 0;
  }

  protected override request(request: number, argument: Argument): number {
    switch (request) {
      case VFIO_DEVICE_QUERY_GFX_PLANE.number:
        return this.#queryPlane(argument);
      case VFIO_DEVICE_SET_IRQS.number:
        return -errno.EINVAL;
      case VFIO_DEVICE_RESET.number:
        this.#reset();
        return 0;
      default:
        return -errno.ENOTTY;
    }
  }

  override mmap(length: number, protection: number, flags: number, offset: number, released: () => void): Mapping | number {
    const whole = Math.ceil(length / pageSize) * pageSize;
    if (offset !== memoryOffset || whole > this.#memory.byteLength || (flags & MAP_SHARED) === 0) return -errno.EINVAL;
    return new RegisterMapping(new MemoryRegisters(this.#memory), 0, 0, length, protection, released);
  }

  protected override access(piece: Uint8Array, position: number, write: boolean): boolean {
    if (position < configSize) {
      if (write) this.#writeConfig(position, piece);
      else this.#config.read(piece, position);
      return true;
    }
    if (position < memoryOffset || position + piece.byteLength > memoryOffset + this.#memory.byteLength) return false;
    // The driver forgets where in the buffer the access was to be, and always takes its beginning. Mappings are right.
    if (write) this.#memory.set(piece);
    else piece.set(this.#memory.subarray(0, piece.byteLength));
    return true;
  }

  #queryPlane(argument: Argument): number {
    const plane = argument.struct(vfio_device_gfx_plane_info, VFIO_DEVICE_QUERY_GFX_PLANE.minimum);
    if (plane === undefined) return -errno.EFAULT;
    if (plane.argsz < VFIO_DEVICE_QUERY_GFX_PLANE.minimum) return -errno.EINVAL;
    if ((plane.flags & VFIO_GFX_PLANE_TYPE_PROBE) !== 0) {
      if (plane.flags !== (VFIO_GFX_PLANE_TYPE_PROBE | VFIO_GFX_PLANE_TYPE_REGION)) return -errno.EINVAL;
    } else {
      if (plane.flags !== VFIO_GFX_PLANE_TYPE_REGION) return -errno.EINVAL;
      plane.drm_format = format;
      plane.drm_format_mod = 0n;
      plane.width = this.#mode.width;
      plane.height = this.#mode.height;
      plane.stride = this.#mode.width * bytesPerPixel;
      plane.size = this.#memory.byteLength;
      plane.x_pos = 0;
      plane.y_pos = 0;
      plane.x_hot = 0;
      plane.y_hot = 0;
      plane.region_index = displayRegion;
    }
    return argument.copyTo(plane.bytes.subarray(0, VFIO_DEVICE_QUERY_GFX_PLANE.minimum)) ? 0 : -errno.EFAULT;
  }

  /** From black at the top to nearly white at the bottom. */
  #reset(): void {
    const { width, height } = this.#mode;
    const stride = width * bytesPerPixel;
    for (let row = 0; row < height; row += 1) this.#memory.fill(Math.floor((row * 255) / height), row * stride, (row + 1) * stride);
  }

  #identify(): void {
    const config = this.#config;
    identifyDisplay(config, 0x1b36, 0x000f);
    config.set16(PCI_STATUS, PCI_STATUS_CAP_LIST);
    config.set8(PCI_CAPABILITY_LIST, capability.at);
    config.set8(capability.at, capability.vendorSpecific);
    config.set8(capability.at + 2, capability.size);
    config.set32(capability.at + 4, format);
    config.set32(capability.at + 8, this.#mode.width);
    config.set32(capability.at + 12, this.#mode.height);
  }

  /** Only the BAR can be written. */
  #writeConfig(offset: number, piece: Uint8Array): void {
    if (offset !== PCI_BASE_ADDRESS_0) return;
    this.#config.set32(offset, writtenBar(this.#config, offset, this.#memory.byteLength, word(piece)));
  }
}

export function mdpy(kernel: KernelProfile): MdevDriver {
  let available = mostDevices;
  return {
    name: 'mdpy',
    types: modes.map((mode) => ({
      name: mode.name,
      title: `mdpy-${mode.name}`,
      description: `virtual display, ${mode.width}x${mode.height} framebuffer`,
      available: () => available,
      create: (uuid) => {
        if (available === 0) return -errno.EUSERS;
        available -= 1;
        return new Mdpy(uuid, kernel, mode);
      },
      removed: () => {
        available += 1;
      },
      attributes: () => ({ resolution: `${mode.width}x${mode.height}` }),
    })),
  };
}
