import type { Controller } from './controller.js';
import { checkedInteger } from './checks.js';
import { io, pageSize } from './layout.js';

/** Memory of the device's address space, from the beginning of a page on. */
export interface Memory {
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
}

/** A command counts its blocks in 16 bits. */
const mostBlocks = 0x1_0000;
/** Blocks of one range that is deallocated: what lies beyond the controller's limit it would pass over without a word. */
const mostDeallocated = 0xffff;
const deallocating = 1 << 2;

/** Blocks that a controller has. What it is asked for is looked at before anything is done. */
export class Namespace {
  readonly id: number;
  /** Bytes of a block. */
  readonly blockSize: number;
  /** How many there are. */
  readonly blocks: bigint;
  /** Bytes beside each block, which this driver does not move: a namespace with some is not read and not written. */
  readonly metadataSize: number;
  readonly #controller: Controller;

  constructor(controller: Controller, id: number, identity: Uint8Array) {
    const view = new DataView(identity.buffer, identity.byteOffset);
    const format = view.getUint32(128 + 4 * (view.getUint8(26) & 0xf), true);
    this.id = id;
    this.blockSize = 2 ** ((format >> 16) & 0xff);
    this.metadataSize = format & 0xffff;
    this.blocks = view.getBigUint64(0, true);
    this.#controller = controller;
  }

  /** Blocks that one command moves at most: they fill whole pages, so that the next ones begin in a page of their own. */
  get mostBlocks(): number {
    return Math.min(mostBlocks, Math.floor(this.#controller.mostBytes / this.blockSize));
  }

  /** @throws RangeError; CommandError; Error when the controller fails */
  async read(block: bigint, count: number, into: Memory): Promise<void> {
    await this.#move(io.read, block, count, into);
  }

  /** @throws as `read` */
  async write(block: bigint, count: number, from: Memory): Promise<void> {
    await this.#move(io.write, block, count, from);
  }

  /** Has everything that was written on the medium. */
  async flush(): Promise<void> {
    await this.#controller.run({ opcode: io.flush, namespace: this.id });
  }

  /** The blocks' contents are not needed any more. `list` is memory for the request, of 16 bytes and more. */
  async deallocate(block: bigint, count: number, list: Memory & { readonly memory: ArrayBuffer }): Promise<void> {
    this.assertHolds(block, count);
    const view = new DataView(list.memory);
    for (let done = 0; done < count; done += mostDeallocated) {
      view.setUint32(0, 0, true);
      view.setUint32(4, Math.min(mostDeallocated, count - done), true);
      view.setBigUint64(8, block + BigInt(done), true);
      await this.#controller.run({
        opcode: io.datasetManagement,
        namespace: this.id,
        data: { iova: list.iova, bytes: 16 },
        dword11: deallocating,
      });
    }
  }

  /** @throws RangeError where not all of these are blocks of the namespace */
  assertHolds(block: bigint, count: number): void {
    checkedInteger('count', count, 1, Number.MAX_SAFE_INTEGER);
    if (block < 0n || block + BigInt(count) > this.blocks)
      throw new RangeError(`Expected blocks from 0 to ${this.blocks - 1n} but received block ${block} and count ${count}`);
  }

  /** @throws Error when blocks have metadata */
  assertPlain(): void {
    if (this.metadataSize > 0)
      throw new Error(`Each block of namespace ${this.id} has ${this.metadataSize} bytes of metadata, which this driver does not move`);
  }

  /** In commands of as many blocks as the controller takes, all at once. They have all ended when this does, however it ends. */
  async #move(opcode: number, block: bigint, count: number, { iova, size }: Memory): Promise<void> {
    this.assertPlain();
    this.assertHolds(block, count);
    if (iova % BigInt(pageSize) !== 0n)
      throw new RangeError(`Expected memory at a multiple of ${pageSize} but received 0x${iova.toString(16)}`);
    if (size < count * this.blockSize) throw new RangeError(`Expected memory of ${count * this.blockSize} bytes but received ${size}`);
    const most = this.mostBlocks;
    const parts: Promise<number>[] = [];
    for (let done = 0; done < count; done += most) {
      const blocks = Math.min(most, count - done);
      const first = block + BigInt(done);
      parts.push(
        this.#controller.run({
          opcode,
          namespace: this.id,
          data: { iova: iova + BigInt(done * this.blockSize), bytes: blocks * this.blockSize },
          dword10: Number(first & 0xffff_ffffn),
          dword11: Number(first >> 32n),
          dword12: blocks - 1,
        }),
      );
    }
    for (const outcome of await Promise.allSettled(parts)) if (outcome.status === 'rejected') throw outcome.reason;
  }
}
