import { PCI_COMMAND_MASTER } from '../abi/pci.js';
import type { IommuGroup } from './iommu-group.js';
import type { PciFunction } from './pci/function.js';
import { VfioPciDevice, type PciPlace } from './vfio-pci/device.js';
import type { KernelProfile } from './profile.js';

/** A PCI function in the machine: where it is, its group, and the driver that has it. */
export class PciSlot implements PciPlace {
  readonly address: string;
  readonly group: IommuGroup;
  readonly pciFunction: PciFunction;
  /** The driver a host would give it when nothing overrides. */
  readonly hostDriver: string | undefined;
  /** What /sys/bus/pci/devices/ADDRESS/driver_override says. */
  driverOverride: string | undefined;
  /** The physical function it is a virtual one of. */
  readonly physical: PciSlot | undefined;
  readonly #kernel: KernelProfile;
  readonly #all: readonly PciSlot[];
  #driver: string | undefined;
  #vfio: VfioPciDevice | undefined;

  /** `all` are the machine's slots, this one among them once it is there. */
  constructor(
    { address, group, pciFunction, hostDriver, physical }: Pick<PciSlot, 'address' | 'group' | 'pciFunction' | 'hostDriver' | 'physical'>,
    kernel: KernelProfile,
    all: readonly PciSlot[],
  ) {
    this.address = address;
    this.group = group;
    this.pciFunction = pciFunction;
    this.hostDriver = hostDriver;
    this.physical = physical;
    this.#kernel = kernel;
    this.#all = all;
  }

  /** All functions of its bus, where the bus can be reset: one behind a bridge. */
  get bus(): readonly PciSlot[] | undefined {
    const bus = this.address.slice(0, 'dddd:bb'.length);
    return bus.endsWith(':00') ? undefined : this.#all.filter(({ address }) => address.startsWith(bus));
  }

  get driver(): string | undefined {
    return this.#driver;
  }

  /** The device as vfio-pci drives it, while it does. */
  get vfio(): VfioPciDevice | undefined {
    return this.#vfio;
  }

  bind(driver: string): void {
    this.#driver = driver;
    this.#vfio = driver === 'vfio-pci' ? new VfioPciDevice(this, this.#kernel) : undefined;
  }

  /** The platform restores what it configured; bus mastering is the driver's, and stays off. */
  hotReset(): void {
    this.resetRegisters();
    this.pciFunction.command &= ~PCI_COMMAND_MASTER;
  }

  resetRegisters(): void {
    this.pciFunction.resetRegisters();
  }

  unbind(): void {
    this.#driver = undefined;
    this.#vfio = undefined;
  }
}
