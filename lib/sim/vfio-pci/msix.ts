import { PCI_MSIX_ENTRY_SIZE } from '../../abi/pci.js';
import type { PciIdentity } from '../pci/function.js';

/** Where in which BAR the MSI-X table lies, which the kernel writes and nobody else. */
export function msixTable({ msix }: PciIdentity): { readonly bar: number; readonly start: number; readonly end: number } | undefined {
  return msix && { bar: msix.bar, start: msix.table, end: msix.table + msix.vectors * PCI_MSIX_ENTRY_SIZE };
}
