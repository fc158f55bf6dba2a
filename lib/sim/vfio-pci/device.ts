/** A PCI function as the vfio-pci driver gives it to user space. */
import { errno } from '../../abi/errno.js';
import { PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_IO, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../abi/pci.js';
import {
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
} from '../../abi/vfio/irq.js';
import {
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
} from '../../abi/vfio/region.js';
import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
} from '../../abi/vfio/feature.js';
import { MAP_SHARED } from '../../abi/system.js';
import type { Mapping } from '../../kernel/kernel.js';
import type { Argument } from '../argument.js';
import type { Endpoint } from '../spapr/eeh.js';
import { allOnes, loadBytes, RegisterMapping, storeBytes, type Registers, type Width } from '../mapping.js';
import type { FdTable } from '../open-file.js';
import { D0, D3hot, type PciFunction } from '../pci/function.js';
import type { KernelProfile } from '../profile.js';
import type { FeatureRequest } from '../features.js';
import { VfioDevice } from '../vfio-device.js';
import { VirtualConfig, type ConfigEvents } from './config.js';
import { BarExports } from './dma-buf.js';
import type { Neighbour } from './hot-reset.js';
import { IoEventfds } from './ioeventfds.js';
import { Irqs, type MsiQueue } from './irqs.js';
import { Power } from './power.js';
import { PowerState } from './power-state.js';
import { romLength, transfer, type Access } from './region-access.js';
import { locate } from './regions.js';
import { vfioPciIoctl } from './requests.js';
import { resetByBus, resetFunction, SavedState } from './reset.js';
import { admitToken, matchName, VfToken } from './vf-token.js';
import { Vga } from './vga.js';
import { VitalProductData } from './vital-product-data.js';

const pageSize = 4096;

/** Where the function is: a `PciSlot`. */
export interface PciPlace {
  readonly address: string;
  readonly pciFunction: PciFunction;
  readonly group: { readonly endpoint: Endpoint | undefined } | undefined;
  /** All functions of its bus, where the bus can be reset. */
  readonly bus: readonly Neighbour[] | undefined;
  readonly physical: { readonly vfio: VfioPciDevice | undefined } | undefined;
  /** It is a physical function, and others are virtual ones of it. */
  readonly hasVirtualFunctions: boolean;
}

interface OpenState {
  readonly config: VirtualConfig;
  readonly irqs: Irqs;
  readonly ioeventfds: IoEventfds;
  readonly exports: BarExports;
  readonly powerState: PowerState;
  /** Configuration space as it was before the driver. */
  readonly saved: SavedState;
}

