import { errno } from '../../abi/errno.js';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_MSI,
  PCI_CAPABILITY_LIST,
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

/** What a device model says of itself. Sizes are bytes and powers of two. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** The 24 bits of base class, sub-class and programming interface. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystemDevice?: number;
  /** Memory BARs by index. */
  readonly bars: Readonly<Record<number, number>>;
  /** Whether it has an INTx pin. */
  readonly intx?: boolean;
  /** Where its MSI capability lies, with how many vectors (a power of two). */
  readonly msi?: { readonly at: number; readonly vectors: number };
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
  readonly config = new DataView(new ArrayBuffer(PCI_CFG_SPACE_SIZE));
  /** Which bits of them can be written. */
  readonly writable = new DataView(new ArrayBuffer(PCI_CFG_SPACE_SIZE));
  sink: InterruptSink | undefined;
  #dma: DmaPort | undefined;
  #clock: Clock | undefined;
  #intx = false;

  constructor(identity: PciIdentity) {
    this.identity = identity;
    const { config, writable } = this;
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
    if (identity.msi !== undefined) this.#addMsi(identity.msi.at, identity.msi.vectors);
  }

  /** Reads a register; widths and offsets the device does not know answer what its bus answers. */
  abstract readBar(bar: number, offset: number, width: 1 | 2 | 4 | 8): bigint;
  abstract writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, value: bigint): void;

  /** VFIO_DEVICE_FLAGS_RESET if a function reset would work, else 0. */
  readonly resetFlag: number = 0;

  /** VFIO_DEVICE_RESET: EINVAL for a function that has no reset of its own. */
  reset(): number {
    return -errno.EINVAL;
  }

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
    const at = this.identity.msi?.at;
    return at !== undefined && (this.config.getUint16(at + PCI_MSI_FLAGS, true) & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  set msiEnabled(enabled: boolean) {
    const at = this.identity.msi?.at;
    if (at === undefined) return;
    const flags = this.config.getUint16(at + PCI_MSI_FLAGS, true);
    this.config.setUint16(at + PCI_MSI_FLAGS, enabled ? flags | PCI_MSI_FLAGS_ENABLE : flags & ~PCI_MSI_FLAGS_ENABLE, true);
  }

  /** The line's level, whether or not the command register lets it out. */
  get intxAsserted(): boolean {
    return this.#intx;
  }

  /** A message-signalled interrupt is a write to memory, so it needs bus mastering. */
  protected sendMsi(vector: number): void {
    if (this.msiEnabled && this.mastering && !this.dma.stopped) this.sink?.msi(vector);
  }

  protected setIntx(asserted: boolean): void {
    this.#intx = asserted;
    const status = this.config.getUint16(PCI_STATUS, true);
    this.config.setUint16(PCI_STATUS, asserted ? status | PCI_STATUS_INTERRUPT : status & ~PCI_STATUS_INTERRUPT, true);
    this.sink?.intx(asserted);
  }

  #addMsi(at: number, vectors: number): void {
    const { config, writable } = this;
    config.setUint16(PCI_STATUS, config.getUint16(PCI_STATUS, true) | PCI_STATUS_CAP_LIST, true);
    config.setUint8(PCI_CAPABILITY_LIST, at);
    config.setUint8(at, PCI_CAP_ID_MSI);
    config.setUint16(at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | (Math.log2(vectors) << 1), true);
    for (let byte = 0; byte < 4; byte += 1) writable.setUint8(at + byte, 0);
  }
}
