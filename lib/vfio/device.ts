import type { Capability } from '../abi/chain.js';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../abi/pci.js';
import { VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DEVICE_GET_INFO, vfio_device_info } from '../abi/vfio/device.js';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../abi/vfio/reset.js';
import { askInfo } from '../kernel/answer.js';
import type { Descriptor } from '../kernel/descriptor.js';
import type { Mmio } from '../kernel/kernel.js';
import { finishAll, Resource } from '../kernel/resource.js';
import { Interrupts, type InterruptName } from './interrupts.js';
import { Region } from './region.js';

/** What VFIO_DEVICE_GET_INFO says. */
export interface DeviceInfo {
  /** VFIO_DEVICE_FLAGS_…, as bits. */
  readonly flags: number;
  readonly isPci: boolean;
  /** `reset()` works. */
  readonly resettable: boolean;
  /** The highest region index plus one; some below may not exist. */
  readonly regions: number;
  /** The highest interrupt index plus one. */
  readonly interrupts: number;
  readonly capabilities: readonly Capability[];
}

/**
 * An open device. It owns its regions and interrupts. Closing it turns interrupts and bus mastering off, unmaps its
 * regions, and closes it.
 */
export class Device extends Resource {
  /** '0000:01:00.0' */
  readonly address: string;
  readonly info: DeviceInfo;
  readonly #descriptor: Descriptor;
  readonly #regions = new Map<number, Region>();
  readonly #interrupts = new Map<InterruptName, Interrupts>();
  /** Where bus mastering was turned on, until it is off again. */
  #mastering: Mmio | undefined;

  /** Takes over an open device fd. `Group.openDevice` and `openDevice` are the ways to it. */
  constructor(descriptor: Descriptor, owner?: Resource) {
    super(`Device ${descriptor.path}`, owner);
    this.address = descriptor.path;
    this.#descriptor = descriptor;
    const { info, capabilities } = askInfo(descriptor, VFIO_DEVICE_GET_INFO, vfio_device_info);
    this.info = {
      flags: info.flags,
      isPci: (info.flags & VFIO_DEVICE_FLAGS_PCI) !== 0,
      resettable: (info.flags & VFIO_DEVICE_FLAGS_RESET) !== 0,
      regions: info.num_regions,
      interrupts: info.num_irqs,
      capabilities,
    };
  }

  /** The fd, for requests this class has no method for. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** A region by its index; on PCI, 0 to 5 are the BARs. Asked of the kernel once. */
  region(index: number): Region {
    this.assertOpen();
    const known = this.#regions.get(index);
    if (known !== undefined && !known.closed) return known;
    const region = new Region(this, this.#descriptor, index);
    this.#regions.set(index, region);
    return region;
  }

  /** Configuration space. What may be written there, and what a write does, the kernel decides. */
  get config(): Mmio {
    return this.region(VFIO_PCI_CONFIG_REGION_INDEX).mmio;
  }

  /** One kind of interrupt. */
  interrupt(name: InterruptName): Interrupts {
    this.assertOpen();
    const known = this.#interrupts.get(name);
    if (known !== undefined && !known.closed) return known;
    const interrupts = new Interrupts(this, this.#descriptor, name);
    this.#interrupts.set(name, interrupts);
    return interrupts;
  }

  /**
   * Lets the device do DMA and send MSI, which the kernel forbids at each open. Do it when the device's own registers
   * are in order; closing takes it back.
   */
  enableBusMaster(): void {
    this.#setBusMaster(true);
  }

  disableBusMaster(): void {
    this.#setBusMaster(false);
  }

  /** VFIO_DEVICE_RESET. Registers lose their contents; interrupts stay set up. */
  reset(): void {
    this.#descriptor.ioctl(VFIO_DEVICE_RESET);
  }

  #setBusMaster(on: boolean): void {
    const { config } = this;
    setBusMaster(config, on);
    this.#mastering = on ? config : undefined;
  }

  protected override quiesce(): void {
    finishAll([
      ...[...this.#interrupts.values()].map((interrupts) => () => interrupts.close()),
      () => this.#mastering && setBusMaster(this.#mastering, false),
    ]);
  }

  protected override release(): void {
    this.#descriptor.close();
  }
}

function setBusMaster(config: Mmio, on: boolean): void {
  const command = config.read16(PCI_COMMAND);
  config.write16(PCI_COMMAND, on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
}
