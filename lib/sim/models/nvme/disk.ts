import { expected } from '../../../kernel/error.js';

const chunkSize = 1 << 20;
const zeros = new Uint8Array(chunkSize);

/** What a simulated drive holds. Only what was written takes memory; the rest reads as zeros. */
export class Disk {
  /** Bytes. */
  readonly size: number;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(size: number) {
    this.size = size;
  }

  /** Copies what is at `offset` into `bytes`. */
  read(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.byteLength);
    for (let done = 0; done < bytes.byteLength; ) {
      const part = this.readable(offset + done, bytes.byteLength - done);
      bytes.set(part, done);
      done += part.byteLength;
    }
  }

  /** Puts `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.byteLength);
    for (let done = 0; done < bytes.byteLength; ) {
      const part = this.writable(offset + done, bytes.byteLength - done);
      part.set(bytes.subarray(done, done + part.byteLength));
      done += part.byteLength;
    }
  }

  /** Makes `length` bytes zero. Chunks that are zero as a whole take no memory any more. */
  clear(offset: number, length: number): void {
    this.#check(offset, length);
    for (let done = 0; done < length; ) {
      const { index, start, end } = this.#locate(offset + done, length - done);
      if (end - start === chunkSize) this.#chunks.delete(index);
      else this.#chunks.get(index)?.fill(0, start, end);
      done += end - start;
    }
  }

  /** The bytes at `offset` themselves, up to `length` of them: as many as lie together. Not to be written. */
  readable(offset: number, length: number): Uint8Array {
    const { index, start, end } = this.#locate(offset, length);
    return (this.#chunks.get(index) ?? zeros).subarray(start, end);
  }

  /** The same, to be written. */
  writable(offset: number, length: number): Uint8Array {
    const { index, start, end } = this.#locate(offset, length);
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) this.#chunks.set(index, (chunk = new Uint8Array(chunkSize)));
    return chunk.subarray(start, end);
  }

  #locate(offset: number, length: number): { index: number; start: number; end: number } {
    const start = offset % chunkSize;
    return { index: Math.floor(offset / chunkSize), start, end: Math.min(start + length, chunkSize) };
  }

  #check(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.size)
      throw expected(`an offset with ${length} bytes inside the disk's ${this.size}`, 'offset', offset);
  }
}
