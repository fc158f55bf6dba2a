/** As much of QEMU's VGA as its old addresses show after firmware chose text mode: memory, and the registers of the screen. */
import { PciFunction } from '../../../lib/sim/index.js';

const [memoryStart, textStart, textEnd] = [0xa_0000, 0xb_8000, 0xc_0000];
const [screenIndex, screenValue] = [0x3d4, 0x3d5];
type Width = 1 | 2 | 4 | 8;

export class Vga extends PciFunction {
  readonly #text = new Uint8Array(textEnd - textStart);
  readonly #screen = new Uint8Array(256);
  #index = 0;

  constructor() {
    super({ vendor: 0x1234, device: 0x1111, classCode: 0x030000, revision: 2, bars: { 0: 0x100_0000, 2: 4096 } });
  }

  protected override readVga(address: number, width: Width): bigint {
    let value = 0n;
    for (let byte = 0; byte < width; byte += 1) value |= BigInt(this.#readByte(address + byte)) << BigInt(8 * byte);
    return value;
  }

  protected override writeVga(address: number, width: Width, value: bigint): void {
    for (let byte = 0; byte < width; byte += 1) this.#writeByte(address + byte, Number((value >> BigInt(8 * byte)) & 0xffn));
  }

  #readByte(address: number): number {
    if (address >= memoryStart) return this.#text[address - textStart] ?? 0xff;
    if (address === screenIndex) return this.#index;
    return address === screenValue ? this.#screen[this.#index]! : 0xff;
  }

  #writeByte(address: number, value: number): void {
    if (address >= textStart) this.#text[address - textStart] = value;
    else if (address === screenIndex) this.#index = value;
    else if (address === screenValue) this.#screen[this.#index] = value;
  }
}
