import { list, type WithFiles } from '../../pci/sysfs.js';

/** What a device's ROM holds. */
export interface Rom {
  /** Undefined where the ROM cannot be read: as a rule it is off, and whoever wants to read it turns it on first. */
  readonly images: readonly RomImage[] | undefined;
}

/** Code for one kind of machine, in the form of the PCI Firmware Specification. */
export interface RomImage {
  readonly kind: string;
  /** Bytes. */
  readonly size: number;
  readonly vendor: number;
  readonly device: number;
}

const kinds: Readonly<Record<number, string>> = { 0: 'BIOS', 1: 'Open Firmware', 2: 'HP PA-RISC', 3: 'EFI' };

/** The ROM of the device in that folder; undefined where it has none. Turns nothing on. */
export function readRom(kernel: WithFiles, folder: string): Rom | undefined {
  if (!list(kernel, folder).includes('rom')) return undefined;
  const bytes = kernel.files.readFile(`${folder}/rom`);
  return { images: typeof bytes === 'number' ? undefined : romImages(bytes) };
}

/** The images of a ROM, one behind the other; as far as they are whole. */
export function romImages(bytes: Uint8Array): RomImage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const images: RomImage[] = [];
  for (let start = 0; start + 0x1a <= bytes.byteLength && view.getUint16(start, true) === 0xaa55; ) {
    const data = start + view.getUint16(start + 0x18, true);
    if (data + 0x18 > bytes.byteLength || view.getUint32(data, false) !== 0x50434952) break; // 'PCIR'
    const size = view.getUint16(data + 0x10, true) * 512;
    const code = view.getUint8(data + 0x14);
    images.push({
      kind: kinds[code] ?? `kind ${code}`,
      size,
      vendor: view.getUint16(data + 4, true),
      device: view.getUint16(data + 6, true),
    });
    if (size === 0 || (view.getUint8(data + 0x15) & 0x80) !== 0) break;
    start += size;
  }
  return images;
}
