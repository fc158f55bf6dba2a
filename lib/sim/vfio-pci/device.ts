/** A PCI function as the vfio-pci driver gives it to user space. */
import { errno } from '../../abi/errno.js';
import { PCI_COMMAND_MASTER } from '../../abi/pci.js';
import { VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_REQ_IRQ_INDEX } from '../../abi/vfio/irq.js';
import {
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
} from '../../abi/vfio/region.js';
import { MAP_SHARED } from '../../abi/system.js';
import type { Mapping } from '../../kernel/kernel.js';
import type { Argument } from '../argument.js';
import { RegisterMapping, type Registers, type Width } from '../mapping.js';
import type { FdTable } from '../open-file.js';
import type { PciFunction } from '../pci/function.js';
import type { KernelProfile } from '../profile.js';
import { VfioDevice } from '../vfio-device.js';
import { VirtualConfig } from './config.js';
import { Irqs } from './irqs.js';
import { locate } from './regions.js';
import { vfioPciIoctl } from './requests.js';

const pageSize = 4096;

export class VfioPciDevice extends VfioDevice implements Registers {
  readonly hardware: PciFunction;
  #state: { readonly config: VirtualConfig; readonly irqs: Irqs } | undefined;

  constructor(name: string, hardware: PciFunction, kernel: KernelProfile) {
    super(name, kernel);
    this.hardware = hardware;
  }

  override ioctl(request: number, argument: Argument, fds: FdTable): number {
    return vfioPciIoctl(this, request, argument, fds);
  }

  override mmap(length: number, protection: number, flags: number, offset: number, released: () => void): Mapping | number {
    const { index, at } = locate(offset);
    if (index >= VFIO_PCI_NUM_REGIONS || (flags & MAP_SHARED) === 0 || index >= VFIO_PCI_ROM_REGION_INDEX) return -errno.EINVAL;
    const size = this.barSize(index);
    // The kernel hands out whole pages: a BAR that is smaller than one cannot be mapped alone.
    if (size < pageSize || at + Math.ceil(length / pageSize) * pageSize > size) return -errno.EINVAL;
    return new RegisterMapping(this, index, at, length, protection, released);
  }

  /** The first open enables the device, with bus mastering off: nothing moves until the driver says so. */
  protected override firstOpened(): void {
    this.hardware.command &= ~PCI_COMMAND_MASTER;
    const irqs = new Irqs(this.hardware);
    const config = new VirtualConfig(this.hardware, {
      intxDisabled: (disabled) => irqs.virtuallyDisable(disabled),
      get usesMsi() {
        return irqs.usesMsi;
      },
      get msiQueue() {
        return irqs.msiQueue;
      },
    });
    this.#state = { config, irqs };
  }

  protected override lastClosed(): void {
    this.#state?.irqs.release();
    this.#state = undefined;
    this.hardware.command &= ~PCI_COMMAND_MASTER;
  }

  override askBack(): void {
    this.irqs.request();
  }

  get config(): VirtualConfig {
    return this.#open.config;
  }

  get irqs(): Irqs {
    return this.#open.irqs;
  }

  /** How many vectors the index has; 0 for one that is not there. */
  irqCount(index: number): number {
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return this.config.interruptPin === 0 ? 0 : 1;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return this.hardware.identity.msi?.vectors ?? 0;
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.kernel.errorInterruptWithoutExpress ? 1 : 0;
      case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
      default:
        return 0;
    }
  }

  /** Bytes of a BAR; 0 if there is none. */
  barSize(bar: number): number {
    return this.hardware.identity.bars[bar] ?? 0;
  }

  override read(bytes: Uint8Array, offset: number): number {
    const { index, at } = locate(offset);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return bytes.byteLength === 0 ? 0 : this.config.read(bytes, at);
    return this.#transfer(bytes, index, at, (width, position, part) => {
      let value = this.readRegister(index, position, width);
      for (let i = 0; i < width; i += 1, value >>= 8n) part[i] = Number(value & 0xffn);
    });
  }

  override write(bytes: Uint8Array, offset: number): number {
    const { index, at } = locate(offset);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) return bytes.byteLength === 0 ? 0 : this.config.write(bytes, at);
    return this.#transfer(bytes, index, at, (width, position, part) => {
      const value = part.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
      this.writeRegister(index, position, width, value);
    });
  }

  get decoding(): boolean {
    return this.config.memoryEnabled;
  }

  writeRegister(bar: number, offset: number, width: Width, value: bigint): void {
    this.hardware.clock.poll();
    this.hardware.writeBar(bar, offset, width, value);
  }

  readRegister(bar: number, offset: number, width: Width): bigint {
    this.hardware.clock.poll();
    return this.hardware.readBar(bar, offset, width);
  }

  /** vfio_pci_bar_rw: the transfer is cut at the region's end and into the widest aligned accesses. */
  #transfer(bytes: Uint8Array, index: number, at: number, access: (width: Width, position: number, part: Uint8Array) => void): number {
    if (bytes.byteLength === 0) return 0;
    const size = index > VFIO_PCI_BAR5_REGION_INDEX ? 0 : this.barSize(index);
    if (index >= VFIO_PCI_NUM_REGIONS || at >= size) return -errno.EINVAL;
    const count = Math.min(bytes.byteLength, size - at);
    for (let done = 0; done < count;) {
      if (!this.config.memoryEnabled) return -errno.EIO;
      const position = at + done;
      const width = ([8, 4, 2] as const).find((wide) => count - done >= wide && position % wide === 0) ?? 1;
      access(width, position, bytes.subarray(done, done + width));
      done += width;
    }
    return count;
  }

  get #open(): { readonly config: VirtualConfig; readonly irqs: Irqs } {
    if (this.#state === undefined) throw new Error('The device is not open');
    return this.#state;
  }
}
