import type { Controller } from './controller.js';
import { io } from './layout.js';

/** Memory of the device's address space, in whole pages. */
interface Memory {
  readonly iova: bigint;
}

/** Blocks that a controller has. */
export class Namespace {
  readonly id: number;
  /** Bytes of a block. */
  readonly blockSize: number;
  /** How many there are. */
  readonly blocks: bigint;
  readonly #controller: Controller;

  constructor(controller: Controller, id: number, identity: Uint8Array) {
    const view = new DataView(identity.buffer);
    const format = view.getUint32(128 + 4 * (view.getUint8(26) & 0xf), true);
    this.id = id;
    this.blockSize = 2 ** ((format >> 16) & 0xff);
    this.blocks = view.getBigUint64(0, true);
    this.#controller = controller;
  }

  async read(block: bigint, count: number, into: Memory): Promise<void> {
    await this.#move(io.read, block, count, into);
  }

  async write(block: bigint, count: number, from: Memory): Promise<void> {
    await this.#move(io.write, block, count, from);
  }

  /** Has everything that was written on the medium. */
  async flush(): Promise<void> {
    await this.#controller.run({ opcode: io.flush, namespace: this.id });
  }

  /** The blocks' contents are not needed any more. `list` is a page for the request. */
  async deallocate(block: bigint, count: number, list: Memory & { readonly memory: ArrayBuffer }): Promise<void> {
    const view = new DataView(list.memory);
    view.setUint32(0, 0, true);
    view.setUint32(4, count, true);
    view.setBigUint64(8, block, true);
    await this.#controller.run({
      opcode: io.datasetManagement,
      namespace: this.id,
      data: { iova: list.iova, bytes: 16 },
      dword10: 0,
      dword11: 4,
    });
  }

  /** In commands of as many blocks as the controller takes. */
  async #move(opcode: number, block: bigint, count: number, { iova }: Memory): Promise<void> {
    const most = Math.min(0x1_0000, Math.floor(this.#controller.mostBytes / this.blockSize));
    for (let done = 0; done < count; done += most) {
      const blocks = Math.min(most, count - done);
      const first = block + BigInt(done);
      await this.#controller.run({
        opcode,
        namespace: this.id,
        data: { iova: iova + BigInt(done * this.blockSize), bytes: blocks * this.blockSize },
        dword10: Number(first & 0xffff_ffffn),
        dword11: Number(first >> 32n),
        dword12: blocks - 1,
      });
    }
  }
}
