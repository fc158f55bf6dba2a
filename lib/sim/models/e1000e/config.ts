/** The configuration space of QEMU's e1000e, an Intel 82574L. */
import { PCI_PM_CTRL_DATA_SEL_MASK, PCI_PM_CTRL_PME_ENABLE } from '../../../abi/pci.js';
import { express, msi, msix, powerManagement } from '../../pci/capability.js';
import { errorReporting, serialNumber } from '../../pci/extended-capability.js';
import type { PciIdentity } from '../../pci/function.js';

/** The serial number is made of the station's address: 0xfffe or, here, 0xffff in its middle. */
function serialNumberOf(station: Uint8Array): bigint {
  const bytes = [...station.subarray(0, 3), 0xff, 0xff, ...station.subarray(3, 6)];
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

/** A ROM with one image, which has no code. */
function bootRom(size: number): Uint8Array {
  const rom = new DataView(new ArrayBuffer(size));
  const structure = 0x1c;
  rom.setUint16(0, 0xaa55, true);
  rom.setUint16(0x18, structure, true);
  rom.setUint32(structure, 0x5249_4350, true); // 'PCIR'
  rom.setUint16(structure + 0x04, 0x8086, true);
  rom.setUint16(structure + 0x06, 0x10d3, true);
  rom.setUint16(structure + 0x10, 1, true); // Its length, in 512 bytes.
  rom.setUint8(structure + 0x15, 0x80); // The last image.
  return new Uint8Array(rom.buffer);
}

/** Nothing writes to it: all cards have the same. */
const rom = bootRom(0x4_0000);

/** `station` is the address of 6 bytes that is its own on the network. */
export function e1000eIdentity(station: Uint8Array): PciIdentity {
  return {
    vendor: 0x8086,
    device: 0x10d3,
    classCode: 0x02_00_00,
    subsystemVendor: 0x8086,
    // Registers, flash memory, both by ports, and the table of MSI-X.
    bars: {
      0: { size: 0x2_0000, access: { implemented: [4, 4] } },
      1: 0x2_0000,
      2: { size: 0x20, kind: 'ports', access: { implemented: [4, 4] } },
      3: 0x4000,
    },
    rom,
    intx: true,
    capabilities: [
      powerManagement({
        at: 0xc8,
        capabilities: 0x22,
        keepsRegisters: false,
        wakes: PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_DATA_SEL_MASK,
      }),
      msi({ at: 0xd0 }),
      express({ at: 0xe0, version: 1 }),
      msix({ at: 0xa0, vectors: 5, bar: 3, pendingBits: 0x2000 }),
    ],
    extendedCapabilities: [errorReporting(), serialNumber({ at: 0x140, number: serialNumberOf(station) })],
  };
}
