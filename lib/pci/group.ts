import { list, type WithFiles } from './sysfs.js';
import { devicesPath, groupDevices, type PciDevice } from './topology.js';

/** Classes of bridges: to PCI, to CardBus, and semi-transparent ones. */
const bridges = [0x0604, 0x0607, 0x0609];

/** It leads to other devices. VFIO takes none, and needs none of those in a group. */
export function isBridge({ classCode }: PciDevice): boolean {
  return bridges.includes(classCode >>> 8);
}

/** By its name: 'vfio-pci', or one of those made for certain devices, 'mlx5_vfio_pci', 'nvgrace_gpu_vfio_pci'. */
export function isVfioDriver(driver: string): boolean {
  return /(^|[-_])vfio([-_]|$)/.test(driver);
}

/** A driver of VFIO has it, whatever it is called. */
export function hasVfioDriver(kernel: WithFiles, { address, driver }: PciDevice): boolean {
  return driver !== undefined && (isVfioDriver(driver) || list(kernel, `${devicesPath}/${address}/vfio-dev`).length > 0);
}

/**
 * The devices because of which the group cannot be opened: those with a driver that does DMA for the host. Bridges are never
 * among them, nor are devices without a driver, or with pci-stub.
 */
export function groupBlockers(kernel: WithFiles, group: number): PciDevice[] {
  return groupDevices(kernel, group).filter(
    (device) => device.driver !== undefined && device.driver !== 'pci-stub' && !isBridge(device) && !hasVfioDriver(kernel, device),
  );
}
