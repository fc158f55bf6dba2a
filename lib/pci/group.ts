/** IOMMU groups: VFIO opens one when no driver of the host does DMA with any device of it. */
import { list, readLinkName, readTextIfAny, type WithFiles } from './sysfs.js';
import { devicesPath, type PciDevice } from './topology.js';

/** A device of an IOMMU group: of PCI, or of another bus, such as a platform's. */
export interface GroupMember {
  /** '0000:01:00.0', or what its bus calls it. */
  readonly name: string;
  /** The driver that has it. */
  readonly driver: string | undefined;
  /** The group can be VFIO's: the device is a bridge, or has no driver, one of VFIO's, or one that does no DMA. */
  readonly harmless: boolean;
}

/** Drivers beside VFIO's that leave DMA to whoever has the group: they say so to the kernel, and to nobody else. */
const withoutDma = ['pcieport', 'pci-stub'];

/** Classes of bridges: to PCI, which ports of PCI Express are too, to CardBus, and semi-transparent ones. */
const bridges = [0x0604, 0x0607, 0x0609];

/** It leads to other devices. VFIO takes none, and needs none of those in a group. */
export function isBridge({ classCode }: Pick<PciDevice, 'classCode'>): boolean {
  return bridges.includes(classCode >>> 8);
}

/** By its name: 'vfio-pci', or one of those made for certain devices, 'mlx5_vfio_pci', 'nvgrace_gpu_vfio_pci'. */
export function isVfioDriver(driver: string): boolean {
  return /(^|[-_])vfio([-_]|$)/.test(driver);
}

/** A driver of VFIO has it, whatever it is called: VFIO makes a folder below its devices. Linux 6.1. */
export function hasVfioDriver(kernel: WithFiles, { address, driver }: Pick<PciDevice, 'address' | 'driver'>): boolean {
  return isOfVfio(kernel, `${devicesPath}/${address}`, driver);
}

function isOfVfio(kernel: WithFiles, folder: string, driver: string | undefined): boolean {
  return driver !== undefined && (isVfioDriver(driver) || list(kernel, `${folder}/vfio-dev`).length > 0);
}

/** The devices of an IOMMU group, in the order of their names. */
export function groupMembers(kernel: WithFiles, group: number): GroupMember[] {
  const folder = `/sys/kernel/iommu_groups/${group}/devices`;
  return list(kernel, folder)
    .sort()
    .map((name) => {
      const path = `${folder}/${name}`;
      const driver = readLinkName(kernel, `${path}/driver`);
      const classCode = Number(readTextIfAny(kernel, `${path}/class`) ?? 0);
      const harmless = driver === undefined || withoutDma.includes(driver) || isBridge({ classCode }) || isOfVfio(kernel, path, driver);
      return { name, driver, harmless };
    });
}

/** Those of them because of which the group cannot be opened. */
export function groupBlockers(kernel: WithFiles, group: number): GroupMember[] {
  return groupMembers(kernel, group).filter(({ harmless }) => !harmless);
}
