import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_CLASS_DEVICE,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../abi/pci.js';
import type { ConfigSpace } from './device.js';

/** What the sample displays say of themselves: a display controller of QEMU's, with memory in its first BAR. */
export function identifyDisplay(config: ConfigSpace, vendor: number, device: number): void {
  config.set16(PCI_VENDOR_ID, vendor);
  config.set16(PCI_DEVICE_ID, device);
  config.set16(PCI_SUBSYSTEM_VENDOR_ID, 0x1af4);
  config.set16(PCI_SUBSYSTEM_ID, 0x1100);
  config.set16(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
  config.set16(PCI_CLASS_DEVICE, 0x0380);
  config.set8(PCI_CLASS_REVISION, 1);
  config.set32(PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_PREFETCH);
}

/** What a write to a BAR of `size` bytes leaves in it. */
export function writtenBar(config: ConfigSpace, offset: number, size: number, value: number): number {
  const address = value === 0xffff_ffff ? value & -size : value & ~0xf;
  return (address | (config.get8(offset) & 0xf)) >>> 0;
}
