import { list, readLinkName, readTextIfAny, type WithFiles } from './sysfs.js';

/** A device of an IOMMU group: of PCI, or of another bus, such as a platform's. */
export interface GroupMember {
  /** '0000:01:00.0', or what its bus calls it. */
  readonly name: string;
  /** The driver that has it. */
  readonly driver: string | undefined;
  /** The group can be VFIO's: the device has no driver, one of VFIO's, or one that does no DMA, as those of bridges. */
  readonly harmless: boolean;
}

/** Drivers beside VFIO's that leave DMA to whoever has the group: they say so to the kernel, and to nobody else. */
const withoutDma = ['pcieport', 'pci-stub'];

/** The devices of an IOMMU group, in the order of their names. */
export function groupMembers(kernel: WithFiles, group: number): GroupMember[] {
  const folder = `/sys/kernel/iommu_groups/${group}/devices`;
  return list(kernel, folder)
    .sort()
    .map((name) => {
      const path = `${folder}/${name}`;
      const driver = readLinkName(kernel, `${path}/driver`);
      const harmless = driver === undefined || isVfioDriver(kernel, path, driver) || withoutDma.includes(driver) || isBridge(kernel, path);
      return { name, driver, harmless };
    });
}

/**
 * Whether the driver of the device in that folder is one of VFIO's: vfio-pci, or a variant of it, such as mlx5_vfio_pci. A
 * variant shows by the folder that VFIO makes below the device. Linux 6.1.
 */
export function isVfioDriver(kernel: WithFiles, path: string, driver: string | undefined): boolean {
  return driver === 'vfio-pci' || (driver !== undefined && list(kernel, `${path}/vfio-dev`).length > 0);
}

function isBridge(kernel: WithFiles, path: string): boolean {
  return isBridgeClass(Number(readTextIfAny(kernel, `${path}/class`) ?? 0));
}

/** A bridge to another bus of PCI: ports of PCI Express are such, host bridges are not. */
export function isBridgeClass(classCode: number): boolean {
  return classCode >> 8 === 0x0604;
}
