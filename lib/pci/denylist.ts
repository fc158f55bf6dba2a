import { readTextIfAny, type WithFiles } from './sysfs.js';
import type { PciDevice } from './topology.js';

/** Where the list can be turned off. */
export const denylistPath = '/sys/module/vfio_pci/parameters/disable_denylist';

const intel = 0x8086;
/** Accelerators with which an untrusted user can wedge the machine. */
const denied = [0x0435, 0x0443, 0x0b25, 0x0cfe, 0x19e2, 0x19e3, 0x37c8, 0x37c9];

/** vfio-pci does not take it by itself, as the kernel lists it. */
export function isDenied(kernel: WithFiles, { vendor, device }: PciDevice): boolean {
  return vendor === intel && denied.includes(device) && readTextIfAny(kernel, denylistPath) !== 'Y';
}
