import type { DmaPort } from '../../dma.js';

interface Submissions {
  readonly id: number;
  readonly size: number;
  tail: number;
}

interface Completions {
  readonly id: number;
  readonly size: number;
  head: number;
}

/**
 * Doorbells in the host's memory (NVM Express 1.4, section 7.13): where they are, the controller looks at them too, and says up
 * to where it has looked, so that a host need not write the real ones while it is busy.
 */
export class ShadowDoorbells {
  #buffers: { readonly doorbells: bigint; readonly looked: bigint } | undefined;
  readonly #value = new DataView(new ArrayBuffer(4));
  readonly #bytes = new Uint8Array(this.#value.buffer);

  enable(doorbells: bigint, looked: bigint): void {
    this.#buffers = { doorbells, looked };
  }

  disable(): void {
    this.#buffers = undefined;
  }

  /** The host wrote a real doorbell, or its queue was there before these: they say the same. */
  copyTail(dma: DmaPort, { id, tail }: Submissions): void {
    this.#write(dma, this.#buffers?.doorbells, 8 * id, tail);
  }

  copyHead(dma: DmaPort, { id, head }: Completions): void {
    this.#write(dma, this.#buffers?.doorbells, 8 * id + 4, head);
  }

  readTail(dma: DmaPort, queue: Submissions): void {
    const tail = this.#read(dma, 8 * queue.id);
    if (tail !== undefined && tail < queue.size) queue.tail = tail;
  }

  readHead(dma: DmaPort, queue: Completions): void {
    const head = this.#read(dma, 8 * queue.id + 4);
    if (head !== undefined && head < queue.size) queue.head = head;
  }

  tellTail(dma: DmaPort, { id, tail }: Submissions): void {
    this.#write(dma, this.#buffers?.looked, 8 * id, tail);
  }

  tellHead(dma: DmaPort, { id, head }: Completions): void {
    this.#write(dma, this.#buffers?.looked, 8 * id + 4, head);
  }

  #read(dma: DmaPort, offset: number): number | undefined {
    if (this.#buffers === undefined) return undefined;
    return dma.read(this.#buffers.doorbells + BigInt(offset), this.#bytes) ? this.#value.getUint32(0, true) : undefined;
  }

  #write(dma: DmaPort, buffer: bigint | undefined, offset: number, value: number): void {
    if (buffer === undefined) return;
    this.#value.setUint32(0, value, true);
    dma.write(buffer + BigInt(offset), this.#bytes);
  }
}
