/** An NVMe controller as QEMU's `nvme` is one: its registers and doorbells, and which command goes where. */
import { expected } from '../../../kernel/error.js';
import type { Width } from '../../mapping.js';
import { PciFunction } from '../../pci/function.js';
import {
  abort,
  adminOpcodes,
  attachNamespace,
  createCompletionQueue,
  createSubmissionQueue,
  deleteCompletionQueue,
  deleteSubmissionQueue,
  format,
  manageVirtualization,
  type QueueHost,
} from './admin.js';
import type { Command } from './command.js';
import { nvmeIdentity } from './config.js';
import type { Disk } from './disk.js';
import { errorEvents, eventKinds, Events, logPages, temperatureEvent } from './events.js';
import { Features, type Answer, type FeatureHost } from './features.js';
import { identify, transferPages, type ControllerIdentity } from './identify.js';
import { doIo } from './io.js';
import { adminCommands, logSize, readLog } from './logs.js';
import { Namespace } from './namespace.js';
import { CompletionQueue, SubmissionQueue } from './queues.js';
import {
  capabilities,
  doorbells,
  fatal,
  parseConfiguration,
  ready,
  registers,
  shutdownComplete,
  shutdownStatus,
  specification,
  type Configuration,
} from './registers.js';
import { ShadowDoorbells } from './shadow-doorbells.js';
import { status } from './status.js';
import { receive, send } from './transfer.js';

const queuePairs = 64;
const vectors = 65;
/** What lies behind in the BAR is the table of MSI-X. */
const doorbellsEnd = 0x2000;
const smartTemperature = 1 << 1;

export interface NvmeOptions {
  /** Bytes of its disk, which take memory only where they were written. Default: 64 MiB. */
  readonly size?: number;
  /** Bytes of a logical block, 512 or 4096; the Format command can change them. Default: 512. */
  readonly blockSize?: 512 | 4096;
  /** The serial number, at most 20 characters. Default: 'simulated'. */
  readonly serial?: string;
}

/**
 * An NVMe controller with one namespace, as QEMU's `nvme` with a drive: 64 pairs of I/O queues, 65 MSI-X vectors or INTx,
 * transfers of up to 128 pages by PRP. A command is done, and its completion in memory, when the write of the doorbell
 * returns.
 */
