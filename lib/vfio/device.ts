import type { Capability } from '../abi/chain.js';
import type { Request } from '../abi/ioctl.js';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../abi/pci.js';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  VFIO_DEVICE_INFO_CAP_ZPCI_BASE,
  VFIO_DEVICE_INFO_CAP_ZPCI_GROUP,
  VFIO_DEVICE_INFO_CAP_ZPCI_PFIP,
  VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
  vfio_device_info,
  vfio_device_info_cap_pci_atomic_comp,
} from '../abi/vfio/device.js';
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_CLEAR_MASTER,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_SET_MASTER,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  vfio_device_feature_bus_master,
  vfio_device_feature_zpci_err,
  vfio_device_low_power_entry_with_wakeup,
} from '../abi/vfio/feature.js';
import { VFIO_DEVICE_FEATURE_MIGRATION } from '../abi/vfio/migration.js';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../abi/vfio/reset.js';
import {
  vfio_device_info_cap_zpci_base,
  vfio_device_info_cap_zpci_group,
  vfio_device_info_cap_zpci_pfip,
  vfio_device_info_cap_zpci_util,
} from '../abi/vfio/zdev.js';
import { adopt } from '../kernel/adopt.js';
import { askInfo, findCapability } from '../kernel/answer.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { KernelError } from '../kernel/error.js';
import type { Kernel, Mmio } from '../kernel/kernel.js';
import { finishAll, Resource, together } from '../kernel/resource.js';
import { exportBar, type BarRange, type DmaBuf } from './dma-buf.js';
import { DmaLog, type DmaLogOptions } from './dma-log.js';
import { Features } from './features.js';
import { Graphics } from './graphics.js';
import { readHotResetInfo, requestHotReset, type HotResetInfo } from './hot-reset.js';
import { Interrupt } from './interrupt.js';
import { interruptIndex, Interrupts, type InterruptName } from './interrupts.js';
import { IoEventfd, type IoEventfdOptions } from './ioeventfd.js';
import { Migration } from './migration.js';
import { Region } from './region.js';
import { uuidBytes } from './uuid.js';

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
  /** The sizes, in bits, of the atomic operations that the root port completes for the device. Linux 6.5. */
  readonly atomicCompletions: readonly (32 | 64 | 128)[];
  /** What a PCI device on s390 says of itself; each part where the kernel tells it. Linux 5.10. */
  readonly zpci: ZpciInfo;
  readonly capabilities: readonly Capability[];
}

/** The capabilities of linux/vfio_zdev.h, with the header's own names. */
export interface ZpciInfo {
  readonly base: ReturnType<typeof vfio_device_info_cap_zpci_base.copy> | undefined;
  readonly group: ReturnType<typeof vfio_device_info_cap_zpci_group.copy> | undefined;
  readonly util: ReturnType<typeof vfio_device_info_cap_zpci_util.copy> | undefined;
  readonly pfip: ReturnType<typeof vfio_device_info_cap_zpci_pfip.copy> | undefined;
}

/**
 * An open device. It owns its regions and interrupts. Closing it turns interrupts and bus mastering off, unmaps its
 * regions, and closes it.
 */
export class Device extends Resource {
  /** '0000:01:00.0' */
  readonly address: string;
  readonly info: DeviceInfo;
  /** Device features by number; those with a name have methods of their own. */
  readonly features: Features;
  readonly #descriptor: Descriptor;
  readonly #regions = new Map<number, Region>();
  readonly #interrupts = new Map<InterruptName | number, Interrupts>();
  /** Where bus mastering was turned on, until it is off again. */
  #mastering: (() => void) | undefined;
  #migration: Migration | undefined;

  /** Takes over an open device fd. `Group.openDevice`, `Container.adoptDevice` and `openDevice` are the ways to it. @internal */
  constructor(descriptor: Descriptor, owner?: Resource) {
    owner?.assertOpen();
    const info = readInfo(descriptor);
    super(`Device ${descriptor.path}`, owner);
    this.address = descriptor.path;
    this.#descriptor = descriptor;
    this.info = info;
    this.features = new Features(descriptor);
  }

