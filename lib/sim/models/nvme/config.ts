/** The configuration space of QEMU's NVMe controller. */
import { express, msix, powerManagement } from '../../pci/capability.js';
import { manyFunctions, virtualFunctions } from '../../pci/extended-capability.js';
import type { PciIdentity } from '../../pci/function.js';

export interface NvmeShape {
  /** MSI-X vectors of its own. */
  readonly vectors: number;
  /** Bytes of the BAR: registers and doorbells, the table of MSI-X at 0x2000, its pending bits at 0x3000. */
  readonly barSize: number;
  /** How many virtual functions it can have. Default: 0, and no structures for them. */
  readonly virtualFunctions?: number;
}

export function nvmeIdentity({ vectors, barSize, virtualFunctions: total = 0 }: NvmeShape): PciIdentity {
  return {
    vendor: 0x1b36,
    device: 0x0010,
    revision: 2,
    classCode: 0x01_08_02,
    subsystemVendor: 0x1af4,
    subsystemDevice: 0x1100,
    bars: { 0: { size: barSize, wide: true, access: { implemented: [2, 8] } } },
    intx: true,
    capabilities: [
      msix({ at: 0x40, vectors, bar: 0, table: 0x2000, pendingBits: 0x3000 }),
      express({ at: 0x80, functionReset: true }),
      powerManagement({ at: 0x60 }),
    ],
    extendedCapabilities:
      total === 0
        ? []
        : [manyFunctions({ next: 1 }), virtualFunctions({ at: 0x120, total, device: 0x0010, bars: { 0: { size: barSize, wide: true } } })],
  };
}
