import {
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_BASE_ADDRESS_0,
  PCI_CACHE_LINE_SIZE,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CLASS_PROG,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_SERR,
  PCI_DEVICE_ID,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_TYPE,
  PCI_EXP_TYPE_ENDPOINT,
  PCI_EXP_TYPE_RC_END,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_STATE_MASK,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_ENABLE,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../abi/pci.js';
import { expected } from '../../kernel/error.js';
import type { Clock } from '../clock.js';
import { DeviceFaults } from '../device-faults.js';
import type { DmaPort } from '../dma.js';
import { allOnes, type Width } from '../mapping.js';
import { addressBits, adjustedRead, adjustedWrite, resolveBars, type Bar, type BarOptions } from './bar.js';
import { VitalProductDataCapability, type Capability } from './capability.js';
import { ConfigSpace, type ConfigWidth } from './config-space.js';
import type { ExtendedCapability } from './extended-capability.js';
import { MsiRegisters, MsixTable, type Window } from './messages.js';
import type { RegisterBlock } from './register-block.js';

/** What a device model says of itself. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** The 24 bits of base class, sub-class and programming interface. */
  readonly classCode: number;
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystemDevice?: number;
  /** BARs by index; a number stands for memory of that many bytes. */
  readonly bars: Readonly<Record<number, number | BarOptions>>;
  /** The contents of its ROM: a power of two bytes. */
  readonly rom?: Uint8Array;
  /** Whether it has an INTx pin. Default: false. */
  readonly intx?: boolean;
  /** Its capabilities, in the order of their list: `[msi(), express()]`. Default: none. */
  readonly capabilities?: readonly Capability[];
  /** Those that PCI Express functions have from byte 256 on, in the order of their list. Default: none. */
  readonly extendedCapabilities?: readonly ExtendedCapability[];
}

/** Where a function's interrupts go. */
export interface InterruptSink {
  msi(vector: number): void;
  /** The INTx line rose or fell. */
  intx(asserted: boolean): void;
}

/** What of the machine a function is put into. */
export interface Connection {
  readonly dma: DmaPort;
  readonly clock: Clock;
  /** Finds a place for a BAR of that many bytes. */
  place(size: number, ports: boolean): number;
  /** It is on the first bus: a part of the root complex. */
  readonly integrated: boolean;
}

interface AttachedBlock extends Window {
  readonly block: RegisterBlock;
}

/** What firmware writes for the interrupt controller's line that the INTx pin leads to. */
const interruptLine = 11;

/** D0 and D3hot are states that every function with power management has. */
export const D0 = 0;
export const D3hot = 3;

/**
 * The hardware side of a PCI function: its configuration space with what can be written there, its BARs, its interrupts,
 * its power states and resets, and its port to memory. A device model extends it with its registers: it attaches blocks of
 * them to BARs, or overrides `readBar` and `writeBar`.
 */
export abstract class PciFunction {
  readonly identity: PciIdentity;
  readonly bars: readonly Bar[];
  readonly msi: MsiRegisters | undefined;
  readonly msix: MsixTable | undefined;
  /** Where in configuration space its power management and its PCI Express capability lie. */
  readonly powerManagementAt: number | undefined;
  readonly expressAt: number | undefined;
  /** Of a physical function, which can have virtual ones (SR-IOV), where that capability lies. */
  readonly virtualFunctionsAt: number | undefined;
  /** Where the machine placed its BARs and its ROM, whatever their registers have come to hold. */
  readonly places = new Map<number | 'rom', number>();
  readonly #advancedFeaturesAt: number | undefined;
  readonly #space: ConfigSpace;
  readonly #blocks: AttachedBlock[] = [];
  /** What is wrong with it on purpose: nothing the model itself need know of. @internal */
  readonly faults = new DeviceFaults();
  sink: InterruptSink | undefined;
  #connection: Connection | undefined;
  /** The line's level, and what the model wants it to be: what is wrong with the device may stand between. */
  #intx = false;
  #wantsIntx = false;

