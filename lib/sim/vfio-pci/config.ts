/**
 * Configuration space as vfio-pci shows it: some bits are the hardware's, some are a copy of its own, and what a driver
 * may not touch is dropped. The rules are those of the kernel's vfio_pci_config.c.
 */
import { errno } from '../../abi/errno.js';
import {
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VNDR,
  PCI_CAP_ID_VPD,
  PCI_CAP_LIST_NEXT,
  PCI_CFG_SPACE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_DEVCTL_READRQ,
  PCI_EXT_CAP_ID_DVSEC,
  PCI_EXT_CAP_ID_VNDR,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QSIZE,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
  PCI_VPD_ADDR,
  PCI_VPD_ADDR_F,
  PCI_VPD_DATA,
} from '../../abi/pci.js';
import { addressBits } from '../pci/bar.js';
import type { ConfigWidth } from '../pci/config-space.js';
import type { PciFunction } from '../pci/function.js';
import type { MsiQueue } from './irqs.js';
import { basic, mapCapabilities, unassigned } from './capability-map.js';
import { capabilityLength } from './capability-lengths.js';
import type { VitalProductData } from './vital-product-data.js';
import { capabilityPermissions, extendedPermissions, headerPermissions, msiPermissions, type Permissions } from './permissions.js';

/** What the driver's writes set in motion. */
export interface ConfigEvents {
  /** The command register's INTx-disable bit changed. */
  intxDisabled(disabled: boolean): void;
  /** The command register was written, and memory decode is off. */
  memoryDisabled(): void;
  /** The driver asks for a power state, 0 to 3. */
  powerState(state: number): void;
  /** The driver asks for a reset of the function. */
  reset(): void;
  /** The interrupt index that SET_IRQS enabled is MSI. */
  readonly usesMsi: boolean;
  readonly msiQueue: MsiQueue;
}

/** A part of an access: within a double word, and of one capability. */
interface Part {
  readonly at: number;
  readonly width: ConfigWidth;
  readonly id: number;
  /** Where its capability begins. */
  readonly start: number;
}

const decodeBits = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;

export class VirtualConfig {
  readonly #hardware: PciFunction;
  readonly #events: ConfigEvents;
  readonly #productData: VitalProductData;
  readonly #copy: DataView;
  /** The id of the capability each byte belongs to. */
  readonly #map: Uint8Array;
  readonly #msi: Permissions | undefined;
  /** Where the kernel placed BARs and ROM. */
  readonly #addresses: ReadonlyMap<number, number>;
  #intxDisabled = false;

