import {
  PCI_BASE_ADDRESS_0,
  PCI_EXP_LNKSTA2,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_LIST_NEXT,
  PCI_CAP_MSIX_SIZEOF,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_EXP_SIZE,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_PROG,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_SERR,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_TABLE,
  PCI_EXP_FLAGS,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STATUS_INTERRUPT,
  PCI_STD_HEADER_SIZEOF,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
  PCI_CACHE_LINE_SIZE,
  PCI_INTERRUPT_LINE,
} from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';
import type { Clock } from '../clock.js';
import type { DmaPort } from '../dma.js';

/** Bytes of the PCI Express capability of an endpoint, version 2: up to its last register. */
export const expressSize = PCI_EXP_LNKSTA2 + 2;

/** What a device model says of itself. Sizes are bytes and powers of two. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** The 24 bits of base class, sub-class and programming interface. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystemDevice?: number;
  /** BARs by index. */
  readonly bars: Readonly<Record<number, number>>;
  /** Those of them that are I/O ports. The others are memory. */
  readonly portBars?: readonly number[];
  /** The contents of its ROM. */
  readonly rom?: Uint8Array;
  /** Whether it has an INTx pin. */
  readonly intx?: boolean;
  /** Where its MSI capability lies, with how many vectors (a power of two). */
  readonly msi?: { readonly at: number; readonly vectors: number };
  /** Where its MSI-X capability lies, with how many vectors, and the BAR and the offset of its table in it. */
  readonly msix?: { readonly at: number; readonly vectors: number; readonly bar: number; readonly table: number };
  /** Where its PCI Express capability lies; without one it is a conventional PCI device. */
  readonly express?: { readonly at: number };
  /** It has a reset of its own. Every function is reset with its bus. */
  readonly functionReset?: boolean;
  /** It is a physical function that has virtual ones (SR-IOV). */
  readonly virtualFunctions?: boolean;
}

/** Where a function's interrupts go. */
export interface InterruptSink {
  msi(vector: number): void;
  /** The INTx line rose or fell. */
  intx(asserted: boolean): void;
}

/**
 * The hardware side of a PCI function: its configuration space with what can be written there, its interrupts, and its
 * port to memory. A device model extends it with its registers.
 */
export abstract class PciFunction {
  readonly identity: PciIdentity;
  /** The registers of configuration space, little-endian. */
  readonly config: DataView<ArrayBuffer>;
  /** Which bits of them can be written. */
  readonly writable: DataView<ArrayBuffer>;
  sink: InterruptSink | undefined;
  #dma: DmaPort | undefined;
  #clock: Clock | undefined;
  #intx = false;

  constructor(identity: PciIdentity) {
    this.identity = identity;
    const size = identity.express === undefined ? PCI_CFG_SPACE_SIZE : PCI_CFG_SPACE_EXP_SIZE;
    const config = (this.config = new DataView(new ArrayBuffer(size)));
    const writable = (this.writable = new DataView(new ArrayBuffer(size)));
    config.setUint16(PCI_VENDOR_ID, identity.vendor, true);
    config.setUint16(PCI_DEVICE_ID, identity.device, true);
    config.setUint8(PCI_CLASS_REVISION, identity.revision ?? 0);
    config.setUint8(PCI_CLASS_PROG, identity.classCode & 0xff);
    config.setUint16(PCI_CLASS_PROG + 1, identity.classCode >>> 8, true);
    config.setUint16(PCI_SUBSYSTEM_VENDOR_ID, identity.subsystemVendor ?? 0, true);
    config.setUint16(PCI_SUBSYSTEM_ID, identity.subsystemDevice ?? 0, true);
    config.setUint8(PCI_INTERRUPT_PIN, identity.intx === true ? 1 : 0);
    for (let at = PCI_STD_HEADER_SIZEOF; at < PCI_CFG_SPACE_SIZE; at += 1) writable.setUint8(at, 0xff);
    writable.setUint16(
      PCI_COMMAND,
      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
      true,
    );
    writable.setUint8(PCI_CACHE_LINE_SIZE, 0xff);
    writable.setUint8(PCI_INTERRUPT_LINE, 0xff);
    // The firmware has enabled decoding by the time a driver meets the device.
    config.setUint16(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR, true);
    this.#addCapabilities(identity);
  }

