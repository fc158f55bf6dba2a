import { errno } from '../../abi/errno.js';
import { command, directory, link, type FileNode } from '../file-node.js';
import type { PciSlot } from '../slot.js';
import { bySlot } from './by-slot.js';

/** /sys/bus/pci/drivers/NAME. */
export function driverDirectory(name: string, slots: readonly PciSlot[]): FileNode {
  const bound = slots.filter((slot) => slot.driver === name);
  return directory(() => ({
    bind: command((text) => bind(slots, name, text)),
    unbind: command((text) => unbind(bound, text)),
    ...bySlot(bound, (slot) => link(() => `../../../../${slot.path}`)),
  }));
}

/** The driver the bus would pick: the override alone if there is one. vfio-pci takes nothing by itself. */
function matching(slot: PciSlot): string | undefined {
  return slot.driverOverride ?? slot.hostDriver;
}

/** /sys/bus/pci/drivers_probe. */
export function probe(slots: readonly PciSlot[], text: string): number {
  const slot = slots.find(({ address }) => address === text.trim());
  if (slot === undefined) return -errno.ENODEV;
  const driver = matching(slot);
  if (slot.driver !== undefined || driver === undefined) return 0;
  if (heldByVfio(slot, driver)) return -errno.EBUSY;
  // That the driver refuses is not told here: another could have taken the device.
  slot.bind(driver);
  return 0;
}

function bind(slots: readonly PciSlot[], driver: string, text: string): number {
  const slot = slots.find(({ address }) => address === text.trim());
  // The driver that has it matches it, by whatever it did when it took it.
  if (slot === undefined || (slot.driver !== driver && matching(slot) !== driver)) return -errno.ENODEV;
  return slot.driver !== undefined || heldByVfio(slot, driver) ? -errno.EBUSY : slot.bind(driver);
}

/** A host driver cannot take a device whose group VFIO owns. */
function heldByVfio(slot: PciSlot, driver: string): boolean {
  return driver !== 'vfio-pci' && slot.group?.claimed === true;
}

function unbind(bound: readonly PciSlot[], text: string): number {
  const slot = bound.find(({ address }) => address === text.trim());
  if (slot === undefined) return -errno.ENODEV;
  if (slot.vfio?.isHeld === true) {
    // The real kernel asks the holder by the REQ interrupt and makes the writer wait until the device is let go; here
    // waiting would stop the only thread there is, so the write is refused and can be repeated. `Machine.unbind` waits.
    if (slot.vfio.isOpen) slot.vfio.askBack();
    return -errno.EBUSY;
  }
  slot.unbind();
  return 0;
}
