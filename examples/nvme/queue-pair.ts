import type { AddressSpace, DmaBuffer, Mmio } from 'vfio';
import { command, completion, doorbells, pageSize } from './layout.js';

/** Called when a command is done. `status` is 0 for success, else the status field: type and code. */
export type Done = (status: number, result: number) => void;

/** What of a command is not always 0. */
export interface Command {
  readonly opcode: number;
  readonly namespace?: number;
  /** Where its data is, in whole pages one behind the other. */
  readonly data?: { readonly iova: bigint; readonly bytes: number };
  readonly dword10?: number;
  readonly dword11?: number;
  readonly dword12?: number;
}

/** A submission queue and its completion queue. Its commands are done in any order. */
export class QueuePair {
  readonly id: number;
  readonly depth: number;
  readonly submissions: DmaBuffer;
  readonly completions: DmaBuffer;
  readonly #mmio: Mmio;
  readonly #submissionDoorbell: number;
  readonly #completionDoorbell: number;
  readonly #commands: ReturnType<typeof command.array>;
  readonly #answers: ReturnType<typeof completion.array>;
  /** A page for each command in flight, where its data is of more than two. */
  readonly #lists: DmaBuffer;
  readonly #listEntries: BigUint64Array;
  /** By identifier; those that are free. */
  readonly #done: (Done | undefined)[];
  readonly #free: number[];
  #tail = 0;
  #head = 0;
  #phase = 1;

  constructor(id: number, depth: number, dma: AddressSpace, mmio: Mmio, doorbellStride: number) {
    this.id = id;
    this.depth = depth;
    this.submissions = dma.allocate(depth * command.size);
    this.completions = dma.allocate(depth * completion.size);
    this.#lists = dma.allocate(depth * pageSize);
    this.#listEntries = new BigUint64Array(this.#lists.memory);
    this.#mmio = mmio;
    this.#submissionDoorbell = doorbells + 2 * id * doorbellStride;
    this.#completionDoorbell = this.#submissionDoorbell + doorbellStride;
    this.#commands = command.array(this.submissions.memory, 0, depth);
    this.#answers = completion.array(this.completions.memory, 0, depth);
    this.#done = new Array<Done | undefined>(depth).fill(undefined);
    // A queue that is full has one place left.
    this.#free = Array.from({ length: depth - 1 }, (_, index) => depth - 2 - index);
  }

  get inFlight(): number {
    return this.depth - 1 - this.#free.length;
  }

  /** Puts a command in the queue; `ring` tells the controller. False when the queue is full. */
  put({ opcode, namespace = 0, data, dword10 = 0, dword11 = 0, dword12 = 0 }: Command, done: Done): boolean {
    const identifier = this.#free.pop();
    if (identifier === undefined) return false;
    this.#done[identifier] = done;
    const entry = this.#commands.at(this.#tail);
    entry.opcode = opcode;
    entry.flags = 0;
    entry.identifier = identifier;
    entry.namespace = namespace;
    entry.prp1 = data?.iova ?? 0n;
    entry.prp2 = data === undefined ? 0n : this.#secondPointer(identifier, data.iova, data.bytes);
    entry.dword10 = dword10;
    entry.dword11 = dword11;
    entry.dword12 = dword12;
    this.#tail = this.#tail + 1 === this.depth ? 0 : this.#tail + 1;
    return true;
  }

  ring(): void {
    this.#mmio.write32(this.#submissionDoorbell, this.#tail);
  }

  /** Ends the commands that are done. Returns how many. */
  poll(): number {
    let ended = 0;
    for (;;) {
      const answer = this.#answers.at(this.#head);
      const { status } = answer;
      if ((status & 1) !== this.#phase) break;
      const { identifier, result } = answer;
      this.#head += 1;
      if (this.#head === this.depth) {
        this.#head = 0;
        this.#phase ^= 1;
      }
      ended += 1;
      const done = this.#done[identifier];
      if (done === undefined) throw new Error(`The controller ended command ${identifier}, which is not in flight`);
      this.#done[identifier] = undefined;
      this.#free.push(identifier);
      done(status >> 1, result);
    }
    if (ended > 0) this.#mmio.write32(this.#completionDoorbell, this.#head);
    return ended;
  }

  /** Ends all commands that the controller will not end any more. */
  abandon(status: number): void {
    for (const [identifier, done] of this.#done.entries()) {
      if (done === undefined) continue;
      this.#done[identifier] = undefined;
      this.#free.push(identifier);
      done(status, 0);
    }
  }

  /** The second page, or a list of all behind the first. */
  #secondPointer(identifier: number, iova: bigint, bytes: number): bigint {
    const pages = Math.ceil(bytes / pageSize);
    if (pages <= 1) return 0n;
    const second = iova + BigInt(pageSize);
    if (pages === 2) return second;
    const first = (identifier * pageSize) / 8;
    for (let page = 1; page < pages; page += 1) this.#listEntries[first + page - 1] = iova + BigInt(page * pageSize);
    return this.#lists.iova + BigInt(identifier * pageSize);
  }
}
