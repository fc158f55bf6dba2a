import { Clock } from './clock.js';
import { DmaPort, type DmaFault } from './dma.js';
import { FileTree } from './files.js';
import { freeNumber, IommuGroup } from './iommu-group.js';
import { SimulatedKernel } from './kernel.js';
import { mediatedDrivers, type MediatedDriver } from './mdev/drivers.js';
import { MdevBus } from './mdev/parent.js';
import type { PciFunction } from './pci/function.js';
import type { Platform } from './platform.js';
import { iommuKinds, iommuProfile, kernels, type IommuKind, type KernelVersion } from './profile.js';
import { PciSlot } from './slot.js';
import { fileTree } from './sysfs.js';
import { UserMemory } from './user-memory.js';
import { expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';

export interface DeviceOptions {
  /** The device model: `new Edu()`. */
  readonly model: PciFunction;
  /** Its address; by default the next free one from 0000:00:03.0 on. */
  readonly address?: string;
  /** The number of its IOMMU group; by default a group of its own. */
  readonly group?: number;
  /** The driver that has it now: a name, or null for none. Default: 'vfio-pci'. */
  readonly driver?: string | null;
  /** The driver the host would give it. Default: none. */
  readonly hostDriver?: string;
}

export interface MachineOptions {
  /** The kernel to imitate. Default: the newest known. */
  readonly kernel?: KernelVersion;
  /** The machine's IOMMU. Default: 'intel'. */
  readonly iommu?: IommuKind;
  readonly devices?: readonly DeviceOptions[];
  /** Drivers of mediated devices, those of the kernel's samples: ['mtty', 'mdpy']. Default: none. */
  readonly mediated?: readonly MediatedDriver[];
  /** vfio_iommu_type1.allow_unsafe_interrupts. Default: false. */
  readonly allowUnsafeInterrupts?: boolean;
  /** vfio_iommu_type1.dma_entry_limit: mappings a container takes. Default: 65535. */
  readonly dmaEntryLimit?: number;
}

/**
 * A simulated machine: an IOMMU, devices, and a kernel that answers as Linux does. Needs no privileges, no addon and no
 * particular operating system.
 */
export class Machine {
  readonly kernel: Kernel;
  /** Device accesses that reached no memory, oldest first. */
  readonly faults: DmaFault[] = [];
  readonly #slots: readonly PciSlot[];
  readonly #mediated: MdevBus;

  constructor({
    kernel = '7.3',
    iommu = 'intel',
    devices = [],
    mediated = [],
    allowUnsafeInterrupts = false,
    dmaEntryLimit = 65535,
  }: MachineOptions = {}) {
    if (!Object.hasOwn(kernels, kernel)) throw expected(`one of ${Object.keys(kernels).join(', ')}`, 'kernel', kernel);
    if (!iommuKinds.includes(iommu)) throw expected(`one of ${iommuKinds.join(', ')}`, 'iommu', iommu);
    for (const name of mediated)
      if (!Object.hasOwn(mediatedDrivers, name)) throw expected(`one of ${Object.keys(mediatedDrivers).join(', ')}`, 'mediated', name);
    const platform: Platform = {
      kernel: kernels[kernel],
      iommu: iommuProfile(iommu, kernels[kernel]),
      memory: new UserMemory(),
      allowUnsafeInterrupts,
      entryLimit: dmaEntryLimit,
    };
    const groups = new Map<number, IommuGroup>();
    const slots: PciSlot[] = [];
    const clock = new Clock();
    const place = barPlacer();
    for (const options of devices) {
      const address = options.address ?? freeAddress(slots);
      if (!/^[0-9a-f]{4}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/.test(address))
        throw expected("a PCI address like '0000:00:03.0'", 'address', address);
      if (slots.some((slot) => slot.address === address)) throw expected('an address no other device has', 'address', address);
      const number = options.group ?? freeNumber(groups.values());
      const group = groups.get(number) ?? new IommuGroup(number);
      groups.set(number, group);
      const slot = new PciSlot(address, group, options.model, options.hostDriver, platform.kernel);
      slots.push(slot);
      group.slots.push(slot);
      const mastering = (): boolean => options.model.mastering;
      options.model.connect(new DmaPort(address, group, mastering, this.faults), clock, place);
      const driver = options.driver === undefined ? 'vfio-pci' : options.driver;
      if (driver === 'vfio-pci' && options.hostDriver !== undefined) slot.driverOverride = driver;
      if (driver !== null) slot.bind(driver);
    }
    const all = [...groups.values()];
    this.#slots = slots;
    this.#mediated = new MdevBus(
      [...new Set(mediated)].map((name) => mediatedDrivers[name](platform.kernel)),
      all,
    );
    const tree = fileTree({ platform, slots, groups: all, mediated: this.#mediated });
    this.kernel = new SimulatedKernel(platform, all, new FileTree(tree));
  }

  /**
   * Takes a device from its driver, as somebody else's `echo ADDRESS > …/unbind` would, or with a mediated device's UUID
   * removes that, as `echo 1 > …/remove` would. Whoever has it open is asked for it by the REQ interrupt, if it has one;
   * resolves when it is let go.
   */
  async unbind(address: string): Promise<void> {
    const slot = this.#slots.find((candidate) => candidate.address === address);
    const device = slot === undefined ? this.#mediated.find(address) : slot.vfio;
    if (slot === undefined && device === undefined) throw expected('the address of a device of the machine', 'address', address);
    await new Promise<void>((resolve) => {
      if (device === undefined) resolve();
      else device.takeBack(resolve);
    });
    if (slot === undefined) this.#mediated.remove(address);
    else slot.unbind();
  }
}

function freeAddress(slots: readonly PciSlot[]): string {
  for (let device = 3; device < 32; device += 1) {
    const address = `0000:00:${device.toString(16).padStart(2, '0')}.0`;
    if (slots.every((slot) => slot.address !== address)) return address;
  }
  throw new RangeError('The bus is full; give the other devices addresses');
}

/** Gives each BAR a place below 4 GiB, aligned to its size as PCI wants it. */
function barPlacer(): (size: number) => number {
  let next = 0xfe00_0000;
  return (size) => {
    next = Math.floor((next - size) / size) * size;
    return next;
  };
}