  constructor(identity: PciIdentity) {
    const { capabilities = [], extendedCapabilities = [] } = identity;
    this.identity = identity;
    this.bars = resolveBars(identity.bars);
    const isExpress = capabilities.some(({ id }) => id === PCI_CAP_ID_EXP);
    this.#space = new ConfigSpace(capabilities, extendedCapabilities, isExpress);
    const at = (id: number, among: readonly Capability[] = capabilities): number | undefined => {
      const capability = among.find((candidate) => candidate.id === id);
      return capability && this.#space.placeOf(capability);
    };
    this.powerManagementAt = at(PCI_CAP_ID_PM);
    this.expressAt = at(PCI_CAP_ID_EXP);
    this.virtualFunctionsAt = at(PCI_EXT_CAP_ID_SRIOV, extendedCapabilities);
    this.#advancedFeaturesAt = at(PCI_CAP_ID_AF);
    const [msiAt, msixAt] = [at(PCI_CAP_ID_MSI), at(PCI_CAP_ID_MSIX)];
    // A function that sends messages does not assert its line, and one that did lets it go.
    const releaseLine = (): void => this.setIntx(false);
    this.msi = msiAt === undefined ? undefined : new MsiRegisters(this.config, msiAt, releaseLine);
    this.msix = msixAt === undefined ? undefined : new MsixTable(this.config, msixAt, releaseLine);
    this.#fillHeader();
    for (const { bar, end } of this.msix === undefined ? [] : [this.msix.table, this.msix.pendingBits])
      if (end > this.barSize(bar)) throw expected(`a BAR ${bar} of ${end} bytes for MSI-X`, 'bars', this.barSize(bar));
  }

  /** The registers of configuration space, little-endian, for the model itself: nothing limits what is written. */
  get config(): DataView<ArrayBuffer> {
    return this.#space.contents;
  }

  /** Bytes of configuration space. */
  get configSize(): number {
    return this.#space.size;
  }

  barSize(index: number): number {
    return this.bars.find((bar) => bar.index === index)?.size ?? 0;
  }

  /**
   * A register of a BAR is read. The default asks the attached blocks; where there is none it is 0. Widths that the BAR's
   * `access` does not let through do not come here, nor does the MSI-X table.
   */
  protected readBar(bar: number, offset: number, width: Width): bigint {
    const found = this.#blockAt(bar, offset);
    return found === undefined ? 0n : found.block.read(offset - found.start, width);
  }

  protected writeBar(bar: number, offset: number, width: Width, value: bigint): void {
    const found = this.#blockAt(bar, offset);
    found?.block.write(offset - found.start, width, value);
  }

  /** A display is read where displays are of old: memory from 0xa0000 to 0xbffff, ports 0x3b0 to 0x3bb and 0x3c0 to 0x3df. */
  protected readVga(_address: number, width: Width): bigint {
    return allOnes(width);
  }

  protected writeVga(_address: number, _width: Width, _value: bigint): void {}