  /** Reads a register; widths and offsets the device does not know answer what its bus answers. */
  abstract readBar(bar: number, offset: number, width: 1 | 2 | 4 | 8): bigint;
  abstract writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, value: bigint): void;

  /** A reset of the function or its bus: the registers of its BARs lose their contents. Configuration space is the kernel's. */
  resetRegisters(): void {}

  /** The machine puts the function in a slot and places its BARs. */
  connect(dma: DmaPort, clock: Clock, place: (size: number) => number): void {
    if (this.#dma !== undefined)
      throw expected('a device model of its own', 'model', `a ${this.constructor.name} that is in a machine already`);
    this.#dma = dma;
    this.#clock = clock;
    for (const [bar, size] of Object.entries(this.identity.bars)) {
      this.config.setUint32(PCI_BASE_ADDRESS_0 + 4 * Number(bar), place(size), true);
    }
  }

  protected get dma(): DmaPort {
    if (this.#dma === undefined) throw new Error('The device is in no machine');
    return this.#dma;
  }

  get clock(): Clock {
    if (this.#clock === undefined) throw new Error('The device is in no machine');
    return this.#clock;
  }

  /** Bus mastering is on: the function's DMA and messages leave it. */
  get mastering(): boolean {
    return (this.command & PCI_COMMAND_MASTER) !== 0;
  }

  get command(): number {
    return this.config.getUint16(PCI_COMMAND, true);
  }

  set command(value: number) {
    this.config.setUint16(PCI_COMMAND, value, true);
  }

  get msiEnabled(): boolean {
    return this.#controlBit(this.identity.msi, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
  }

  set msiEnabled(enabled: boolean) {
    this.#setControlBit(this.identity.msi, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, enabled);
  }

  get msixEnabled(): boolean {
    return this.#controlBit(this.identity.msix, PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
  }

  set msixEnabled(enabled: boolean) {
    this.#setControlBit(this.identity.msix, PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, enabled);
  }

  #controlBit(capability: { readonly at: number } | undefined, register: number, bit: number): boolean {
    return capability !== undefined && (this.config.getUint16(capability.at + register, true) & bit) !== 0;
  }

  #setControlBit(capability: { readonly at: number } | undefined, register: number, bit: number, on: boolean): void {
    if (capability === undefined) return;
    const flags = this.config.getUint16(capability.at + register, true);
    this.config.setUint16(capability.at + register, on ? flags | bit : flags & ~bit, true);
  }

  /** The line's level, whether or not the command register lets it out. */
  get intxAsserted(): boolean {
    return this.#intx;
  }

  /** A message-signalled interrupt is a write to memory, so it needs bus mastering. */
  protected sendMsi(vector: number): void {
    if ((this.msiEnabled || this.msixEnabled) && this.mastering && !this.dma.stopped) this.sink?.msi(vector);
  }

  protected setIntx(asserted: boolean): void {
    this.#intx = asserted;
    const status = this.config.getUint16(PCI_STATUS, true);
    this.config.setUint16(PCI_STATUS, asserted ? status | PCI_STATUS_INTERRUPT : status & ~PCI_STATUS_INTERRUPT, true);
    this.sink?.intx(asserted);
  }

  #addCapabilities({ msi, msix, express }: PciIdentity): void {
    const { config } = this;
    if (msi !== undefined) {
      this.#link(msi.at, PCI_CAP_ID_MSI);
      config.setUint16(msi.at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | (Math.log2(msi.vectors) << 1), true);
      this.#protect(msi.at, 4);
    }
    if (msix !== undefined) {
      this.#link(msix.at, PCI_CAP_ID_MSIX);
      config.setUint16(msix.at + PCI_MSIX_FLAGS, msix.vectors - 1, true);
      config.setUint32(msix.at + PCI_MSIX_TABLE, msix.table | msix.bar, true);
      this.#protect(msix.at, PCI_CAP_MSIX_SIZEOF);
    }
    if (express !== undefined) {
      this.#link(express.at, PCI_CAP_ID_EXP);
      // Version 2, an endpoint.
      config.setUint16(express.at + PCI_EXP_FLAGS, 2, true);
      this.#protect(express.at, expressSize);
    }
  }

  /** Puts a capability at the front of the list. */
  #link(at: number, id: number): void {
    const { config } = this;
    config.setUint16(PCI_STATUS, config.getUint16(PCI_STATUS, true) | PCI_STATUS_CAP_LIST, true);
    config.setUint8(at, id);
    config.setUint8(at + PCI_CAP_LIST_NEXT, config.getUint8(PCI_CAPABILITY_LIST));
    config.setUint8(PCI_CAPABILITY_LIST, at);
  }

  #protect(at: number, bytes: number): void {
    for (let byte = 0; byte < bytes; byte += 1) this.writable.setUint8(at + byte, 0);
  }
}
