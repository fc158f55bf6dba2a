import type { Registers, Width } from '../mapping.js';

/** Memory behind a mapping of a file. */
export class MemoryRegisters implements Registers {
  readonly decoding = true;
  readonly #memory: DataView;

  constructor(memory: Uint8Array) {
    this.#memory = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  }

  get now(): number {
    return performance.now();
  }

  readRegister(_bar: number, offset: number, width: Width): bigint {
    let value = 0n;
    for (let i = width - 1; i >= 0; i -= 1) value = (value << 8n) | BigInt(this.#memory.getUint8(offset + i));
    return value;
  }

  writeRegister(_bar: number, offset: number, width: Width, value: bigint): void {
    for (let i = 0; i < width; i += 1) this.#memory.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }
}