  /** The fd, for requests this class has no method for. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** A request this class has no method for. @throws KernelError */
  ioctl(request: Request, argument?: number | Uint8Array): number {
    return this.#descriptor.ioctl(request, argument);
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

  /** One kind of interrupt: its name on a PCI device, or its index on any. */
  interrupt(which: InterruptName | number): Interrupts {
    this.assertOpen();
    const name = typeof which === 'number' ? (interruptName(which) ?? which) : which;
    const known = this.#interrupts.get(name);
    if (known !== undefined && !known.closed) return known;
    const interrupts = new Interrupts(this, this.#descriptor, name);
    this.#interrupts.set(name, interrupts);
    return interrupts;
  }

  /**
   * Calls the listener when the host wants the device back, with how often it asked since the last time. Whoever asks
   * waits until the device is closed. Returns what ends the listening. The REQ interrupt, Linux 4.0.
   */
  onRequest(listener: (count: number) => void): () => void {
    return this.#listen('req', listener);
  }

  /** Calls the listener after an uncorrectable error on the bus. Returns what ends the listening. The ERR interrupt, Linux 3.10. */
  onError(listener: (count: number) => void): () => void {
    return this.#listen('err', listener);
  }

  /**
   * Lets the device do DMA and send MSI, which the kernel forbids at each open. Do it when the device's own registers
   * are in order; closing takes it back. On PCI by the command register, elsewhere by the feature BUS_MASTER (Linux 6.7).
   */
  enableBusMaster(): void {
    const set = this.info.isPci ? commandSetter(this.config) : (on: boolean) => this.#busMasterFeature(on);
    set(true);
    this.#mastering = () => set(false);
  }

  disableBusMaster(): void {
    const set = this.info.isPci ? commandSetter(this.config) : (on: boolean) => this.#busMasterFeature(on);
    set(false);
    this.#mastering = undefined;
  }

  /** VFIO_DEVICE_RESET. Registers lose their contents; interrupts stay set up. */
  reset(): void {
    this.#descriptor.ioctl(VFIO_DEVICE_RESET);
  }

  /**
   * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: the functions that a reset of the device's bus or slot takes along. Linux 3.12.
   * @throws KernelError ENODEV where the bus cannot be reset.
   */
  hotResetInfo(): HotResetInfo {
    return readHotResetInfo(this.#descriptor);
  }

  /**
   * VFIO_DEVICE_PCI_HOT_RESET: resets the device's bus or slot, with every function on it. `groups` are those of all of
   * them, opened by this process; a device that was opened by its own node takes none. Linux 3.12.
   * @throws KernelError EINVAL when a function is not this process's.
   */
  hotReset(groups: readonly { readonly fd: number }[] = []): void {
    requestHotReset(
      this.#descriptor,
      groups.map(({ fd }) => fd),
    );
  }

  /** Has the kernel write a register whenever an eventfd is signalled, until it is closed. VFIO_DEVICE_IOEVENTFD, Linux 4.17. */
  writeOnSignal(options: IoEventfdOptions): IoEventfd {
    return IoEventfd.create(this, this.#descriptor, this.region(options.bar).info.offset, options);
  }

  /** Taking the device's state out of it and into another; undefined where its driver cannot. Linux 5.18. */
  get migration(): Migration | undefined {
    if (this.#migration === undefined && this.features.has(VFIO_DEVICE_FEATURE_MIGRATION, 'get'))
      this.#migration = new Migration(this, this.#descriptor, this.features);
    return this.#migration;
  }

  /** Has the device remember which pages it writes, until that is closed. Linux 6.1. */
  logDma(options: DmaLogOptions): DmaLog {
    this.assertOpen();
    return DmaLog.start(this, this.#descriptor.kernel, this.features, options);
  }

  /** Lets the device sleep until something uses it, again and again, until `keepAwake()`. Linux 6.1. */
  allowSleep(): void {
    this.features.set(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
  }

  /**
   * Lets the device sleep once. The interrupt it returns comes when the device wakes, by itself or because something
   * used it; then it stays awake. Close the interrupt when done. Linux 6.1.
   */
  allowSleepUntilWakeup(): Interrupt {
    return together((undo) => {
      const wakeup = undo(new Interrupt(this, this.#descriptor.kernel, `Wake-up of ${this.address}`, undefined));
      const entry = vfio_device_low_power_entry_with_wakeup.create();
      entry.wakeup_eventfd = wakeup.fd;
      this.features.set(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, entry.bytes);
      return wakeup;
    });
  }

  keepAwake(): void {
    this.features.set(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT);
  }

  /**
   * Sets the UUID that whoever opens one of this physical function's virtual ones must know, as
   * `group.openDevice(address, { vfToken })`. Linux 5.7.
   */
  setVfToken(uuid: string): void {
    this.features.set(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, uuidBytes(uuid, 'uuid'));
  }

  /** Makes a dma-buf over pages of a BAR, for other devices to reach. Linux 6.19. */
  exportBar(bar: number, ranges: readonly BarRange[] = [{ offset: 0n, size: BigInt(this.region(bar).size) }]): DmaBuf {
    return exportBar(this, this.#descriptor.kernel, this.features, bar, ranges);
  }

  /** The picture of a virtual graphics device. Linux 4.16. */
  get graphics(): Graphics {
    return new Graphics(this, this.#descriptor);
  }

  /** The pending error record of a PCI device on s390, as the machine gives it; undefined when there is none. Linux 7.3. */
  zpciError(): Uint8Array | undefined {
    const length = this.info.zpci.base?.ccdf_err_length ?? 0;
    // Memory of no bytes would have no address.
    const record = new ArrayBuffer(Math.max(length, 1));
    const request = vfio_device_feature_zpci_err.create();
    request.data = this.#descriptor.kernel.addressOf(record);
    try {
      this.features.get(VFIO_DEVICE_FEATURE_ZPCI_ERROR, request.bytes);
      return new Uint8Array(record, 0, length);
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENOMSG') return undefined;
      throw error;
    }
  }

  #listen(name: 'req' | 'err', listener: (count: number) => void): () => void {
    const interrupts = this.interrupt(name);
    const [interrupt = interrupts.enable()[0]] = interrupts.vectors;
    interrupt?.on('signal', listener);
    return () => interrupt?.off('signal', listener);
  }

  #busMasterFeature(on: boolean): void {
    const request = vfio_device_feature_bus_master.create();
    request.op = on ? VFIO_DEVICE_FEATURE_SET_MASTER : VFIO_DEVICE_FEATURE_CLEAR_MASTER;
    this.features.set(VFIO_DEVICE_FEATURE_BUS_MASTER, request.bytes);
  }

  protected override quiesce(): void {
    finishAll([...[...this.#interrupts.values()].map((interrupts) => () => interrupts.close()), () => this.#mastering?.()]);
  }

  protected override release(): void {
    this.#descriptor.close();
  }
}

/** A device's file that was opened elsewhere, by its group or bound to an open /dev/iommu. @throws KernelError for another file. */
export function adoptDeviceFile(kernel: Kernel, address: string, fd: number): Descriptor {
  const asked = vfio_device_info.create();
  asked.argsz = vfio_device_info.size;
  const file = { fd, what: `the file of device ${address}, out of a group in a container or bound to an open /dev/iommu`, path: address };
  return adopt(kernel, { ...file, request: VFIO_DEVICE_GET_INFO, argument: asked.bytes });
}

/** A device's interrupt is one object, whether it is asked for by name or by index. */
function interruptName(index: number): InterruptName | undefined {
  return (Object.keys(interruptIndex) as InterruptName[]).find((name) => interruptIndex[name] === index);
}

function commandSetter(config: Mmio): (on: boolean) => void {
  return (on) => {
    const command = config.read16(PCI_COMMAND);
    config.write16(PCI_COMMAND, on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
  };
}

function readInfo(descriptor: Descriptor): DeviceInfo {
  const { info, capabilities } = askInfo(descriptor, VFIO_DEVICE_GET_INFO, vfio_device_info);
  const atomics = findCapability(capabilities, VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, vfio_device_info_cap_pci_atomic_comp)?.flags ?? 0;
  return {
    flags: info.flags,
    isPci: (info.flags & VFIO_DEVICE_FLAGS_PCI) !== 0,
    resettable: (info.flags & VFIO_DEVICE_FLAGS_RESET) !== 0,
    regions: info.num_regions,
    interrupts: info.num_irqs,
    atomicCompletions: ([32, 64, 128] as const).filter((_, bit) => (atomics & (1 << bit)) !== 0),
    zpci: {
      base: findCapability(capabilities, VFIO_DEVICE_INFO_CAP_ZPCI_BASE, vfio_device_info_cap_zpci_base),
      group: findCapability(capabilities, VFIO_DEVICE_INFO_CAP_ZPCI_GROUP, vfio_device_info_cap_zpci_group),
      util: findCapability(capabilities, VFIO_DEVICE_INFO_CAP_ZPCI_UTIL, vfio_device_info_cap_zpci_util),
      pfip: findCapability(capabilities, VFIO_DEVICE_INFO_CAP_ZPCI_PFIP, vfio_device_info_cap_zpci_pfip),
    },
    capabilities,
  };
}
