import { errno } from '../abi/errno.js';
import { PCI_COMMAND_MASTER, PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_ARI } from '../abi/pci.js';
import { rootAccess } from './file-node.js';
import type { GroupTable } from './group-table.js';
import type { IommuGroup } from './iommu-group.js';
import type { PciFunction } from './pci/function.js';
import { VfioPciDevice, type PciPlace } from './vfio-pci/device.js';
import type { KernelProfile } from './profile.js';
import { resetByBus } from './vfio-pci/reset.js';

/** A PCI function in the machine: where it is, its group, and the driver that has it. */
export class PciSlot implements PciPlace {
  readonly address: string;
  /** Its folder below /sys. */
  readonly path: string;
  readonly pciFunction: PciFunction;
  /** The driver a host would give it when nothing overrides. */
  readonly hostDriver: string | undefined;
  /** What /sys/bus/pci/devices/ADDRESS/driver_override says. */
  driverOverride: string | undefined;
  /** The physical function it is a virtual one of. */
  readonly physical: PciSlot | undefined;
  readonly #kernel: KernelProfile;
  readonly #groups: GroupTable;
  readonly #slots: readonly PciSlot[];
  #group: IommuGroup | undefined;
  #driver: string | undefined;
  #vfio: VfioPciDevice | undefined;
  #vfioName: string | undefined;

  /** `slots` are the machine's, this one among them once it is there; `group` its IOMMU group: undefined without an IOMMU. */
  constructor(
    { address, pciFunction, hostDriver, physical }: Pick<PciSlot, 'address' | 'pciFunction' | 'hostDriver' | 'physical'>,
    machine: {
      readonly kernel: KernelProfile;
      readonly groups: GroupTable;
      readonly group: IommuGroup | undefined;
      readonly slots: readonly PciSlot[];
    },
  ) {
    this.address = address;
    this.path = `devices/pci0000:00/${address}`;
    this.pciFunction = pciFunction;
    this.hostDriver = hostDriver;
    this.physical = physical;
    this.#slots = machine.slots;
    this.#kernel = machine.kernel;
    this.#groups = machine.groups;
    this.#enter(machine.group);
    const { virtualFunctionsAt } = pciFunction;
    // Behind a port, the kernel lets a device have functions of any number.
    if (virtualFunctionsAt !== undefined && this.bus !== undefined)
      pciFunction.writeConfig(virtualFunctionsAt + PCI_SRIOV_CTRL, 2, PCI_SRIOV_CTRL_ARI);
  }

  /** All functions of its bus, where the bus can be reset: one behind a bridge. */
  get bus(): readonly PciSlot[] | undefined {
    const bus = this.address.slice(0, 'dddd:bb'.length);
    return bus.endsWith(':00') ? undefined : this.#slots.filter(({ address }) => address.startsWith(bus));
  }

  get hasVirtualFunctions(): boolean {
    return this.#slots.some(({ physical }) => physical === this);
  }

  /** Without an IOMMU there is none but while vfio-pci has the device. */
  get group(): IommuGroup | undefined {
    return this.#group;
  }

  get driver(): string | undefined {
    return this.#driver;
  }

  /** The device as vfio-pci drives it, while it does. */
  get vfio(): VfioPciDevice | undefined {
    return this.#vfio;
  }

  /** What it is called among the devices that VFIO has. */
  get vfioName(): string | undefined {
    return this.#vfioName;
  }

  get #hasNode(): boolean {
    return this.#group !== undefined && this.#groups.givesNodes(this.#group);
  }

  /** The name, if it has a node of its own in /dev/vfio/devices. */
  get node(): string | undefined {
    return this.#hasNode ? this.#vfioName : undefined;
  }

  /** The driver's probe: 0 or -errno. */
  bind(driver: string): number {
    if (driver === 'vfio-pci') {
      if (this.#group === undefined) this.#enter(this.#groups.makeUnsafe());
      if (this.#group === undefined) return -errno.EINVAL;
      this.#vfio = new VfioPciDevice(this, this.#kernel);
      this.#vfioName = this.#groups.nodes.add(this.#vfio, this.#group, this.#hasNode);
    }
    this.#driver = driver;
    return 0;
  }

  /** The platform restores what it configured; bus mastering is the driver's, and stays off. */
  hotReset(): void {
    this.resetWithBus();
    this.pciFunction.command &= ~PCI_COMMAND_MASTER;
  }

  resetWithBus(): void {
    this.#vfio?.revokeMemory();
    resetByBus(this.pciFunction);
  }

  unbind(): void {
    this.#driver = undefined;
    this.#vfio = undefined;
    if (this.#vfioName !== undefined) this.#groups.nodes.remove(this.#vfioName);
    this.#vfioName = undefined;
    const group = this.#group;
    if (group === undefined || group.present) return;
    group.opened?.revoke();
    group.access = rootAccess(0o600);
    if (group.kind !== 'noiommu') return;
    this.#groups.remove(group);
    this.#group = undefined;
  }

  /** Takes it out of the machine. It has no driver any more. */
  remove(): void {
    const group = this.#group;
    this.#group = undefined;
    if (group === undefined) return;
    group.slots.splice(group.slots.indexOf(this), 1);
    if (group.slots.length === 0) this.#groups.remove(group);
  }

  #enter(group: IommuGroup | undefined): void {
    this.#group = group;
    group?.slots.push(this);
  }
}
