import type { AddressSpace, DmaBuffer, Mmio, Resource } from 'vfio';
import { DescriptorRing } from 'vfio/driver';
import { Doorbell, type ShadowDoorbells } from './doorbell.js';
import { command, completion, doorbells, pageSize } from './layout.js';

/** Called when a command is done. `status` is 0 for success, else the status field: type and code. */
export type Done = (status: number, result: number) => void;

/** What of a command is not always 0. */
export interface Command {
  readonly opcode: number;
  readonly namespace?: number;
  /** Where its data is, in whole pages one behind the other, of which a list of one page has room for all but the first. */
  readonly data?: { readonly iova: bigint; readonly bytes: number };
  readonly dword10?: number;
  readonly dword11?: number;
  readonly dword12?: number;
}

/**
 * A command in flight, by its identifier. Where its data was is kept for the next one: identifiers are taken as they are given
 * back, so that who uses the same memory again and again has its pages listed once.
 */
interface Slot {
  done: Done | undefined;
  opcode: number;
  /** How many looks there had been when it was put in the queue. */
  looks: number;
  readonly list: BigUint64Array;
  readonly listAddress: bigint;
  /** What the list is of: the pages behind the first of what begins there. */
  iova: bigint;
  second: bigint;
  listed: number;
}

/** Where queues are: in this memory, with doorbells behind these registers, so many bytes apart. */
export interface QueuePlace {
  readonly dma: AddressSpace;
  readonly mmio: Mmio;
  readonly doorbellStride: number;
  readonly shadow?: ShadowDoorbells | undefined;
}

/** A submission queue and its completion queue. Its commands are done in any order. */
export class QueuePair {
  readonly id: number;
  readonly submissions: DescriptorRing<typeof command>;
  readonly completions: DescriptorRing<typeof completion>;
  readonly #submissionDoorbell: Doorbell;
  readonly #completionDoorbell: Doorbell;
  /** A page for each command in flight, where its data is of more than two. */
  readonly #lists: DmaBuffer;
  readonly #slots: readonly Slot[];
  /** Identifiers. */
  readonly #free: number[];
  #looks = 0;

  /** `depth` places, of which one always stays empty. The memory is freed when `owner` is closed: after the controller stops. */
  constructor(id: number, depth: number, owner: Resource, { dma, mmio, doorbellStride, shadow }: QueuePlace) {
    this.id = id;
    const owned = <Memory extends Resource>(buffer: Memory): Memory => {
      owner.afterwards(() => buffer.close());
      return buffer;
    };
    this.submissions = DescriptorRing.allocate(dma, command, depth);
    owned(this.submissions.buffer);
    this.completions = DescriptorRing.allocate(dma, completion, depth);
    owned(this.completions.buffer);
    this.#lists = owned(dma.allocate(depth * pageSize));
    this.#submissionDoorbell = new Doorbell(mmio, doorbells, 2 * id * doorbellStride, shadow);
    this.#completionDoorbell = new Doorbell(mmio, doorbells, (2 * id + 1) * doorbellStride, shadow);
    this.#slots = Array.from({ length: depth - 1 }, (_, identifier) => ({
      done: undefined,
      opcode: 0,
      looks: 0,
      list: new BigUint64Array(this.#lists.memory, identifier * pageSize, pageSize / 8),
      listAddress: this.#lists.iova + BigInt(identifier * pageSize),
      iova: 0n,
      second: 0n,
      listed: 0,
    }));
    this.#free = Array.from(this.#slots.keys()).reverse();
  }

  get depth(): number {
    return this.submissions.count;
  }

  get inFlight(): number {
    return this.submissions.used;
  }

  /** Puts a command in the queue; `ring` tells the controller. False when the queue is full. */
  put({ opcode, namespace = 0, data, dword10 = 0, dword11 = 0, dword12 = 0 }: Command, done: Done): boolean {
    const identifier = this.#free.pop();
    if (identifier === undefined) return false;
    const slot = this.#slots[identifier]!;
    slot.done = done;
    slot.opcode = opcode;
    slot.looks = this.#looks;
    const entry = this.submissions.next();
    entry.opcode = opcode;
    entry.flags = 0;
    entry.identifier = identifier;
    entry.namespace = namespace;
    entry.prp1 = data === undefined ? 0n : data.iova;
    entry.prp2 = data === undefined ? 0n : secondPointer(slot, data.iova, data.bytes);
    entry.dword10 = dword10;
    entry.dword11 = dword11;
    entry.dword12 = dword12;
    this.submissions.push();
    return true;
  }

  /** Tells the controller of what was put since the last time. */
  ring(): void {
    this.#submissionDoorbell.ring(this.submissions.tail);
  }

  /** Ends the commands that are done. Returns how many. */
  poll(): number {
    const { completions } = this;
    let ended = 0;
    for (;;) {
      const answer = completions.oldest();
      const { status } = answer;
      // The phase is 1 in the first lap of the controller, and turns with each.
      if ((status & 1) === (completions.laps & 1)) break;
      const { identifier, result } = answer;
      completions.shift();
      ended += 1;
      this.#end(identifier, status >> 1, result);
    }
    if (ended > 0) this.#completionDoorbell.ring(completions.head);
    return ended;
  }

  /** Counts the looks at what is in flight, and gives the opcode of a command that has been there for so many. */
  look(most: number): number | undefined {
    this.#looks += 1;
    return this.#slots.find(({ done, looks }) => done !== undefined && this.#looks - looks >= most)?.opcode;
  }

  /** Ends all commands that the controller will not end any more. */
  abandon(status: number): void {
    for (const [identifier, { done }] of this.#slots.entries()) if (done !== undefined) this.#end(identifier, status, 0);
  }

  /** As many places are free as commands have ended: the controller has taken at least those out of the queue. */
  #end(identifier: number, status: number, result: number): void {
    const slot = this.#slots[identifier];
    const done = slot?.done;
    if (slot === undefined || done === undefined) throw new Error(`The controller ended command ${identifier}, which is not in flight`);
    slot.done = undefined;
    this.#free.push(identifier);
    this.submissions.shift();
    done(status, result);
  }
}

/** The second page, or a list of all behind the first. */
function secondPointer(slot: Slot, iova: bigint, bytes: number): bigint {
  const behind = Math.ceil(bytes / pageSize) - 1;
  if (behind <= 0) return 0n;
  if (slot.iova !== iova) {
    slot.iova = iova;
    slot.second = iova + BigInt(pageSize);
    slot.listed = 0;
  }
  for (; slot.listed < behind; slot.listed += 1) slot.list[slot.listed] = iova + BigInt((slot.listed + 1) * pageSize);
  return behind === 1 ? slot.second : slot.listAddress;
}
