/** The registers by which the Bochs display is told its picture, as mbochs has them: 16 bits each, in the second page. */

/** What is shown, with the place of its first byte in video memory. */
export interface Mode {
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly offset: number;
  readonly size: number;
}

const start = 0x500;
const end = 0x516;
const [ID, XRES, YRES, BPP, ENABLE, VIRT_WIDTH, X_OFFSET, Y_OFFSET, MEMORY] = [0, 1, 2, 3, 4, 6, 8, 9, 10];
const version5 = 0xb0c5;
const enabled = 1;
const bytesPerPixel = 4;
const smallest = 64;

export class DispiRegisters {
  readonly #memory: number;
  readonly #values = new Uint16Array((end - start) / 2);

  constructor(memory: number) {
    this.#memory = memory;
    this.reset();
  }

  reset(): void {
    this.#values.fill(0);
    this.#values[ID] = version5;
    this.#values[MEMORY] = this.#memory / 65536;
  }

  /** What is not a register, or not its width, reads as zero. */
  read(offset: number, piece: Uint8Array): void {
    piece.fill(0);
    if (!isRegister(piece)) return;
    const value = this.#values[(offset - start) >> 1] ?? 0;
    piece.set([value & 0xff, value >> 8]);
  }

  write(offset: number, piece: Uint8Array): void {
    if (isRegister(piece)) this.#values[(offset - start) >> 1] = (piece[0] ?? 0) | ((piece[1] ?? 0) << 8);
  }

  /** Undefined while nothing can be shown. */
  get mode(): Mode | undefined {
    const value = (index: number): number => this.#values[index] ?? 0;
    if ((value(ENABLE) & enabled) === 0 || value(BPP) !== 8 * bytesPerPixel) return undefined;
    const [width, height] = [value(XRES), value(YRES)];
    const stride = Math.max(width, value(VIRT_WIDTH)) * bytesPerPixel;
    const offset = value(X_OFFSET) * bytesPerPixel + value(Y_OFFSET) * stride;
    const size = stride * height;
    if (width < smallest || height < smallest || offset + size > this.#memory) return undefined;
    return { width, height, stride, offset, size };
  }
}

/** By its width. Behind the registers and before them there is no value that could be read or written. */
function isRegister(piece: Uint8Array): boolean {
  return piece.byteLength === 2;
}