  /** A byte of its vital product data. */
  readVitalProductData(at: number): number {
    return this.faults.silent ? 0xff : (this.#productData?.[at] ?? 0);
  }

  writeVitalProductData(at: number, value: number): void {
    if (!this.faults.silent && this.#productData !== undefined) this.#productData[at] = value;
  }

  get #productData(): Uint8Array | undefined {
    return this.identity.capabilities?.find((capability) => capability instanceof VitalProductDataCapability)?.data;
  }

  /** Puts registers into a BAR, from byte `start` on. They are reset with the function. */
  protected attach(bar: number, block: RegisterBlock, start = 0, end = this.barSize(bar)): void {
    if (this.barSize(bar) === 0) throw expected('the index of a BAR of the device', 'bar', bar);
    this.#blocks.push({ bar, start, end, block });
  }

  /** A reset of the function or its bus: the registers of its BARs lose their contents. The default resets attached blocks. */
  protected resetRegisters(): void {
    for (const { block } of this.#blocks) block.reset();
  }

  /**
   * It was taken from D3hot to D0 by the driver. The default is what PCI asks for: unless the function keeps its
   * registers, it is reset.
   */
  protected poweredUp(): void {
    const at = this.powerManagementAt;
    if (at !== undefined && (this.config.getUint16(at + PCI_PM_CTRL, true) & PCI_PM_CTRL_NO_SOFT_RESET) === 0) this.reset();
  }

  /** The machine puts the function in a slot and places its BARs. @internal */
  connect(connection: Connection): void {
    if (this.#connection !== undefined)
      throw expected('a device model of its own', 'model', `a ${this.constructor.name} that is in a machine already`);
    this.#connection = connection;
    const { config } = this;
    for (const { index, size, ports } of this.bars) {
      const register = PCI_BASE_ADDRESS_0 + 4 * index;
      const place = connection.place(size, ports);
      this.places.set(index, place);
      config.setUint32(register, (config.getUint32(register, true) | place) >>> 0, true);
    }
    const { rom } = this.identity;
    if (rom !== undefined) {
      const place = connection.place(rom.byteLength, false);
      this.places.set('rom', place);
      config.setUint32(PCI_ROM_ADDRESS, place, true);
    }
    if (this.expressAt !== undefined && connection.integrated) {
      const flags = config.getUint16(this.expressAt + PCI_EXP_FLAGS, true);
      if ((flags & PCI_EXP_FLAGS_TYPE) === PCI_EXP_TYPE_ENDPOINT)
        config.setUint16(this.expressAt + PCI_EXP_FLAGS, flags | (PCI_EXP_TYPE_RC_END << 4), true);
    }
    if (this.identity.intx === true) config.setUint8(PCI_INTERRUPT_LINE, interruptLine);
  }

  protected get dma(): DmaPort {
    return this.#machine.dma;
  }

  get clock(): Clock {
    return this.#machine.clock;
  }

  get #machine(): Connection {
    if (this.#connection === undefined) throw new Error('The device is in no machine');
    return this.#connection;
  }

  /** A read of a BAR as it arrives on the bus. */
  busRead(bar: number, offset: number, width: Width): bigint {
    if (this.faults.silent) return allOnes(width);
    return this.msix?.read(bar, offset, width) ?? adjustedRead(this.#access(bar), offset, width, (at, size) => this.readBar(bar, at, size));
  }

  /** A write to a BAR as it arrives on the bus. */
  busWrite(bar: number, offset: number, width: Width, value: bigint): void {
    if (this.faults.silent) return;
    if (this.msix?.write(bar, offset, width, value) === true) this.#sendPending();
    else adjustedWrite(this.#access(bar), offset, width, value, (at, size, part) => this.writeBar(bar, at, size, part));
  }

  busReadVga(address: number, width: Width): bigint {
    return this.faults.silent ? allOnes(width) : this.readVga(address, width);
  }

  busWriteVga(address: number, width: Width, value: bigint): void {
    if (!this.faults.silent) this.writeVga(address, width, value);
  }

  readConfig(at: number, width: ConfigWidth): number {
    return this.faults.silent ? 2 ** (8 * width) - 1 : this.#space.read(at, width);
  }

  /** A write to configuration space as it arrives on the bus: what can be written is, and what that sets off happens. */
  writeConfig(at: number, width: ConfigWidth, value: number): void {
    if (this.faults.silent) return;
    const power = this.powerState;
    this.#space.write(at, width, value);
    if (power === D3hot && this.powerState === D0) this.poweredUp();
    if (this.#takeBit(this.expressAt, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR)) this.reset();
    if (this.#takeBit(this.#advancedFeaturesAt, PCI_AF_CTRL, PCI_AF_CTRL_FLR)) this.reset();
    this.#sendPending();
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

  /** 0 to 3, for D0 to D3hot. */
  get powerState(): number {
    const at = this.powerManagementAt;
    return at === undefined ? D0 : this.config.getUint16(at + PCI_PM_CTRL, true) & PCI_PM_CTRL_STATE_MASK;
  }

  /** Whether the function can be reset alone: by a bit of its own, or on its way back from D3hot. */
  get functionReset(): 'bit' | 'power' | undefined {
    const { expressAt, powerManagementAt, config } = this;
    if (expressAt !== undefined && (config.getUint32(expressAt + PCI_EXP_DEVCAP, true) & PCI_EXP_DEVCAP_FLR) !== 0) return 'bit';
    if (this.#advancedFeaturesAt !== undefined) return 'bit';
    const keeps =
      powerManagementAt === undefined || (config.getUint16(powerManagementAt + PCI_PM_CTRL, true) & PCI_PM_CTRL_NO_SOFT_RESET) !== 0;
    return keeps ? undefined : 'power';
  }

  /** A reset, by whatever: registers of BARs, interrupts, and what of configuration space firmware and drivers set. */
  reset(): void {
    this.setIntx(false);
    const { config } = this;
    this.command = 0;
    config.setUint8(PCI_CACHE_LINE_SIZE, 0);
    config.setUint8(PCI_INTERRUPT_LINE, 0);
    for (const { index, flags, wide } of this.bars) {
      config.setUint32(PCI_BASE_ADDRESS_0 + 4 * index, flags, true);
      if (wide) config.setUint32(PCI_BASE_ADDRESS_0 + 4 * index + 4, 0, true);
    }
    config.setUint32(PCI_ROM_ADDRESS, 0, true);
    this.msi?.reset();
    this.msix?.reset();
    this.resetRegisters();
  }

  /** The line's level, whether or not the command register lets it out. */
  get intxAsserted(): boolean {
    return this.#intx;
  }

  protected get msiEnabled(): boolean {
    return this.msi?.enabled === true;
  }

  protected get msixEnabled(): boolean {
    return this.msix?.enabled === true;
  }

  /**
   * Sends an interrupt of the kind that is enabled, MSI or MSI-X; none is sent where neither is. One that is masked is sent
   * once it is not. A message is a write to memory, so it needs bus mastering.
   */
  protected sendMsi(vector: number): void {
    const messages = this.msix?.enabled === true ? this.msix : this.msi;
    if (messages?.enabled !== true || vector >= messages.vectors) return;
    if (messages.masked(vector)) messages.setPending(vector, true);
    else this.#send(vector);
  }

  protected setIntx(asserted: boolean): void {
    this.#wantsIntx = asserted;
    const set = (): void => {
      if (this.#wantsIntx === asserted) this.#moveIntx(asserted);
    };
    if (asserted && !this.#intx && this.sink !== undefined) this.faults.deliver(this.clock, set);
    else set();
  }

  #moveIntx(asserted: boolean): void {
    this.#intx = asserted;
    const status = this.config.getUint16(PCI_STATUS, true);
    this.config.setUint16(PCI_STATUS, asserted ? status | PCI_STATUS_INTERRUPT : status & ~PCI_STATUS_INTERRUPT, true);
    this.sink?.intx(asserted);
  }

  #send(vector: number): void {
    if (this.mastering && !this.dma.stopped) this.faults.deliver(this.clock, () => this.sink?.msi(vector));
  }

  /** Messages that waited and are not masked any more. */
  #sendPending(): void {
    for (const messages of [this.msi, this.msix]) {
      if (messages?.enabled !== true) continue;
      for (let vector = 0; vector < messages.vectors; vector += 1) {
        if (!messages.pending(vector) || messages.masked(vector)) continue;
        messages.setPending(vector, false);
        this.#send(vector);
      }
    }
  }

  /** Whether a bit of a capability is set that clears itself. */
  #takeBit(at: number | undefined, register: number, bit: number): boolean {
    if (at === undefined || (this.config.getUint16(at + register, true) & bit) === 0) return false;
    this.config.setUint16(at + register, this.config.getUint16(at + register, true) & ~bit, true);
    return true;
  }

  #access(index: number): Bar['access'] {
    return this.bars.find((bar) => bar.index === index)?.access ?? {};
  }

  #blockAt(bar: number, offset: number): AttachedBlock | undefined {
    return this.#blocks.find((each) => each.bar === bar && offset >= each.start && offset < each.end);
  }

  #fillHeader(): void {
    const { identity, config } = this;
    const { writable } = this.#space;
    config.setUint16(PCI_VENDOR_ID, identity.vendor, true);
    config.setUint16(PCI_DEVICE_ID, identity.device, true);
    config.setUint8(PCI_CLASS_REVISION, identity.revision ?? 0);
    config.setUint8(PCI_CLASS_PROG, identity.classCode & 0xff);
    config.setUint16(PCI_CLASS_PROG + 1, identity.classCode >>> 8, true);
    config.setUint16(PCI_SUBSYSTEM_VENDOR_ID, identity.subsystemVendor ?? 0, true);
    config.setUint16(PCI_SUBSYSTEM_ID, identity.subsystemDevice ?? 0, true);
    config.setUint8(PCI_INTERRUPT_PIN, identity.intx === true ? 1 : 0);
    for (const { index, size, flags, wide } of this.bars) {
      config.setUint32(PCI_BASE_ADDRESS_0 + 4 * index, flags, true);
      const { low, high } = addressBits(size);
      writable.setUint32(PCI_BASE_ADDRESS_0 + 4 * index, low, true);
      if (wide) writable.setUint32(PCI_BASE_ADDRESS_0 + 4 * index + 4, high, true);
    }
    const { rom } = identity;
    if (rom !== undefined) {
      if (!Number.isInteger(Math.log2(rom.byteLength)) || rom.byteLength < 2048)
        throw expected('a power of two bytes, 2048 at least', 'rom', rom.byteLength);
      writable.setUint32(PCI_ROM_ADDRESS, (-rom.byteLength | PCI_ROM_ADDRESS_ENABLE) >>> 0, true);
    }
    writable.setUint16(
      PCI_COMMAND,
      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
      true,
    );
    writable.setUint8(PCI_CACHE_LINE_SIZE, 0xff);
    writable.setUint8(PCI_INTERRUPT_LINE, 0xff);
    // The firmware has enabled decoding by the time a driver meets the device.
    this.command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR;
  }
}