  /** A virtual function has neither ids nor a pin nor a bit for memory decode of its own. */
  constructor(hardware: PciFunction, productData: VitalProductData, events: ConfigEvents, isVirtual: boolean) {
    this.#hardware = hardware;
    this.#productData = productData;
    this.#events = events;
    this.#copy = new DataView(new ArrayBuffer(hardware.configSize));
    this.#map = mapCapabilities(hardware, this.#copy);
    this.#addresses = new Map(
      [...Array(6).keys()].map((index) => PCI_BASE_ADDRESS_0 + 4 * index).map((at) => [at, hardware.readConfig(at, 4)]),
    );
    const { msi } = hardware;
    this.#msi = msi && msiPermissions(capabilityLength(hardware, PCI_CAP_ID_MSI, msi.at), hardware.readConfig(msi.at + PCI_MSI_FLAGS, 2));
    if (!isVirtual) return;
    this.#copy.setUint16(PCI_VENDOR_ID, hardware.identity.vendor, true);
    this.#copy.setUint16(PCI_DEVICE_ID, hardware.identity.device, true);
    this.#copy.setUint16(PCI_COMMAND, this.#command | PCI_COMMAND_MEMORY, true);
    this.#copy.setUint8(PCI_INTERRUPT_PIN, 0);
  }

  /** Memory decode as the driver set it. */
  get memoryEnabled(): boolean {
    return (this.#command & PCI_COMMAND_MEMORY) !== 0;
  }

  /** The interrupt pin as the driver sees it; 0 is none. */
  get interruptPin(): number {
    return this.#copy.getUint8(PCI_INTERRUPT_PIN);
  }

  get #command(): number {
    return this.#copy.getUint16(PCI_COMMAND, true);
  }

  read(bytes: Uint8Array, offset: number): number {
    if (offset + bytes.byteLength > this.#copy.byteLength) return -errno.EFAULT;
    for (const part of this.#partsOf(offset, bytes.byteLength)) {
      const value = this.#readPart(part);
      for (let index = 0; index < part.width; index += 1) bytes[part.at - offset + index] = value >>> (8 * index);
    }
    return bytes.byteLength;
  }

  write(bytes: Uint8Array, offset: number): number {
    if (offset + bytes.byteLength > this.#copy.byteLength) return -errno.EFAULT;
    for (const part of this.#partsOf(offset, bytes.byteLength)) {
      const taken = bytes.subarray(part.at - offset, part.at - offset + part.width);
      this.#writePart(
        part,
        taken.reduceRight((value, byte) => (value << 8) | byte, 0),
      );
    }
    return bytes.byteLength;
  }

  /** An access is cut at double words and at the borders of capabilities, into the widest aligned parts. */
  *#partsOf(offset: number, length: number): Generator<Part> {
    const map = this.#map;
    for (let at = offset; at < offset + length; ) {
      const id = map[at] ?? unassigned;
      let room = 1;
      while ((at + room) % 4 !== 0 && map[at + room] === id) room += 1;
      room = Math.min(room, offset + length - at);
      const width = room >= 4 ? 4 : room >= 2 && at % 2 === 0 ? 2 : 1;
      yield { at, width, id, start: this.#startOf(at, id) };
      at += width;
    }
  }

  #startOf(at: number, id: number): number {
    if (id === basic && at < PCI_STD_HEADER_SIZEOF) return 0;
    if (id === unassigned) return at;
    const base = at >= PCI_CFG_SPACE_SIZE ? PCI_CFG_SPACE_SIZE : PCI_STD_HEADER_SIZEOF;
    let start = at;
    while (start > base && this.#map[start - 1] === id) start -= 1;
    return start;
  }

  /** Undefined: its bits can be read, and only its place in the list is the copy's. */
  #permissions({ at, id }: Part): Permissions | undefined {
    if (at >= PCI_CFG_SPACE_SIZE) return extendedPermissions.get(id);
    if (id === basic) return headerPermissions;
    return id === PCI_CAP_ID_MSI ? this.#msi : capabilityPermissions.get(id);
  }

  #readPart(part: Part): number {
    const { at, width, id, start } = part;
    const hardware = this.#hardware.readConfig(at, width);
    if (id === unassigned) return hardware;
    if (id === basic) this.#sizeBars();
    const permissions = this.#permissions(part);
    const virtual = permissions === undefined ? this.#listBits(part) : maskOf(width, (byte) => permissions.virtualAt(at - start + byte));
    return ((this.#copied(at, width) & virtual) | (hardware & ~virtual)) >>> 0;
  }

  /** The bits of a capability without permissions that link it. */
  #listBits({ at, width, start }: Part): number {
    const extended = at >= PCI_CFG_SPACE_SIZE;
    return maskOf(width, (byte) => {
      const offset = at - start + byte;
      return (extended ? offset < 4 : offset === PCI_CAP_LIST_NEXT || (offset === 0 && width > 1)) ? 0xff : 0;
    });
  }

  #writePart(part: Part, value: number): void {
    const { at, width, id, start } = part;
    if (id === unassigned || this.#isRaw(part)) {
      this.#hardware.writeConfig(at, width, value);
      return;
    }
    if (at >= PCI_CFG_SPACE_SIZE) return this.#writeDefault(part, value);
    if (id === basic && at === PCI_COMMAND) this.#beforeCommand(value);
    this.#writeDefault(part, value);
    if (id === basic && at >= PCI_COMMAND && at <= PCI_COMMAND + 1) this.#afterCommand(at, value);
    else if (id === PCI_CAP_ID_PM && at - start === PCI_PM_CTRL) this.#events.powerState(value & PCI_PM_CTRL_STATE_MASK);
    else if (id === PCI_CAP_ID_EXP) this.#afterExpress(start);
    else if (id === PCI_CAP_ID_AF) this.#takeReset(start + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
    else if (id === PCI_CAP_ID_VPD && at - start <= PCI_VPD_ADDR + 1 && at - start + width > PCI_VPD_ADDR + 1)
      this.#afterProductData(start);
    else if (id === PCI_CAP_ID_MSI && at - start <= PCI_MSI_FLAGS && at - start + width >= PCI_MSI_FLAGS)
      this.#afterMsi(start + PCI_MSI_FLAGS);
  }

  /** Vendors' own registers are the driver's business. */
  #isRaw({ at, id }: Part): boolean {
    return at >= PCI_CFG_SPACE_SIZE ? id === PCI_EXT_CAP_ID_VNDR || id === PCI_EXT_CAP_ID_DVSEC : id === PCI_CAP_ID_VNDR;
  }

  #writeDefault(part: Part, value: number): void {
    const permissions = this.#permissions(part);
    if (permissions === undefined) return;
    const { at, width, start } = part;
    const write = maskOf(width, (byte) => permissions.writeAt(at - start + byte));
    const virtual = maskOf(width, (byte) => permissions.virtualAt(at - start + byte));
    const toCopy = write & virtual;
    if (toCopy !== 0) this.#setCopy(at, width, (this.#copied(at, width) & ~toCopy) | (value & toCopy));
    const toHardware = write & ~virtual;
    if (toHardware === 0) return;
    const old = this.#hardware.readConfig(at, width);
    this.#hardware.writeConfig(at, width, ((old & ~toHardware) | (value & toHardware)) >>> 0);
  }

  /**
   * The driver turns decoding on, and had it on: if the hardware has it off, or other addresses, it was reset behind the
   * kernel's back, which gives it its addresses again.
   */
  #beforeCommand(value: number): void {
    const hardware = this.#hardware;
    if ((value & PCI_COMMAND_MEMORY) === 0) this.#events.memoryDisabled();
    const lost = value & this.#command & ~hardware.command & decodeBits;
    const moved = [...this.#addresses].some(([at, address]) => address !== 0 && hardware.readConfig(at, 4) !== address);
    if (lost !== 0 || moved) for (const [at, address] of this.#addresses) hardware.writeConfig(at, 4, address);
  }

  #afterCommand(at: number, value: number): void {
    if (at === PCI_COMMAND) this.#copy.setUint16(PCI_COMMAND, (this.#command & ~decodeBits) | (value & decodeBits), true);
    const disabled = (this.#command & PCI_COMMAND_INTX_DISABLE) !== 0;
    if (disabled === this.#intxDisabled) return;
    this.#intxDisabled = disabled;
    this.#events.intxDisabled(disabled);
  }

  #afterExpress(start: number): void {
    const hasReset = (this.#hardware.readConfig(start + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR) !== 0;
    this.#takeReset(start + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR, hasReset);
    const readRequest = this.#copied(start + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_READRQ;
    // 128 bytes to 4096; the values above are reserved.
    if (readRequest >> 12 > 5) return;
    const control = this.#hardware.readConfig(start + PCI_EXP_DEVCTL, 2) & ~PCI_EXP_DEVCTL_READRQ;
    this.#hardware.writeConfig(start + PCI_EXP_DEVCTL, 2, control | readRequest);
  }

  /** The bit reads as 0, whether or not the device can be reset. */
  #takeReset(at: number, bit: number, can = true): void {
    const control = this.#copied(at, 2);
    if ((control & bit) === 0) return;
    this.#setCopy(at, 2, control & ~bit);
    if (can) this.#events.reset();
  }

  /** The address was written, and its flag tells whether to read or to write; that it turns says that it is done. */
  #afterProductData(start: number): void {
    const address = this.#copied(start + PCI_VPD_ADDR, 2);
    if ((address & PCI_VPD_ADDR_F) !== 0) {
      if (!this.#productData.write(address & ~PCI_VPD_ADDR_F, this.#copied(start + PCI_VPD_DATA, 4))) return;
    } else {
      const read = this.#productData.read(address);
      if (read === undefined) return;
      this.#setCopy(start + PCI_VPD_DATA, 4, read);
    }
    this.#setCopy(start + PCI_VPD_ADDR, 2, address ^ PCI_VPD_ADDR_F);
  }

  /** Only SET_IRQS enables MSI, and with no more vectors than it asked for. */
  #afterMsi(at: number): void {
    let flags = this.#copied(at, 2);
    if (!this.#events.usesMsi) flags &= ~PCI_MSI_FLAGS_ENABLE;
    const { size } = this.#events.msiQueue;
    if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > size) flags = (flags & ~PCI_MSI_FLAGS_QSIZE) | (size << 4);
    this.#setCopy(at, 2, flags);
    this.#hardware.writeConfig(at, 2, flags);
  }

  /** A driver sizes a BAR by writing ones and reading which stick: the low bits are the flags, those below the size 0. */
  #sizeBars(): void {
    const sizes = new Map<number, { readonly mask: number; readonly flags: number }>();
    for (const { index, size, flags, wide } of this.#hardware.bars) {
      const { low, high } = addressBits(size);
      sizes.set(index, { mask: low, flags });
      if (wide) sizes.set(index + 1, { mask: high, flags: 0 });
    }
    for (let index = 0; index < 6; index += 1) {
      const at = PCI_BASE_ADDRESS_0 + 4 * index;
      const { mask, flags } = sizes.get(index) ?? { mask: 0, flags: 0 };
      this.#setCopy(at, 4, (this.#copied(at, 4) & mask) | flags);
    }
    const rom = this.#hardware.identity.rom?.byteLength;
    const mask = rom === undefined ? 0 : addressBits(rom).low | PCI_ROM_ADDRESS_ENABLE;
    this.#setCopy(PCI_ROM_ADDRESS, 4, this.#copied(PCI_ROM_ADDRESS, 4) & mask);
  }

  #copied(at: number, width: ConfigWidth): number {
    if (width === 1) return this.#copy.getUint8(at);
    return width === 2 ? this.#copy.getUint16(at, true) : this.#copy.getUint32(at, true);
  }

  #setCopy(at: number, width: ConfigWidth, value: number): void {
    if (width === 1) this.#copy.setUint8(at, value);
    else if (width === 2) this.#copy.setUint16(at, value, true);
    else this.#copy.setUint32(at, value, true);
  }
}

/** A mask of bits that is known byte by byte. */
function maskOf(width: ConfigWidth, byteAt: (index: number) => number): number {
  let mask = 0;
  for (let index = 0; index < width; index += 1) mask |= byteAt(index) << (8 * index);
  return mask;
}