export class VfioPciDevice extends VfioDevice implements Registers {
  readonly hardware: PciFunction;
  readonly vga: Vga;
  readonly #productData: VitalProductData;
  readonly #place: PciPlace;
  readonly #power = new Power(() => {
    this.revokeMemory();
    // The kernel puts it to sleep itself, and wakes it itself, whatever state its user had it in.
    this.powerUp();
  });
  readonly #token: VfToken | undefined;
  readonly #msiQueue: MsiQueue = { size: 0 };
  #state: OpenState | undefined;

  constructor(place: PciPlace, kernel: KernelProfile) {
    super(place.address, kernel);
    this.hardware = place.pciFunction;
    this.vga = new Vga(this.hardware, kernel);
    this.#productData = new VitalProductData(this.hardware);
    this.#place = place;
    this.#token = this.hardware.virtualFunctionsAt !== undefined ? new VfToken() : undefined;
  }

  override match(text: string): number {
    const { physical } = this.#place;
    return matchName(this.name, text, { own: this.#token, physical: physical && { token: physical.vfio?.vfToken } });
  }

  override admit(token: string | undefined): number {
    const { physical } = this.#place;
    const admitted = admitToken(token, { own: this.#token, physical: physical && { token: physical.vfio?.vfToken } });
    return admitted === 1 ? 0 : admitted;
  }

  override get isVirtual(): boolean {
    return this.#place.physical !== undefined;
  }

  override get asksForTokens(): boolean {
    return true;
  }

  get vfToken(): VfToken | undefined {
    return this.#token;
  }

  /** All functions of its bus, where the bus can be reset. */
  get bus(): readonly Neighbour[] | undefined {
    return this.#place.bus;
  }

  /** Whatever asks something of it wakes it. */
  override use(): void {
    this.#power.wake();
  }

  override feature(request: FeatureRequest, fds: FdTable): number {
    switch (request.feature) {
      case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
        return this.#token?.set(request) ?? -errno.ENOTTY;
      case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
        return this.#power.enter(request);
      case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
        return this.#power.enterWithWakeup(request, fds);
      case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
        return this.#power.exit(request);
      case VFIO_DEVICE_FEATURE_DMA_BUF:
        return this.kernel.exportsDmaBufs ? this.#open.exports.export(request, fds) : -errno.ENOTTY;
      default:
        return -errno.ENOTTY;
    }
  }

  override ioctl(request: number, argument: Argument, fds: FdTable): number {
    return vfioPciIoctl(this, request, argument, fds);
  }

  override mmap(length: number, protection: number, flags: number, offset: number, released: () => void): Mapping | number {
    const { index, at } = locate(offset);
    if ((flags & MAP_SHARED) === 0 || !this.canMap(index)) return -errno.EINVAL;
    if (at + Math.ceil(length / pageSize) * pageSize > this.barSize(index)) return -errno.EINVAL;
    return new RegisterMapping(this, index, at, length, protection, released);
  }

  /** The first open enables the device, with bus mastering off: nothing moves until the driver says so. */
  protected override firstOpened(): void {
    const { hardware } = this;
    hardware.command &= ~PCI_COMMAND_MASTER;
    this.#reset();
    const saved = new SavedState(hardware);
    hardware.command &= ~PCI_COMMAND_INTX_DISABLE;
    // What it answers does not matter to the kernel: the device opens frozen where it cannot be thawed.
    this.#place.group?.endpoint?.takeOver();
    const irqs = new Irqs(hardware, this.kernel, this.#msiQueue);
    const powerState = new PowerState(hardware, () => this.#place.hasVirtualFunctions);
    const events: ConfigEvents = {
      intxDisabled: (disabled) => irqs.virtuallyDisable(disabled),
      memoryDisabled: () => this.revokeMemory(),
      powerState: (state) => {
        if (state >= D3hot) this.revokeMemory();
        powerState.set(state);
      },
      reset: () => {
        this.revokeMemory();
        this.#reset();
      },
      get usesMsi() {
        return irqs.usesMsi;
      },
      msiQueue: this.#msiQueue,
    };
    const config = new VirtualConfig(hardware, this.#productData, events, this.isVirtual);
    this.#state = { config, irqs, ioeventfds: new IoEventfds(this), exports: new BarExports(this), powerState, saved };
    const physical = this.#place.physical?.vfio?.vfToken;
    if (physical !== undefined) physical.users += 1;
  }

  protected override lastClosed(): void {
    const { hardware } = this;
    const state = this.#open;
    state.powerState.set(D0);
    hardware.command &= ~PCI_COMMAND_MASTER;
    state.irqs.release();
    state.ioeventfds.release();
    state.exports.release();
    this.#state = undefined;
    this.#power.release();
    const physical = this.#place.physical?.vfio?.vfToken;
    if (physical !== undefined) physical.users -= 1;
    hardware.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
    this.#reset();
    state.saved.restore();
  }

  /** What of message-signalled interrupts the kernel allocated for whoever has it open. */
  get messages(): Irqs['messages'] {
    return this.#state?.irqs.messages;
  }

  /** Whether the kernel knows a way to reset the function alone: its own, or its bus's if nothing else is on that. */
  get canReset(): boolean {
    return this.hardware.functionReset !== undefined || (this.bus?.length === 1 && !this.isVirtual);
  }

  /** VFIO_DEVICE_RESET: 0 or -errno. */
  reset(): number {
    if (!this.canReset) return -errno.EINVAL;
    this.revokeMemory();
    // The kernel waits until the function answers again, and gives up.
    if (this.hardware.faults.silent) return -errno.ENOTTY;
    this.#open.powerState.set(D0);
    this.#reset();
    return 0;
  }

  #reset(): void {
    if (this.hardware.faults.silent) return;
    if (this.hardware.functionReset !== undefined) resetFunction(this.hardware);
    else if (this.canReset) resetByBus(this.hardware);
  }

  /** Its memory does not answer any more, if only for now: nobody else reaches it from now on. */
  revokeMemory(): void {
    this.#state?.exports.revoke();
  }

  powerUp(): void {
    this.#state?.powerState.set(D0);
  }

  override askBack(): void {
    this.irqs.request();
  }

  /** The bus tells of an error that cannot be corrected. */
  reportError(): void {
    this.#state?.irqs.reportError();
  }

  get config(): VirtualConfig {
    return this.#open.config;
  }

  get irqs(): Irqs {
    return this.#open.irqs;
  }

  get ioeventfds(): IoEventfds {
    return this.#open.ioeventfds;
  }

  /** How many vectors the index has; 0 for one that is not there. */
  irqCount(index: number): number {
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return this.config.interruptPin === 0 ? 0 : 1;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return this.hardware.msi?.vectors ?? 0;
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return this.hardware.msix?.vectors ?? 0;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.kernel.errorInterruptWithoutExpress || this.hardware.expressAt !== undefined ? 1 : 0;
      case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
      default:
        return 0;
    }
  }

  /** Bytes of configuration space. */
  get configSize(): number {
    return this.hardware.configSize;
  }

  /** Bytes of a BAR; 0 if there is none. */
  barSize(bar: number): number {
    return this.hardware.barSize(bar);
  }

  /** Whether a BAR can be mapped: the kernel hands out whole pages of memory. */
  canMap(bar: number): boolean {
    const found = this.hardware.bars.find(({ index }) => index === bar);
    return found !== undefined && !found.ports && found.size >= pageSize;
  }

  override read(bytes: Uint8Array, offset: number): number {
    const { index, at } = locate(offset);
    if (bytes.byteLength === 0) return 0;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return this.config.read(bytes, at);
    if (index === VFIO_PCI_ROM_REGION_INDEX) return this.#readRom(bytes, at);
    if (index === VFIO_PCI_VGA_REGION_INDEX) return this.vga.read(bytes, at);
    return this.#transfer(bytes, index, at, (width, position, part) => {
      if (width === undefined) part.fill(0xff);
      else storeBytes(part, 0, width, this.readRegister(index, position, width));
    });
  }

  override write(bytes: Uint8Array, offset: number): number {
    const { index, at } = locate(offset);
    if (bytes.byteLength === 0) return 0;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return this.config.write(bytes, at);
    if (index === VFIO_PCI_VGA_REGION_INDEX) return this.vga.write(bytes, at);
    return this.#transfer(bytes, index, at, (width, position, part) => {
      if (width !== undefined) this.writeRegister(index, position, width, loadBytes(part, 0, width));
    });
  }

  /** Bytes of the ROM's BAR; 0 if there is no image in it. */
  get romSize(): number {
    const { rom } = this.hardware.identity;
    return rom === undefined || romLength(rom) === 0 ? 0 : rom.byteLength;
  }

  /** What is after its last image reads as ones. */
  #readRom(bytes: Uint8Array, at: number): number {
    const { rom } = this.hardware.identity;
    if (rom === undefined || at >= rom.byteLength) return -errno.EINVAL;
    // The kernel looks for an image in what the device answers.
    const length = (this.hardware.command & PCI_COMMAND_MEMORY) === 0 ? 0 : romLength(rom);
    if (length === 0) return -errno.ENOMEM;
    const window = {
      size: rom.byteLength,
      hidden: { start: length, end: rom.byteLength },
      widest: 4,
      answers: () => this.#answers,
    } as const;
    return transfer(bytes, at, window, (width, position, part) => {
      if (width === undefined) part.fill(0xff);
      else part.set(rom.subarray(position, position + width));
    });
  }

  get decoding(): boolean {
    return this.#answers && !this.#power.allowed;
  }

  get now(): number {
    return this.hardware.clock.now;
  }

  /** Its memory does: it is awake, and decodes addresses. */
  get #answers(): boolean {
    return this.config.memoryEnabled && this.#open.powerState.awake;
  }

  writeRegister(bar: number, offset: number, width: Width, value: bigint): void {
    this.hardware.clock.poll();
    if (!this.#reaches(bar)) return;
    this.hardware.busWrite(bar, offset, width, value);
  }

  readRegister(bar: number, offset: number, width: Width): bigint {
    this.hardware.clock.poll();
    if (!this.#reaches(bar)) return allOnes(width);
    return this.hardware.busRead(bar, offset, width);
  }

  /** Whether an access to the BAR finds the device. Memory that does not decode is not accessed at all. */
  #reaches(bar: number): boolean {
    if (this.#place.group?.endpoint?.registersStopped === true) return false;
    return !this.#isPorts(bar) || (this.hardware.command & PCI_COMMAND_IO) !== 0;
  }

  #isPorts(bar: number): boolean {
    return this.hardware.bars.find(({ index }) => index === bar)?.ports === true;
  }

  /** vfio_pci_bar_rw: the MSI-X table is the kernel's. Ports take accesses of 4 bytes, and are accessed whatever decodes. */
  #transfer(bytes: Uint8Array, index: number, at: number, access: Access): number {
    const size = index > VFIO_PCI_BAR5_REGION_INDEX ? 0 : this.barSize(index);
    const table = this.hardware.msix?.table;
    const ports = this.#isPorts(index);
    const window = {
      size,
      hidden: table?.bar === index ? table : undefined,
      widest: ports ? 4 : this.kernel.widestAccess,
      answers: () => ports || this.#answers,
    } as const;
    return transfer(bytes, at, window, access);
  }

  get #open(): OpenState {
    if (this.#state === undefined) throw new Error('The device is not open');
    return this.#state;
  }
}