export class Nvme extends PciFunction {
  readonly #identity: ControllerIdentity;
  readonly #namespace: Namespace;
  readonly #registers = new DataView(new ArrayBuffer(doorbells));
  readonly #submissions = new Map<number, SubmissionQueue>();
  readonly #completions = new Map<number, CompletionQueue>();
  readonly #shadow = new ShadowDoorbells();
  readonly #features = new Features();
  readonly #events = new Events(({ queue, identifier }, result) => {
    queue.completions.add({ queue, identifier, status: status.success, result });
  });
  /** What CC says, and what it said when the controller was enabled. */
  #configuration = parseConfiguration(0);
  #active = parseConfiguration(0);
  #queuesCreated = false;
  /** The completion queues' bits of the INTx line, and how many of them have something to take. */
  #lines = 0;
  #queuesWithCompletions = 0;
  /** When it was first enabled: its hours count from there. */
  #born: number | undefined;

  constructor({ size = 64 << 20, blockSize = 512, serial = 'simulated' }: NvmeOptions = {}) {
    super(nvmeIdentity({ vectors, barSize: 0x4000 }));
    if (!Number.isSafeInteger(size) || size <= 0 || size % 4096 !== 0) throw expected('a positive multiple of 4096', 'size', size);
    if (blockSize !== 512 && blockSize !== 4096) throw expected('512 or 4096', 'blockSize', blockSize);
    if (!/^[ -~]{0,20}$/.test(serial)) throw expected('at most 20 ASCII characters', 'serial', serial);
    const { vendor, subsystemVendor = 0 } = this.identity;
    this.#identity = { vendor, subsystemVendor, serial, queuePairs, vectors };
    this.#namespace = new Namespace(size, blockSize);
    this.#registers.setBigUint64(registers.capabilities, capabilities, true);
    this.#registers.setUint32(registers.version, specification, true);
  }

  /** What the drive holds: to be filled before, or looked at after. */
  get disk(): Disk {
    return this.#namespace.disk;
  }

  protected override readBar(_bar: number, offset: number, width: Width): bigint {
    if (offset > doorbells - width) return 0n;
    const bytes = new DataView(new ArrayBuffer(8));
    for (let index = 0; index < width; index += 1) bytes.setUint8(index, this.#registers.getUint8(offset + index));
    return bytes.getBigUint64(0, true);
  }

  protected override writeBar(_bar: number, offset: number, width: Width, value: bigint): void {
    const word = Number(value & 0xffff_ffffn);
    if (offset < doorbells) this.#writeRegister(offset, width, value, word);
    else if (offset >= doorbellsEnd) return;
    else if (offset % 8 === 0) this.#submissionDoorbell((offset - doorbells) >> 3, word & 0xffff);
    else if (offset % 4 === 0) this.#completionDoorbell((offset - doorbells) >> 3, word & 0xffff);
  }

  protected override resetRegisters(): void {
    this.#reset();
  }

  /** A narrower write of a register that is written whole gives zeros for the rest. */
  #writeRegister(offset: number, width: Width, value: bigint, word: number): void {
    switch (offset) {
      case registers.interruptMaskSet:
        return this.#mask(this.#get(registers.interruptMaskSet) | word);
      case registers.interruptMaskClear:
        return this.#mask(this.#get(registers.interruptMaskSet) & ~word);
      case registers.configuration:
        return this.#configure(word);
      case registers.adminQueueAttributes:
      case registers.adminSubmissionQueue + 4:
      case registers.adminCompletionQueue + 4:
        return this.#put(offset, word);
      case registers.adminSubmissionQueue:
      case registers.adminCompletionQueue:
        for (let index = 0; index < width; index += 1)
          this.#registers.setUint8(offset + index, Number((value >> BigInt(8 * index)) & 0xffn));
    }
  }

  #get(offset: number): number {
    return this.#registers.getUint32(offset, true);
  }

  #put(offset: number, value: number): void {
    this.#registers.setUint32(offset, value >>> 0, true);
  }

  #mask(masked: number): void {
    this.#put(registers.interruptMaskSet, masked);
    this.#put(registers.interruptMaskClear, masked);
    this.#updateLine();
  }

  #configure(value: number): void {
    const [before, now] = [this.#configuration, parseConfiguration(value)];
    this.#configuration = now;
    this.#put(registers.configuration, value);
    let state = this.#get(registers.status);
    if (now.shutdown !== before.shutdown) state = (state & ~shutdownStatus) | (now.shutdown ? shutdownComplete : 0);
    if (now.enabled && !before.enabled) state = this.#start(now) ? ready : fatal;
    else if (!now.enabled && before.enabled) return this.#reset();
    this.#put(registers.status, state);
  }

  /** Makes the admin queues, if the registers describe some. */
  #start(configuration: Configuration): boolean {
    const { possible, pageSize } = configuration;
    const attributes = this.#get(registers.adminQueueAttributes);
    const [lastSubmission, lastCompletion] = [attributes & 0xfff, (attributes >>> 16) & 0xfff];
    const submissions = this.#registers.getBigUint64(registers.adminSubmissionQueue, true);
    const completions = this.#registers.getBigUint64(registers.adminCompletionQueue, true);
    const misplaced = ((submissions | completions) & BigInt(pageSize - 1)) !== 0n;
    if (!possible || misplaced || lastSubmission === 0 || lastCompletion === 0 || this.#submissions.has(0)) return false;
    this.#active = configuration;
    const queue = new CompletionQueue({ id: 0, address: completions, size: lastCompletion + 1 }, 0);
    this.#completions.set(0, queue);
    this.#submissions.set(0, new SubmissionQueue({ id: 0, address: submissions, size: lastSubmission + 1 }, queue));
    this.#born ??= this.clock.now;
    this.#features.restartTimestamp(this.clock.now);
    return true;
  }

  #reset(): void {
    this.#submissions.clear();
    this.#completions.clear();
    this.#events.reset();
    this.#shadow.disable();
    this.#queuesCreated = false;
    this.#configuration = parseConfiguration(0);
    for (const register of [registers.status, registers.interruptMaskSet, registers.interruptMaskClear, registers.configuration])
      this.#put(register, 0);
  }

  #submissionDoorbell(id: number, tail: number): void {
    const queue = this.#submissions.get(id);
    if (queue === undefined) return this.#reportError(errorEvents.invalidDoorbell);
    if (tail >= queue.size) return this.#reportError(errorEvents.invalidDoorbellValue);
    queue.tail = tail;
    if (id === 0) this.#shadow.copyTail(this.dma, queue);
    this.#process(queue);
  }

  #completionDoorbell(id: number, head: number): void {
    const queue = this.#completions.get(id);
    if (queue === undefined) return this.#reportError(errorEvents.invalidDoorbell);
    if (head >= queue.size) return this.#reportError(errorEvents.invalidDoorbellValue);
    const wasFull = queue.full;
    queue.head = head;
    if (id === 0) this.#shadow.copyHead(this.dma, queue);
    if (queue.empty) this.#quieten(queue);
    if (!wasFull) return;
    this.#post(queue);
    for (const source of queue.sources) this.#process(source);
  }

  #reportError(information: number): void {
    if (!this.#events.requested) return;
    this.#events.add({ kind: eventKinds.error, information, log: logPages.errors });
    const queue = this.#completions.get(0);
    if (queue?.unposted === true) this.#post(queue);
  }

  #process(queue: SubmissionQueue): void {
    const { completions, command } = queue;
    const { dma } = this;
    const io = this.#io;
    this.#shadow.readTail(dma, queue);
    while (queue.pending) {
      if (!queue.fetch(dma)) {
        this.#fail();
        break;
      }
      const answer = queue.id === 0 ? this.#administer(command, queue) : { status: doIo(command, io), result: 0 };
      if (answer !== undefined) completions.add({ queue, identifier: command.identifier, ...answer });
      this.#shadow.tellTail(dma, queue);
      this.#shadow.readTail(dma, queue);
    }
    if (completions.unposted) this.#post(completions);
  }

  get #io(): Parameters<typeof doIo>[1] {
    const { pageSize, commandSet } = this.#active;
    return { dma: this.dma, disk: this.#namespace, pageSize, commandSet };
  }

  /** Undefined: the command is not over. */
  #administer(command: Command, queue: SubmissionQueue): Answer | undefined {
    const { opcode } = command;
    if (adminCommands[opcode] === undefined) return ended(status.invalidOpcode);
    if (command.usesScatterGather) return ended(status.invalidField);
    if (command.fused) return ended(status.fused);
    switch (opcode) {
      case adminOpcodes.deleteSubmissionQueue:
        return ended(deleteSubmissionQueue(command, this.#queues));
      case adminOpcodes.createSubmissionQueue:
        return ended(createSubmissionQueue(command, this.#queues));
      case adminOpcodes.getLogPage:
        return ended(this.#getLogPage(command));
      case adminOpcodes.deleteCompletionQueue:
        return ended(deleteCompletionQueue(command, this.#queues));
      case adminOpcodes.createCompletionQueue:
        return ended(createCompletionQueue(command, this.#queues));
      case adminOpcodes.identify:
        return ended(this.#identify(command));
      case adminOpcodes.abort:
        return abort(command, this.#queues);
      case adminOpcodes.setFeatures:
        return this.#features.set(command, this.#featureHost(command));
      case adminOpcodes.getFeatures:
        return this.#features.get(command, this.#featureHost(command));
      case adminOpcodes.requestEvent:
        return this.#events.request({ queue, identifier: command.identifier }) ? undefined : ended(status.tooManyEventRequests);
      case adminOpcodes.attachNamespace:
        return ended(attachNamespace(command));
      case adminOpcodes.manageVirtualization:
        return ended(manageVirtualization(command));
      case adminOpcodes.shadowDoorbells:
        return ended(this.#configureShadow(command));
      case adminOpcodes.format:
        return ended(format(command, this.#namespace));
      default:
        return ended(status.invalidOpcode);
    }
  }

  #identify(command: Command): number {
    const request = { structure: command.word(10) & 0xff, namespace: command.namespace, commandSet: command.word(11) >>> 24 };
    const bytes = identify(request, this.#namespace, this.#identity);
    return typeof bytes === 'number' ? bytes : send(this.dma, command, bytes, this.#active.pageSize);
  }

  #getLogPage(command: Command): number {
    const { pageSize } = this.#active;
    const [log, keepsEvents] = [command.word(10) & 0xff, (command.word(10) & 0x8000) !== 0];
    const wanted = (((command.word(11) & 0xffff) * 0x1_0000 + (command.word(10) >>> 16) + 1) * 4) % 2 ** 32;
    const offset = command.word(13) * 2 ** 32 + command.word(12);
    if (offset % 4 !== 0 || wanted > pageSize << transferPages) return status.invalidField;
    const size = logSize(log);
    if (size === undefined || offset >= size) return status.invalidField;
    const request = { log, namespace: command.namespace, commandSet: command.word(14) >>> 24 };
    const hours = Math.floor((this.clock.now - (this.#born ?? 0)) / 3_600_000);
    const { tooHotOrCold } = this.#features;
    const bytes = readLog(request, { disk: this.#namespace, tooHotOrCold, commandSets: this.#configuration.commandSet, hours });
    if (typeof bytes === 'number') return bytes;
    if (!keepsEvents && log === logPages.errors) this.#events.read(eventKinds.error);
    if (!keepsEvents && log === logPages.smart) this.#events.read(eventKinds.smart);
    return send(this.dma, command, bytes.subarray(offset, offset + wanted), pageSize);
  }

  #configureShadow({ prp1, prp2 }: Command): number {
    const { dma } = this;
    if (((prp1 | prp2) & BigInt(this.#active.pageSize - 1)) !== 0n) return status.invalidField;
    this.#shadow.enable(prp1, prp2);
    for (const queue of this.#submissions.values()) this.#shadow.copyTail(dma, queue);
    for (const queue of this.#completions.values()) this.#shadow.copyHead(dma, queue);
    return status.success;
  }

  #featureHost(command: Command): FeatureHost {
    const { dma } = this;
    const { pageSize } = this.#active;
    return {
      queuePairs,
      queuesCreated: this.#queuesCreated,
      now: () => this.clock.now,
      send: (bytes) => send(dma, command, bytes, pageSize),
      receive: (bytes) => receive(dma, command, bytes, pageSize),
      temperatureEvent: () => {
        if ((this.#features.eventConfiguration & smartTemperature) !== 0)
          this.#events.add({ kind: eventKinds.smart, information: temperatureEvent, log: logPages.smart });
      },
    };
  }

  get #queues(): QueueHost {
    return {
      submissions: this.#submissions,
      completions: this.#completions,
      queuePairs,
      vectors: this.msixEnabled ? vectors : 1,
      pageSize: this.#active.pageSize,
      queueCreated: () => (this.#queuesCreated = true),
      post: (queue) => this.#post(queue),
      deleted: (queue) => this.#quieten(queue, queue.empty ? 0 : 1),
    };
  }

  /** Writes what waits in a completion queue, and interrupts while there is something to take. */
  #post(queue: CompletionQueue): void {
    const wasEmpty = queue.empty;
    if (!queue.post(this.dma, this.#shadow)) this.#fail();
    const { vector } = queue;
    if (queue.empty || vector === undefined) return;
    if (wasEmpty) this.#queuesWithCompletions += 1;
    if (this.msixEnabled) return this.sendMsi(vector);
    this.#lines |= 1 << vector;
    this.#updateLine();
  }

  /** The host took the last completion of a queue, or deleted it. */
  #quieten({ vector }: CompletionQueue, taken = 1): void {
    if (vector === undefined) return;
    this.#queuesWithCompletions -= taken;
    if (this.msixEnabled) return;
    if (this.#queuesWithCompletions === 0) this.#lines &= ~(1 << vector);
    this.#updateLine();
  }

  #updateLine(): void {
    if (!this.msixEnabled) this.setIntx((this.#lines & ~this.#get(registers.interruptMaskSet)) !== 0);
  }

  /** Queues that are not to be reached end everything but the registers. */
  #fail(): void {
    this.#put(registers.status, fatal);
  }
}

function ended(reason: number): Answer {
  return { status: reason, result: 0 };
}
