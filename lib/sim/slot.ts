import type { IommuGroup } from './iommu-group.js';
import type { PciFunction } from './pci/function.js';
import { VfioPciDevice } from './vfio-pci/device.js';
import type { KernelProfile } from './profile.js';

/** A PCI function in the machine: where it is, its group, and the driver that has it. */
export class PciSlot {
  readonly address: string;
  /** Its folder below /sys. */
  readonly path: string;
  readonly group: IommuGroup;
  readonly pciFunction: PciFunction;
  /** The driver a host would give it when nothing overrides. */
  readonly hostDriver: string | undefined;
  /** What /sys/bus/pci/devices/ADDRESS/driver_override says. */
  driverOverride: string | undefined;
  readonly #kernel: KernelProfile;
  #driver: string | undefined;
  #vfio: VfioPciDevice | undefined;

  constructor(address: string, group: IommuGroup, pciFunction: PciFunction, hostDriver: string | undefined, kernel: KernelProfile) {
    this.address = address;
    this.path = `devices/pci0000:00/${address}`;
    this.group = group;
    this.pciFunction = pciFunction;
    this.hostDriver = hostDriver;
    this.#kernel = kernel;
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
    this.#vfio = driver === 'vfio-pci' ? new VfioPciDevice(this.address, this.pciFunction, this.#kernel) : undefined;
  }

  unbind(): void {
    this.#driver = undefined;
    this.#vfio = undefined;
  }
}
