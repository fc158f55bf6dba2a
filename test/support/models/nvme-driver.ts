/** A small NVMe driver, at the level of the library's own interface. */
import type { DmaBuffer, Interrupt, OpenDevice } from '../../../lib/index.js';
import { Trace, until, type RegisterName, type SingleMmio } from './trace.js';

const names: Readonly<Record<number, RegisterName>> = {
  0x00: { name: 'CAP' },
  0x08: { name: 'VS' },
  0x0c: { name: 'INTMS' },
  0x10: { name: 'INTMC' },
  0x14: { name: 'CC' },
  0x1c: { name: 'CSTS' },
  0x24: { name: 'AQA' },
  0x28: { name: 'ASQ', address: true },
  0x30: { name: 'ACQ', address: true },
};

function registerName(offset: number): RegisterName {
  if (offset < 0x1000 || offset >= 0x2000) return names[offset] ?? { name: `0x${offset.toString(16)}` };
  const id = (offset - 0x1000) >> 3;
  return { name: offset % 8 === 0 ? `SQ${id}TDBL` : `CQ${id}HDBL` };
}

/** Enabled, with entries of 64 and 16 bytes and pages of 4 KiB. */
export const enabled = 0x0046_0001;
export const memoryPage = 4096;

/** A submission queue entry, as far as it is not zero. */
export interface NvmeCommand {
  readonly opcode: number;
  readonly flags?: number;
  readonly namespace?: number;
  readonly prp1?: bigint;
  readonly prp2?: bigint;
  /** Command dwords from 10 on. */
  readonly words?: readonly number[];
}

export interface NvmeCompletion {
  readonly result: number;
  readonly head: number;
  readonly queue: number;
  readonly identifier: number;
  /** Without the phase. */
  readonly status: number;
}

/** A pair of queues. */
export class QueuePair {
  readonly id: number;
  readonly size: number;
  readonly submissions: DmaBuffer;
  readonly completions: DmaBuffer;
  readonly #registers: SingleMmio;
  readonly #commands: DataView;
  readonly #answers: DataView;
  #tail = 0;
  #head = 0;
  #phase = 1;
  #identifier = 0;

  constructor(id: number, size: number, submissions: DmaBuffer, completions: DmaBuffer, registers: SingleMmio) {
    this.id = id;
    this.size = size;
    this.submissions = submissions;
    this.completions = completions;
    this.#registers = registers;
    this.#commands = new DataView(submissions.memory);
    this.#answers = new DataView(completions.memory);
  }

