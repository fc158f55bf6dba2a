/** The kernel's sample driver mtty: a serial card with one or two ports that loop back. */
import { errno } from '../../abi/errno.js';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CLASS_PROG,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_STATUS,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../abi/pci.js';
import {
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from '../../abi/vfio/irq.js';
import {
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_BAR1_REGION_INDEX,
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from '../../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../abi/vfio/reset.js';
import type { Argument } from '../argument.js';
import type { DmaLogging } from '../dma-logging.js';
import { takeIrqSet } from '../irq-set.js';
import type { FdTable } from '../open-file.js';
import type { KernelProfile } from '../profile.js';
import { ConfigSpace, configSize, MediatedDevice, word, type RegionPlace } from './device.js';
import { MttyInterrupts } from './mtty-interrupts.js';
import { OlderMttyInterrupts } from './mtty-older-interrupts.js';
import { MttyMigration } from './mtty-migration.js';
import type { MdevDriver } from './parent.js';
import { Uart } from './uart.js';

const regionSpan = 2 ** 40;
const barSize = 8;
/** What the driver gives out among all its devices. */
const allPorts = 24;

/** Nothing is ever written by a device that does no DMA, so logging it is easily done. */
const logging: DmaLogging = { start: (_ranges, pageSize) => pageSize, stop: () => 0, report: () => 0 };

class Mtty extends MediatedDevice {
  readonly ports: readonly Uart[];
  override readonly migration: MttyMigration | undefined;
  override readonly dmaLogging: DmaLogging | undefined;
  readonly #card: 1 | 2;
  readonly #config = new ConfigSpace();
  readonly #interrupts: MttyInterrupts | OlderMttyInterrupts;
  /** A card with one port has the second's registers all the same, behind a BAR of no size. */
  readonly #registers: readonly Uart[];

  constructor(uuid: string, kernel: KernelProfile, ports: 1 | 2) {
    super(uuid, kernel, VFIO_PCI_NUM_REGIONS);
    this.#card = ports;
    this.#registers = [0, 1].map(() => new Uart(() => this.#interrupts.trigger()));
    this.ports = this.#registers.slice(0, ports);
    this.#interrupts = kernel.mttyMigrates ? new MttyInterrupts() : new OlderMttyInterrupts();
    this.migration = kernel.mttyMigrates ? new MttyMigration(this) : undefined;
    this.dmaLogging = kernel.mttyMigrates ? logging : undefined;
    this.#identify();
  }

  protected override region(index: number): RegionPlace | number {
    if (index >= VFIO_PCI_NUM_REGIONS) return -errno.EINVAL;
    let size = 0;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) size = configSize;
    else if (index === VFIO_PCI_BAR0_REGION_INDEX || (index === VFIO_PCI_BAR1_REGION_INDEX && this.#card === 2)) size = barSize;
    return { size, offset: index * regionSpan, flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE };
  }

  protected override irqInfo(info: { readonly index: number; flags: number; count: number }): number {
    // The older driver lists an interrupt that never comes.
    const requests = info.index === VFIO_PCI_REQ_IRQ_INDEX && !this.kernel.mttyMigrates;
    if (info.index !== VFIO_PCI_INTX_IRQ_INDEX && info.index !== VFIO_PCI_MSI_IRQ_INDEX && !requests) return -errno.EINVAL;
    info.count = 1;
    info.flags = VFIO_IRQ_INFO_EVENTFD;
    if (info.index === VFIO_PCI_INTX_IRQ_INDEX) info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
    else info.flags |= VFIO_IRQ_INFO_NORESIZE;
    return 0;
  }

  protected override request(request: number, argument: Argument, fds: FdTable): number {
    switch (request) {
      case VFIO_DEVICE_SET_IRQS.number: {
        const set = takeIrqSet(argument, VFIO_PCI_NUM_IRQS, () => this.irqs);
        return typeof set === 'number' ? set : this.#interrupts.set(set, fds);
      }
      case VFIO_DEVICE_RESET.number:
        // It ends a migration, and leaves the registers as they are.
        this.migration?.reset();
        return 0;
      default:
        return -errno.ENOTTY;
    }
  }

  /** A state outlasts who set it; the files that belong to it do not. */
  protected override lastClosed(): void {
    this.migration?.closeFiles();
    this.#interrupts.release();
  }

  protected override access(piece: Uint8Array, position: number, write: boolean): boolean {
    const index = Math.floor(position / regionSpan);
    // The driver's registers know sixteen bits of the offset.
    const offset = (position % regionSpan) & 0xffff;
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
      if (write) this.#writeConfig(offset, piece);
      else this.#config.read(piece, position % regionSpan);
      return true;
    }
    if (index > VFIO_PCI_BAR5_REGION_INDEX) return false;
    // An access of several bytes is one of the first. The real driver has no third port, and looks for one in what follows.
    const port = this.#registers[index];
    if (write) port?.write(offset, piece[0] ?? 0);
    else piece[0] = port?.read(offset) ?? 0;
    return true;
  }

  #identify(): void {
    const config = this.#config;
    config.set16(PCI_VENDOR_ID, 0x4348);
    config.set16(PCI_DEVICE_ID, 0x3253);
    config.set16(PCI_COMMAND, 0x0001);
    config.set16(PCI_STATUS, 0x0200);
    config.set8(PCI_CLASS_REVISION, 0x10);
    // A serial controller, compatible to the 16550.
    config.set8(PCI_CLASS_PROG, 0x02);
    config.set8(PCI_CLASS_PROG + 2, 0x07);
    for (let port = 0; port < this.#card; port += 1) config.set32(PCI_BASE_ADDRESS_0 + 4 * port, 1);
    config.set16(PCI_SUBSYSTEM_VENDOR_ID, 0x4348);
    config.set16(PCI_SUBSYSTEM_ID, 0x3253);
    config.set8(PCI_INTERRUPT_PIN, 1);
    for (const [at, value] of [
      [0x40, 0x23],
      [0x43, 0x80],
      [0x44, 0x23],
      [0x48, 0x23],
      [0x4c, 0x23],
    ] as const)
      config.set8(at, value);
    [...'PCI Serial/UART'].forEach((letter, index) => config.set8(0x60 + index, letter.charCodeAt(0)));
  }

  /** BARs and the interrupt line; all else is read-only. */
  #writeConfig(offset: number, piece: Uint8Array): void {
    const bar = (offset - PCI_BASE_ADDRESS_0) / 4;
    if (offset === PCI_INTERRUPT_LINE) this.#config.set8(offset, piece[0] ?? 0);
    else if (bar === 0 || (bar === 1 && this.#card === 2)) {
      const value = word(piece);
      const masked = value === 0xffff_ffff ? (value & -barSize) >>> 0 : value;
      this.#config.set32(offset, (masked | (this.#config.get8(offset) & 3)) >>> 0);
    } else if (bar === 1 || bar === 2 || bar === 3 || bar === 4) this.#config.set32(offset, 0);
  }
}

export function mtty(kernel: KernelProfile): MdevDriver {
  let available = allPorts;
  const type = (ports: 1 | 2, title: string): MdevDriver['types'][number] => ({
    name: String(ports),
    title,
    available: () => Math.floor(available / ports),
    create: (uuid) => {
      if (available < ports) return -errno.ENOSPC;
      available -= ports;
      return new Mtty(uuid, kernel, ports);
    },
    removed: () => {
      available += ports;
    },
    attributes: (uuid) => ({ sample_mdev_dev: `This is MDEV ${uuid}` }),
  });
  return { name: 'mtty', types: [type(1, 'Single port serial'), type(2, 'Dual port serial')] };
}
