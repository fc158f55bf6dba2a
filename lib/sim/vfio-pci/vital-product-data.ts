/** What a card says of itself beside configuration space, as the kernel reads and writes it for a driver: pci_vpd_read. */
import type { PciFunction } from '../pci/function.js';

const [largeTag, endTag] = [0x80, 0x0f];
const mostBytes = 0x8000;

export class VitalProductData {
  readonly #hardware: PciFunction;
  #size: number | undefined;

  constructor(hardware: PciFunction) {
    this.#hardware = hardware;
  }

  /** The 4 bytes at the address, with zeros for those behind the end; undefined where there is none. */
  read(address: number): number | undefined {
    const size = this.#tagged();
    if (size === 0) return undefined;
    const bytes = [0, 1, 2, 3].map((index) => (address + index < size ? this.#hardware.readVitalProductData(address + index) : 0));
    return new DataView(Uint8Array.from(bytes).buffer).getUint32(0, true);
  }

  /** Whether the 4 bytes were written: they are at a multiple of 4, and before the end. */
  write(address: number, value: number): boolean {
    if (address % 4 !== 0 || address + 4 > this.#tagged()) return false;
    for (let index = 0; index < 4; index += 1) this.#hardware.writeVitalProductData(address + index, (value >>> (8 * index)) & 0xff);
    return true;
  }

  /** pci_vpd_size: bytes up to the end of what its tags say it has. The kernel looks once. */
  #tagged(): number {
    return (this.#size ??= this.#measure());
  }

  #measure(): number {
    const byte = (at: number): number => this.#hardware.readVitalProductData(at);
    let at = 0;
    while (at < mostBytes) {
      const tag = byte(at);
      if (at === 0 && (tag === 0 || tag === 0xff)) return 0;
      const large = (tag & largeTag) !== 0;
      if (large && at + 3 > mostBytes) return at;
      const length = large ? byte(at + 1) | (byte(at + 2) << 8) : tag & 7;
      if (at + length > mostBytes) return at;
      at += (large ? 3 : 1) + length;
      if (!large && tag >> 3 === endTag) return at;
    }
    return at;
  }
}
