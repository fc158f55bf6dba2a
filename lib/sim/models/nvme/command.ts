/** Bytes of a submission queue entry, and of a completion queue entry. */
export const commandSize = 64;
export const completionSize = 16;

/** Means every namespace. */
export const everyNamespace = 0xffff_ffff;

/** A submission queue entry. One is made for each queue, and its bytes are read anew for each command. */
export class Command {
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(commandSize));
  readonly #view = new DataView(this.bytes.buffer);

  get opcode(): number {
    return this.#view.getUint8(0);
  }

  /** It is one of a pair to be done as one. */
  get fused(): boolean {
    return (this.#view.getUint8(1) & 3) !== 0;
  }

  /** It describes its data by a scatter-gather list instead of PRPs. */
  get usesScatterGather(): boolean {
    return this.#view.getUint8(1) >> 6 !== 0;
  }

  get identifier(): number {
    return this.#view.getUint16(2, true);
  }

  get namespace(): number {
    return this.word(1);
  }

  /** Physical region page entries: where the data is. */
  get prp1(): bigint {
    return this.#view.getBigUint64(24, true);
  }

  get prp2(): bigint {
    return this.#view.getBigUint64(32, true);
  }

  /** Command dword `index`; those from 10 to 15 are the command's own. */
  word(index: number): number {
    return this.#view.getUint32(4 * index, true);
  }

  /** Where an I/O command begins on the disk. */
  get firstBlock(): bigint {
    return this.#view.getBigUint64(40, true);
  }
}
