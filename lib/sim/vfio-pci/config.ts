/**
 * Configuration space as vfio-pci shows it: some bits are the hardware's, some are a copy of its own, and what a driver
 * may not touch is dropped. The rules are those of the kernel's vfio_pci_config.c.
 */
import { errno } from '../../abi/errno.js';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_5,
  PCI_BIST,
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CAP_MSIX_SIZEOF,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_LATENCY_TIMER,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QSIZE,
  PCI_ROM_ADDRESS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
  PCI_CAP_LIST_NEXT,
} from '../../abi/pci.js';
import type { PciFunction } from '../pci/function.js';

/** Bytes of an MSI capability with 64-bit addresses and no masking. */
const msiCapabilitySize = 14;
const expressSize = 0x34;

/** What the driver's writes set in motion. */
export interface ConfigEvents {
  /** The command register's INTx-disable bit changed. */
  intxDisabled(disabled: boolean): void;
  /** The command register was written, and memory decode is off. */
  memoryDisabled(): void;
  /** The interrupt index that SET_IRQS enabled is MSI. */
  readonly usesMsi: boolean;
  /** log2 of the MSI vectors SET_IRQS enabled. */
  readonly msiQueue: number;
}

export class VirtualConfig {
  readonly #hardware: PciFunction;
  readonly #events: ConfigEvents;
  readonly #copy: DataView;
  /** 1: the bit is the copy's, not the hardware's. */
  readonly #virtual: DataView;
  /** 1: the bit can be written. */
  readonly #write: DataView;
  #intxDisabled = false;

  constructor(hardware: PciFunction, events: ConfigEvents) {
    this.#hardware = hardware;
    this.#events = events;
    this.#copy = new DataView(hardware.config.buffer.slice(0));
    this.#virtual = new DataView(new ArrayBuffer(hardware.config.byteLength));
    this.#write = new DataView(new ArrayBuffer(hardware.config.byteLength));
    this.#permitHeader();
    for (let at = PCI_STD_HEADER_SIZEOF; at < hardware.config.byteLength; at += 1) this.#write.setUint8(at, 0xff);
    const { msi, msix, expressAt } = hardware;
    if (msi !== undefined) this.#permitMsi(msi.at);
    if (msix !== undefined) this.#forbid(msix.at, PCI_CAP_MSIX_SIZEOF);
    if (expressAt !== undefined) this.#forbid(expressAt, expressSize);
  }

