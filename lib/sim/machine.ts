import { Clock, type TimeKind } from './clock.js';
import { DmaPort, type CacheContents, type DmaFault } from './dma.js';
import { FileTree } from './files.js';
import { GroupTable } from './group-table.js';
import type { Operation } from './iommufd/operation.js';
import { checkIommuOptions, iommuProfile, type IommuOptions } from './iommu-options.js';
import { SimulatedKernel } from './kernel.js';
import { mediatedDrivers, type MediatedDriver } from './mdev/drivers.js';
import { MachineDevice } from './machine-device.js';
import { MdevBus } from './mdev/parent.js';
import type { PciFunction } from './pci/function.js';
import { LockedMemory, type ContainerProvider, type Platform } from './platform.js';
import { iommuFeatures as knownFeatures, iommuKinds, kernels, type IommuFeature, type IommuKind, type KernelVersion } from './profile.js';
import { PhysicalMemory } from './physical-memory.js';
import { PlainFiles, type PlainFile } from './plain-files.js';
import { Process } from './process.js';
import { PciSlot } from './slot.js';
import { fileTree } from './sysfs/tree.js';
import { UserMemory } from './user-memory.js';
import type { FaultChannel } from './vsva-2020/fault-channel.js';
import { Vsva2020 } from './vsva-2020/machine.js';
import { checkedInteger, expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';

export interface DeviceOptions {
  /** The device model: `new Edu()`. */
  readonly model: PciFunction;
  /** Its address; by default the next free one from 0000:00:03.0 on. */
  readonly address?: string;
  /** The number of its IOMMU group; by default a group of its own. Not on a machine without an IOMMU. */
  readonly group?: number;
  /** The driver that has it now: a name, or null for none. Default: 'vfio-pci', or none where that would not take it. */
  readonly driver?: string | null;
  /** The driver the host would give it. Default: none. */
  readonly hostDriver?: string;
  /** The address of the physical function it is a virtual one of. That device comes before it in the list. */
  readonly physicalFunction?: string;
}

export interface MachineOptions {
  /** The kernel to imitate. Default: the newest known. */
  readonly kernel?: KernelVersion;
  /** The machine's IOMMU: a kind, as QEMU emulates it, or one with an aperture, pages and reserved ranges of its own. Default: 'intel'. */
  readonly iommu?: IommuKind | IommuOptions;
  /** Who answers as /dev/vfio/vfio: VFIO, or iommufd, on a kernel built without VFIO's own container. Default: 'vfio'. */
  readonly container?: ContainerProvider;
  /**
   * What the IOMMU can do beside translating, as newer hardware does; 'intel', 'amd' and 'smmuv3' can have it. Default: nothing, as
   * the ones that QEMU emulates.
   */
  readonly iommuFeatures?: readonly IommuFeature[];
  readonly devices?: readonly DeviceOptions[];
  /** Drivers of mediated devices, those of the kernel's samples: ['mtty', 'mdpy']. Default: none. */
  readonly mediated?: readonly MediatedDriver[];
  /** vfio_iommu_type1.allow_unsafe_interrupts. Default: false. */
  readonly allowUnsafeInterrupts?: boolean;
  /** vfio_iommu_type1.dma_entry_limit: mappings a container takes. Default: 65535. */
  readonly dmaEntryLimit?: number;
  /** RLIMIT_MEMLOCK: bytes the process may lock, which is all that is mapped. Default: no limit, as with CAP_IPC_LOCK. */
  readonly lockedMemoryLimit?: number;
  /**
   * vfio.enable_unsafe_noiommu_mode: without an IOMMU (`iommu: 'none'`), vfio-pci takes devices all the same, and they
   * reach all memory by physical address. Default: false.
   */
  readonly unsafeNoIommu?: boolean;
  /** The process has CAP_SYS_RAWIO, which no-IOMMU mode asks for. Default: true. */
  readonly rawIo?: boolean;
  /** The number of the user who makes the system calls, for what may be opened and written. Default: 0, root. */
  readonly user?: number;
  /**
   * Files of it, by paths without links in them, in place of those it has by itself or beside them: texts, symbolic links,
   * or null: there is none. `{ '/proc/cmdline': 'intel_iommu=off\n', '/proc/42/fd/3': { link: '/dev/vfio/1' } }`
   */
  readonly files?: Readonly<Record<string, PlainFile>>;
  /**
   * 'virtual': nothing happens by itself in the devices, but when `machine.clock` is moved, and a microsecond with each access
   * of a register. Default: 'real'.
   */
  readonly time?: TimeKind;
}

/** What a kernel built for tests has beside what Linux has. */
export interface TestKernel {
  /** Requests of /dev/iommu. */
  readonly iommufdOperations?: readonly Operation[];
}

/**
 * A simulated machine: an IOMMU, devices, and a kernel that answers as Linux does. Needs no privileges, no addon and no
 * particular operating system.
 */
export class Machine {
  readonly kernel: Kernel;
  /** When things happen in the devices. */
  readonly clock: Clock;
  /** Device accesses that reached no memory, oldest first. */
  readonly faults: DmaFault[] = [];
  readonly #slots: PciSlot[];
  readonly #vsva2020: Vsva2020 | undefined;
  readonly #platform: Platform;
  readonly #mediated: MdevBus;

  /** What a kernel for tests has more is for this package's own tests. */
  constructor(machine: MachineOptions = {}, { iommufdOperations = [] }: TestKernel = {}) {
    const {
      kernel = '7.3',
      iommu: wantedIommu = 'intel',
      container = 'vfio',
      iommuFeatures = [],
      devices = [],
      mediated = [],
      allowUnsafeInterrupts = false,
      dmaEntryLimit = 65535,
      lockedMemoryLimit,
      unsafeNoIommu = false,
      rawIo = true,
      user = 0,
      files = {},
      time = 'real',
    } = machine;
    if (!Object.hasOwn(kernels, kernel)) throw expected(`one of ${Object.keys(kernels).join(', ')}`, 'kernel', kernel);
    const iommuOptions = typeof wantedIommu === 'object' ? wantedIommu : { kind: wantedIommu };
    const iommu = iommuOptions.kind;
    if (!iommuKinds.includes(iommu)) throw expected(`one of ${iommuKinds.join(', ')}`, 'iommu', iommu);
    if (time !== 'real' && time !== 'virtual') throw expected("'real' or 'virtual'", 'time', time);
    if (typeof wantedIommu === 'object') checkIommuOptions(wantedIommu);
    const containers: readonly ContainerProvider[] = iommu === 'spapr' || !kernels[kernel].hasIommufd ? ['vfio'] : ['vfio', 'iommufd'];
    if (!containers.includes(container)) throw expected(`one of ${containers.join(', ')}`, 'container', container);
    for (const name of iommuFeatures) {
      if (!knownFeatures.includes(name)) throw expected(`one of ${knownFeatures.join(', ')}`, 'iommuFeatures', name);
      if (!['intel', 'amd', 'smmuv3'].includes(iommu)) throw expected("'intel', 'amd' or 'smmuv3' with iommuFeatures", 'iommu', iommu);
    }
    for (const name of mediated)
      if (!Object.hasOwn(mediatedDrivers, name)) throw expected(`one of ${Object.keys(mediatedDrivers).join(', ')}`, 'mediated', name);
    // Most kernels for POWER have pages of 64 KiB.
    const memory = new UserMemory(iommu === 'spapr' ? 0x1_0000n : undefined);
    const physical = new PhysicalMemory(memory);
    const platform: Platform = {
      kernel: kernels[kernel],
      iommu: iommuProfile(iommuOptions, kernels[kernel], new Set(iommuFeatures)),
      memory,
      physical,
      container,
      allowUnsafeInterrupts,
      entryLimit: dmaEntryLimit,
      lockedMemory: new LockedMemory(lockedMemoryLimit),
      vsva2020: kernels[kernel].vsva2020 ? new Vsva2020() : undefined,
      unsafeNoIommu,
      rawIo,
      process: new Process(checkedInteger('user', user)),
    };
    const groups = new GroupTable(platform);
    const slots: PciSlot[] = [];
    const clock = (this.clock = new Clock(time));
    const place = barPlacer();
    for (const [index, options] of devices.entries()) {
      // A class, or a model that is not inside { model }, is easily given.
      if (typeof options?.model?.connect !== 'function')
        throw new TypeError(`Expected { model: new Edu() }, or another model, for devices[${index}]`);
      const address = options.address ?? freeAddress(slots);
      if (!/^[0-9a-f]{4}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/.test(address))
        throw expected("a PCI address like '0000:00:03.0'", 'address', address);
      if (slots.some((slot) => slot.address === address)) throw expected('an address no other device has', 'address', address);
      if (iommu === 'none' && options.group !== undefined) throw expected('no number without an IOMMU', 'group', options.group);
      const group = iommu === 'none' ? undefined : groups.ofIommu(options.group);
      const physicalFunction = slots.find((other) => other.address === options.physicalFunction);
      if (options.physicalFunction !== undefined && physicalFunction === undefined)
        throw expected('the address of a device before it', 'physicalFunction', options.physicalFunction);
      const slot = new PciSlot(
        { address, pciFunction: options.model, hostDriver: options.hostDriver, physical: physicalFunction },
        { kernel: platform.kernel, groups, group, slots },
      );
      slots.push(slot);
      const mastering = (): boolean => options.model.mastering;
      options.model.connect({
        dma: new DmaPort(address, group ?? { domain: physical, dmaStopped: false }, mastering, this.faults, options.model.faults),
        clock,
        place,
        integrated: /^.{4}:00:/.test(address),
      });
      const driver = options.driver === undefined ? 'vfio-pci' : options.driver;
      if (driver === 'vfio-pci' && options.hostDriver !== undefined) slot.driverOverride = driver;
      if (driver !== null && slot.bind(driver) < 0 && options.driver !== undefined)
        throw expected('no vfio-pci for a device without an IOMMU, unless unsafeNoIommu is set,', 'driver', driver);
    }
    this.#slots = slots;
    this.#vsva2020 = platform.vsva2020;
    this.#platform = platform;
    this.#mediated = new MdevBus(
      [...new Set(mediated)].map((name) => mediatedDrivers[name](platform.kernel)),
      groups,
    );
    const tree = fileTree({ platform, slots, groups, mediated: this.#mediated });
    this.kernel = new SimulatedKernel(platform, groups, new FileTree(tree, new PlainFiles(files), platform.process), iommufdOperations);
  }

  /** The process has CAP_SYS_RAWIO. It can be taken away, as setpriv(1) does, or given back. */
  get rawIo(): boolean {
    return this.#platform.rawIo;
  }

  set rawIo(allowed: boolean) {
    this.#platform.rawIo = allowed;
  }

  /** Who makes the system calls. It can change, as by setuid(2). */
  get user(): number {
    return this.#platform.process.user;
  }

  set user(user: number) {
    this.#platform.process.user = checkedInteger('user', user);
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

  /** One of its devices, by its address or its model, to have something go wrong with it. */
  device(which: string | PciFunction): MachineDevice {
    const slot = this.#slots.find(({ address, pciFunction }) => which === address || which === pciFunction);
    if (slot === undefined) throw expected('the address or the model of a device of the machine', 'which', which);
    return new MachineDevice(slot, async ({ address, pciFunction }) => {
      pciFunction.faults.silent = true;
      await this.unbind(address);
      slot.remove();
      if (this.#slots.includes(slot)) this.#slots.splice(this.#slots.indexOf(slot), 1);
    });
  }

  /**
   * Where the faults come out that a device's accesses with a PASID meet, and page responses go in: the proposal of
   * 2020, which kernel '6.12-vsva' has, declares their bytes and no request that moves them.
   */
  faultChannel(address: string): FaultChannel {
    const { address: device } = this.#slot(address);
    if (this.#vsva2020 === undefined) throw expected("a machine with kernel '6.12-vsva'", 'machine', 'one with another');
    return this.#vsva2020.channel(device);
  }

  /** How much is cached of what a guest's page tables say, in the device and in the IOMMU of its container. */
  cachedTranslations(address: string): CacheContents {
    const { group } = this.#slot(address);
    return group?.domain?.pasids?.cached?.(address) ?? { pasids: 0, translations: 0, deviceTranslations: 0 };
  }

  #slot(address: string): PciSlot {
    const slot = this.#slots.find((candidate) => candidate.address === address);
    if (slot === undefined) throw expected('the address of a device of the machine', 'address', address);
    return slot;
  }
}

function freeAddress(slots: readonly PciSlot[]): string {
  for (let device = 3; device < 32; device += 1) {
    const address = `0000:00:${device.toString(16).padStart(2, '0')}.0`;
    if (slots.every((slot) => slot.address !== address)) return address;
  }
  throw new RangeError('The bus is full; give the other devices addresses');
}

/** Gives each BAR a place below 4 GiB, or among the ports, aligned to its size as PCI wants it. */
function barPlacer(): (size: number, ports: boolean) => number {
  const next = { memory: 0xfe00_0000, ports: 0x1_0000 };
  return (size, ports) => {
    const kind = ports ? 'ports' : 'memory';
    next[kind] = Math.floor((next[kind] - size) / size) * size;
    return next[kind];
  };
}
