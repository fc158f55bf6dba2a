import { PCI_INTERRUPT_PIN } from '../../abi/pci.js';
import { nodeEntries } from '../device-nodes.js';
import { directory, line, link, type FileNode } from '../file-node.js';
import type { Process } from '../process.js';
import type { PciSlot } from '../slot.js';
import { pciAttributes } from './pci-attributes.js';

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** /sys/bus/pci/devices/ADDRESS. */
export function deviceDirectory(slot: PciSlot, slots: readonly PciSlot[], process: Process): FileNode {
  const { identity, config } = slot.pciFunction;
  return directory(() => ({
    vendor: line(() => hex(identity.vendor, 4)),
    device: line(() => hex(identity.device, 4)),
    class: line(() => hex(identity.classCode, 6)),
    revision: line(() => hex(identity.revision ?? 0, 2)),
    subsystem_vendor: line(() => hex(identity.subsystemVendor ?? 0, 4)),
    subsystem_device: line(() => hex(identity.subsystemDevice ?? 0, 4)),
    irq: line(() => (config.getUint8(PCI_INTERRUPT_PIN) === 0 ? '0' : '11')),
    numa_node: line(() => '-1'),
    driver_override: line(
      () => slot.driverOverride ?? '(null)',
      (text) => override(slot, text),
    ),
    ...pciAttributes(slot, slots, process),
    ...(slot.vfioName !== undefined && nodeEntries(slot.vfioName, slot.node !== undefined)),
    ...(slot.group !== undefined && { iommu_group: link(() => `../../../kernel/iommu_groups/${slot.group?.number}`) }),
    ...(slot.driver !== undefined && { driver: link(() => `../../../bus/pci/drivers/${slot.driver}`) }),
  }));
}

/** A newline clears it; a write of nothing does not. */
function override(slot: PciSlot, text: string): number {
  const name = text.replace(/\n.*$/s, '');
  slot.driverOverride = name === '' ? undefined : name;
  return 0;
}