  /** Puts a command in the queue and gives its identifier. */
  put({ opcode, flags = 0, namespace = 0, prp1 = 0n, prp2 = 0n, words = [] }: NvmeCommand): number {
    const [view, at] = [this.#commands, this.#tail * 64];
    new Uint8Array(this.submissions.memory, at, 64).fill(0);
    this.#identifier = (this.#identifier + 1) & 0xffff;
    view.setUint8(at, opcode);
    view.setUint8(at + 1, flags);
    view.setUint16(at + 2, this.#identifier, true);
    view.setUint32(at + 4, namespace, true);
    view.setBigUint64(at + 24, prp1, true);
    view.setBigUint64(at + 32, prp2, true);
    words.forEach((word, index) => view.setUint32(at + 40 + 4 * index, word, true));
    this.#tail = (this.#tail + 1) % this.size;
    return this.#identifier;
  }

  /** Tells the device of what was put. */
  ring(): void {
    this.#registers.write32(0x1000 + 8 * this.id, this.#tail);
  }

  get waiting(): boolean {
    return (this.#answers.getUint16(this.#head * 16 + 14, true) & 1) === this.#phase;
  }

  /** The next completion, which is there. */
  take(): NvmeCompletion {
    const [view, at] = [this.#answers, this.#head * 16];
    this.#head = (this.#head + 1) % this.size;
    if (this.#head === 0) this.#phase ^= 1;
    return {
      result: view.getUint32(at, true),
      head: view.getUint16(at + 8, true),
      queue: view.getUint16(at + 10, true),
      identifier: view.getUint16(at + 12, true),
      status: view.getUint16(at + 14, true) >> 1,
    };
  }

  /** Tells the device what was taken. */
  release(): void {
    this.#registers.write32(0x1004 + 8 * this.id, this.#head);
  }
}

export class NvmeDriver {
  readonly registers: SingleMmio;
  readonly trace = new Trace();
  readonly #opened: OpenDevice;
  #admin: QueuePair | undefined;

  constructor(opened: OpenDevice) {
    this.#opened = opened;
    this.registers = this.trace.registers(opened.device.region(0).mmio, registerName);
  }

  get admin(): QueuePair {
    if (this.#admin === undefined) throw new Error('The controller was not started');
    return this.#admin;
  }

  allocate(name: string, size: number): DmaBuffer {
    return this.trace.name(name, this.#opened.dma.allocate(size));
  }

  pair(id: number, size: number): QueuePair {
    return new QueuePair(id, size, this.allocate(`SQ${id}`, size * 64), this.allocate(`CQ${id}`, size * 16), this.registers);
  }

  /** CSTS when it has the bits, which only the last read is a line of. */
  async status(bits: number, value = bits): Promise<number> {
    const quiet = this.#opened.device.region(0).mmio;
    await until(() => (quiet.read32(0x1c) & bits) === value);
    return this.registers.read32(0x1c);
  }

  /** Resets the controller and enables it with an admin queue. */
  async start(size = 16, configuration = enabled): Promise<number> {
    const { registers } = this;
    registers.write32(0x14, 0);
    await this.status(1, 0);
    this.#admin = this.pair(0, size);
    registers.write32(0x24, ((size - 1) << 16) | (size - 1));
    registers.write64(0x28, this.admin.submissions.iova);
    registers.write64(0x30, this.admin.completions.iova);
    registers.write32(0x14, configuration);
    return this.status(3, (await this.#settled()) & 3);
  }

  async #settled(): Promise<number> {
    const quiet = this.#opened.device.region(0).mmio;
    await until(() => (quiet.read32(0x1c) & 3) !== 0);
    return quiet.read32(0x1c);
  }

  /** Does one command and waits, by interrupt or by looking. Both ends are lines. */
  async run(command: NvmeCommand, queue: QueuePair = this.admin, interrupt?: Interrupt): Promise<NvmeCompletion> {
    queue.put(command);
    queue.ring();
    return this.wait(queue, interrupt);
  }

  /** The next completion. */
  async wait(queue: QueuePair = this.admin, interrupt?: Interrupt): Promise<NvmeCompletion> {
    if (interrupt !== undefined) this.trace.note(`interrupts: ${await interrupt.wait({ timeoutMilliseconds: 5000 })}`);
    await until(() => queue.waiting);
    const completion = queue.take();
    const { result, head, identifier, status } = completion;
    this.trace.note(
      `completion of command ${identifier} of SQ${completion.queue}: ${words(status)}, result 0x${result.toString(16)}, head ${head}`,
    );
    queue.release();
    return completion;
  }

  /** Makes an I/O queue pair with an interrupt vector, or without one. */
  async createPair(id: number, size: number, vector?: number, interrupt?: Interrupt): Promise<QueuePair> {
    const pair = this.pair(id, size);
    const shape = ((size - 1) << 16) | id;
    const [completions, submissions] = [pair.completions.iova, pair.submissions.iova];
    await this.run({ opcode: 5, prp1: completions, words: [shape, vector === undefined ? 1 : (vector << 16) | 3] }, this.admin, interrupt);
    await this.run({ opcode: 1, prp1: submissions, words: [shape, (id << 16) | 1] }, this.admin, interrupt);
    return pair;
  }
}

function words(status: number): string {
  return status === 0 ? 'success' : `status 0x${(status & 0x7ff).toString(16)}${(status & 0x4000) === 0 ? '' : ', do not retry'}`;
}
