import type { AddressSpace } from 'vfio';
import { checkedInteger } from '../checks.js';
import type { Controller } from '../controller.js';
import { io, pageSize } from '../layout.js';
import type { Namespace } from '../namespace.js';
import { fillBlock, wrongWord } from './pattern.js';

export interface VerifyOptions {
  /** Commands in all. */
  readonly operations: number;
  /** Commands in flight. */
  readonly depth: number;
  /** Another seed is another sequence, and other contents. */
  readonly seed: number;
  /** The first so many blocks of the namespace. Default: all, which takes 5 bytes of memory for each. */
  readonly blocks?: number;
}

export interface VerifyResult {
  readonly reads: number;
  readonly writes: number;
  readonly blocksRead: number;
  readonly blocksWritten: number;
  readonly seconds: number;
}

/** Blocks of a command: from 1 to so many. */
const longest = 16;
/** Among fewer, commands would hardly find blocks that no other has. */
const leastBlocksOfEach = 4 * longest;
const busyMilliseconds = 20;

/**
 * Reads and writes by chance, and compares all that is read with what was written last. It overwrites what is there. Commands in
 * flight have no block in common. What was not written yet is written, not read.
 * @throws Error that says which block is wrong; RangeError; CommandError
 */
export async function verify(
  controller: Controller,
  namespace: Namespace,
  dma: AddressSpace,
  options: VerifyOptions,
): Promise<VerifyResult> {
  const { operations, depth, seed } = options;
  const { io: attendant } = controller;
  checkedInteger('operations', operations, 1, Number.MAX_SAFE_INTEGER);
  checkedInteger('depth', depth, 1, attendant.queue.depth - 1);
  checkedInteger('seed', seed, 0, 0xffff_ffff);
  const most = Math.min(Number(namespace.blocks), 2 ** 31);
  const blocks = checkedInteger('blocks', options.blocks ?? most, depth * leastBlocksOfEach, most);
  namespace.assertPlain();
  controller.assertWorking();
  const run = new Run(namespace, blocks, seed, operations);
  using memory = dma.allocate(depth * run.stride);
  const slots = Array.from({ length: depth }, (_, index) => slot(run, index * run.stride, memory));
  const begin = performance.now();
  for (const issue of slots) issue();
  attendant.queue.ring();
  await attendant.attend(controller.completion === 'polling' ? busyMilliseconds : 0);
  controller.assertWorking();
  if (run.failure !== undefined) throw run.failure;
  const { reads, writes, blocksRead, blocksWritten } = run;
  return { reads, writes, blocksRead, blocksWritten, seconds: (performance.now() - begin) / 1000 };

  /** One command after the other in the same memory. Returns what issues the first. */
  function slot({ stride }: Run, offset: number, { memory: bytes, iova }: { memory: ArrayBuffer; iova: bigint }): () => void {
    const words = new Int32Array(bytes, offset, stride / 4);
    const command = {
      opcode: io.read as number,
      namespace: namespace.id,
      data: { iova: iova + BigInt(offset), bytes: 0 },
      dword10: 0,
      dword11: 0,
      dword12: 0,
    };
    const issue = (): void => {
      const { first, count, writes } = run.choose();
      if (writes) run.fill(words, first, count);
      command.opcode = writes ? io.write : io.read;
      command.data.bytes = count * namespace.blockSize;
      command.dword10 = first;
      command.dword12 = count - 1;
      attendant.queue.put(command, done);
    };
    const done = (status: number): void => {
      run.end(words, command.dword10, command.dword12 + 1, command.opcode === io.write, status);
      if (run.goesOn) issue();
    };
    return issue;
  }
}

/** What is known of each block, what comes next, and what has been counted. */
class Run {
  reads = 0;
  writes = 0;
  blocksRead = 0;
  blocksWritten = 0;
  failure: Error | undefined;
  /** Bytes of memory of a command. */
  readonly stride: number;
  readonly #wordsOfBlock: number;
  readonly #blocks: number;
  readonly #longest: number;
  readonly #seed: number;
  #left: number;
  #random: number;
  /** How often each block was written; 0: what is there is not known. */
  readonly #generations: Uint32Array;
  readonly #inFlight: Uint8Array;
  /** What `choose` chose: one object for all. */
  readonly #chosen = { first: 0, count: 0, writes: false };

  constructor({ blockSize, mostBlocks }: Namespace, blocks: number, seed: number, operations: number) {
    this.#wordsOfBlock = blockSize / 4;
    this.#blocks = blocks;
    this.#longest = Math.min(longest, mostBlocks);
    this.stride = Math.ceil((this.#longest * blockSize) / pageSize) * pageSize;
    this.#seed = seed | 0;
    // A generator of this kind stays at 0.
    this.#random = seed === 0 ? 1 : seed | 0;
    this.#left = operations;
    this.#generations = new Uint32Array(blocks);
    this.#inFlight = new Uint8Array(blocks);
  }

  get goesOn(): boolean {
    return this.#left > 0 && this.failure === undefined;
  }

  /** The next command: blocks that none in flight has. */
  choose(): { readonly first: number; readonly count: number; readonly writes: boolean } {
    const chosen = this.#chosen;
    do {
      chosen.count = 1 + this.#below(this.#longest);
      chosen.first = this.#below(this.#blocks - chosen.count + 1);
    } while (this.#holds(this.#inFlight, 1, chosen.first, chosen.count));
    chosen.writes = this.#below(2) === 0 || this.#holds(this.#generations, 0, chosen.first, chosen.count);
    this.#inFlight.fill(1, chosen.first, chosen.first + chosen.count);
    this.#left -= 1;
    return chosen;
  }

  /** What a write brings: the next generation of these blocks. */
  fill(words: Int32Array, first: number, count: number): void {
    for (let index = 0; index < count; index += 1) {
      const generation = (this.#generations[first + index]! += 1);
      fillBlock(words, index * this.#wordsOfBlock, this.#wordsOfBlock, first + index, generation, this.#seed);
    }
  }

  end(words: Int32Array, first: number, count: number, wrote: boolean, status: number): void {
    this.#inFlight.fill(0, first, first + count);
    if (status !== 0) {
      this.failure ??= new Error(
        `The ${wrote ? 'write' : 'read'} of ${count} blocks from ${first} on ended with status 0x${status.toString(16)}`,
      );
    } else if (wrote) {
      this.writes += 1;
      this.blocksWritten += count;
    } else {
      this.reads += 1;
      this.blocksRead += count;
      this.#compare(words, first, count);
    }
  }

  #compare(words: Int32Array, first: number, count: number): void {
    for (let index = 0; index < count; index += 1) {
      const [block, generation, at] = [first + index, this.#generations[first + index]!, index * this.#wordsOfBlock];
      const wrong = wrongWord(words, at, this.#wordsOfBlock, block, generation, this.#seed);
      if (wrong < 0) continue;
      this.failure ??= new Error(
        `Block ${block}, generation ${generation}, is wrong from byte ${4 * wrong} on: it says that it is ` +
          `block ${words[at]! >>> 0}, generation ${words[at + 1]! >>> 0}`,
      );
    }
  }

  #holds(of: Uint8Array | Uint32Array, value: number, first: number, count: number): boolean {
    for (let block = first; block < first + count; block += 1) if (of[block] === value) return true;
    return false;
  }

  /** Xorshift: the same for the same seed, as long as commands end in the same order. */
  #below(limit: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return Math.floor(((x >>> 0) / 2 ** 32) * limit);
  }
}