  /** Memory decode as the driver set it. */
  get memoryEnabled(): boolean {
    return (this.#copy.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MEMORY) !== 0;
  }

  /** The interrupt pin as the driver sees it; 0 is none. */
  get interruptPin(): number {
    return this.#copy.getUint8(PCI_INTERRUPT_PIN);
  }

  read(bytes: Uint8Array, offset: number): number {
    if (offset + bytes.byteLength > this.#copy.byteLength) return -errno.EFAULT;
    this.#sizeBars();
    for (let i = 0; i < bytes.byteLength; i += 1) {
      const virtual = this.#virtual.getUint8(offset + i);
      bytes[i] = (this.#copy.getUint8(offset + i) & virtual) | (this.#hardware.readConfig(offset + i, 1) & ~virtual);
    }
    return bytes.byteLength;
  }

  write(bytes: Uint8Array, offset: number): number {
    if (offset + bytes.byteLength > this.#copy.byteLength) return -errno.EFAULT;
    for (let i = 0; i < bytes.byteLength; i += 1) this.#writeByte(offset + i, bytes[i] ?? 0);
    const touches = (at: number, size: number): boolean => offset < at + size && offset + bytes.byteLength > at;
    if (touches(PCI_COMMAND, 2)) this.#commandWritten();
    const msi = this.#hardware.msi?.at;
    if (msi !== undefined && touches(msi + PCI_MSI_FLAGS, 2)) this.#msiFlagsWritten(msi + PCI_MSI_FLAGS);
    return bytes.byteLength;
  }

  #writeByte(at: number, value: number): void {
    const allowed = this.#write.getUint8(at);
    const virtual = this.#virtual.getUint8(at);
    const mix = (old: number, mask: number): number => (old & ~mask) | (value & mask);
    this.#copy.setUint8(at, mix(this.#copy.getUint8(at), allowed & virtual));
    const hardware = this.#hardware.readConfig(at, 1);
    this.#hardware.writeConfig(at, 1, mix(hardware, allowed & ~virtual));
  }

  #commandWritten(): void {
    // Decode bits are the hardware's, and remembered in the copy to notice a reset behind the kernel's back.
    const decode = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
    const command = (this.#copy.getUint16(PCI_COMMAND, true) & ~decode) | (this.#hardware.command & decode);
    this.#copy.setUint16(PCI_COMMAND, command, true);
    if (!this.memoryEnabled) this.#events.memoryDisabled();
    const disabled = (command & PCI_COMMAND_INTX_DISABLE) !== 0;
    if (disabled === this.#intxDisabled) return;
    this.#intxDisabled = disabled;
    this.#events.intxDisabled(disabled);
  }

  /** Only SET_IRQS enables MSI, and with no more vectors than it asked for. */
  #msiFlagsWritten(at: number): void {
    let flags = this.#copy.getUint16(at, true);
    if (!this.#events.usesMsi) flags &= ~PCI_MSI_FLAGS_ENABLE;
    if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > this.#events.msiQueue) {
      flags = (flags & ~PCI_MSI_FLAGS_QSIZE) | (this.#events.msiQueue << 4);
    }
    this.#copy.setUint16(at, flags, true);
    this.#hardware.config.setUint16(at, flags, true);
  }

  /** A driver sizes a BAR by writing ones and reading which stick: the low bits are the flags, those below the size 0. */
  #sizeBars(): void {
    for (let at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4) {
      const size = this.#hardware.barSize((at - PCI_BASE_ADDRESS_0) / 4);
      this.#copy.setUint32(at, size === 0 ? 0 : this.#copy.getUint32(at, true) & ~(size - 1), true);
    }
    const rom = this.#hardware.identity.rom?.byteLength;
    const address = this.#copy.getUint32(PCI_ROM_ADDRESS, true);
    this.#copy.setUint32(PCI_ROM_ADDRESS, rom === undefined ? 0 : address & (~(rom - 1) | 1), true);
  }

  #permitHeader(): void {
    const permit = (at: number, size: 1 | 2 | 4, virtual: number, write: number): void => {
      for (let i = 0; i < size; i += 1) {
        this.#virtual.setUint8(at + i, (virtual >>> (8 * i)) & 0xff);
        this.#write.setUint8(at + i, (write >>> (8 * i)) & 0xff);
      }
    };
    const all = 0xffff_ffff;
    permit(PCI_VENDOR_ID, 2, all, 0);
    permit(PCI_DEVICE_ID, 2, all, 0);
    permit(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, all);
    permit(PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0);
    for (const at of [PCI_CACHE_LINE_SIZE, PCI_LATENCY_TIMER, PCI_BIST]) permit(at, 1, 0, all);
    for (let at = PCI_BASE_ADDRESS_0; at <= PCI_BASE_ADDRESS_5; at += 4) permit(at, 4, all, all);
    permit(PCI_ROM_ADDRESS, 4, all, all);
    permit(PCI_CAPABILITY_LIST, 1, all, 0);
    permit(PCI_INTERRUPT_LINE, 1, all, all);
    permit(PCI_INTERRUPT_PIN, 1, all, 0);
  }

  /** What the kernel lets nobody write. */
  #forbid(at: number, bytes: number): void {
    for (let i = 0; i < bytes; i += 1) this.#write.setUint8(at + i, 0);
  }

  #permitMsi(at: number): void {
    const fields: readonly [offset: number, size: number, virtual: number, write: number][] = [
      [0, msiCapabilitySize, 0, 0],
      [PCI_CAP_LIST_NEXT, 1, 0xff, 0],
      [PCI_MSI_FLAGS, 1, 0xff, 0xff],
      [PCI_MSI_ADDRESS_LO, 4, 0xff, 0xff],
      [PCI_MSI_ADDRESS_HI, 4, 0xff, 0xff],
      [PCI_MSI_DATA_64, 2, 0xff, 0xff],
    ];
    for (const [offset, size, virtual, write] of fields) {
      for (let i = 0; i < size; i += 1) {
        this.#virtual.setUint8(at + offset + i, virtual);
        this.#write.setUint8(at + offset + i, write);
      }
    }
  }
}
