import type { DmaPort } from '../../dma.js';
import type { ShadowDoorbells } from './shadow-doorbells.js';
import { Command, commandSize, completionSize } from './command.js';

/** The end of a command, before it is in the queue. */
export interface Completion {
  readonly queue: SubmissionQueue;
  readonly identifier: number;
  readonly status: number;
  /** Dword 0: what some commands answer. */
  readonly result: number;
}

interface Ring {
  readonly id: number;
  /** Where the host has it. */
  readonly address: bigint;
  /** Entries. */
  readonly size: number;
}

/** The host's queue of commands. */
export class SubmissionQueue {
  readonly id: number;
  readonly size: number;
  readonly completions: CompletionQueue;
  /** The command that was fetched last. */
  readonly command = new Command();
  head = 0;
  tail = 0;
  /** Commands that can be fetched until some of those before are completed. */
  room: number;
  readonly #address: bigint;

  constructor({ id, address, size }: Ring, completions: CompletionQueue) {
    this.id = id;
    this.size = this.room = size;
    this.completions = completions;
    this.#address = address;
    completions.sources.add(this);
  }

  get pending(): boolean {
    return this.head !== this.tail && this.room > 0;
  }

  /** Fetches the next command; false when it is not to be reached. */
  fetch(dma: DmaPort): boolean {
    if (!dma.read(this.#address + BigInt(this.head * commandSize), this.command.bytes)) return false;
    this.head = (this.head + 1) % this.size;
    this.room -= 1;
    return true;
  }
}

/** The queue of what became of them. */
export class CompletionQueue {
  readonly id: number;
  readonly size: number;
  /** Its interrupt, or undefined: it has none. */
  readonly vector: number | undefined;
  /** The queues whose commands end here. */
  readonly sources = new Set<SubmissionQueue>();
  head = 0;
  tail = 0;
  /** Something was added since the last time that completions were written. */
  unposted = false;
  readonly #address: bigint;
  readonly #entry = new DataView(new ArrayBuffer(completionSize));
  readonly #bytes = new Uint8Array(this.#entry.buffer);
  #phase = 1;
  #waiting: Completion[] = [];

  constructor({ id, address, size }: Ring, vector: number | undefined) {
    this.id = id;
    this.size = size;
    this.vector = vector;
    this.#address = address;
  }

  get empty(): boolean {
    return this.head === this.tail;
  }

  get full(): boolean {
    return (this.tail + 1) % this.size === this.head;
  }

  add(completion: Completion): void {
    this.#waiting.push(completion);
    this.unposted = true;
  }

  /** Writes what is waiting, as far as there is room. False when memory is not to be reached. */
  post(dma: DmaPort, shadow: ShadowDoorbells): boolean {
    this.unposted = false;
    let done = 0;
    let reached = true;
    for (; done < this.#waiting.length; done += 1) {
      shadow.tellHead(dma, this);
      shadow.readHead(dma, this);
      if (this.full) break;
      const { queue, identifier, status, result } = this.#waiting[done]!;
      const entry = this.#entry;
      entry.setUint32(0, result, true);
      entry.setUint16(8, queue.head, true);
      entry.setUint16(10, queue.id, true);
      entry.setUint16(12, identifier, true);
      entry.setUint16(14, (status << 1) | this.#phase, true);
      reached = dma.write(this.#address + BigInt(this.tail * completionSize), this.#bytes);
      if (!reached) break;
      queue.room += 1;
      this.tail += 1;
      if (this.tail === this.size) {
        this.tail = 0;
        this.#phase ^= 1;
      }
    }
    if (done > 0) this.#waiting.splice(0, done);
    return reached;
  }

  /** A submission queue is gone, and what waits of it. */
  forget(queue: SubmissionQueue): void {
    this.sources.delete(queue);
    this.#waiting = this.#waiting.filter((completion) => completion.queue !== queue);
  }
}
