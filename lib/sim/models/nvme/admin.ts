/** The admin commands (NVM Express 1.4, section 5). */
import { everyNamespace, type Command } from './command.js';
import type { Answer } from './features.js';
import { blockFormats } from './identify.js';
import { lastNamespaceId, namespaceId, type Namespace } from './namespace.js';
import { CompletionQueue, SubmissionQueue } from './queues.js';
import { lastQueueEntry } from './registers.js';
import { status } from './status.js';

export const adminOpcodes = {
  deleteSubmissionQueue: 0x00,
  createSubmissionQueue: 0x01,
  getLogPage: 0x02,
  deleteCompletionQueue: 0x04,
  createCompletionQueue: 0x05,
  identify: 0x06,
  abort: 0x08,
  setFeatures: 0x09,
  getFeatures: 0x0a,
  requestEvent: 0x0c,
  attachNamespace: 0x15,
  manageVirtualization: 0x1c,
  shadowDoorbells: 0x7c,
  format: 0x80,
} as const;

const contiguous = 1 << 0;
const interruptsEnabled = 1 << 1;

/** The queues that commands create and delete. */
export interface QueueHost {
  readonly submissions: Map<number, SubmissionQueue>;
  readonly completions: Map<number, CompletionQueue>;
  readonly queuePairs: number;
  /** Interrupt vectors there are: 1 without MSI-X. */
  readonly vectors: number;
  readonly pageSize: number;
  queueCreated(): void;
  /** Writes what waits in a completion queue, and interrupts. */
  post(queue: CompletionQueue): void;
  /** The host takes nothing any more from a completion queue. */
  deleted(queue: CompletionQueue): void;
}

export function createCompletionQueue(command: Command, host: QueueHost): number {
  const [id, last] = halves(command.word(10));
  const [flags, vector] = halves(command.word(11));
  if (id === 0 || id > host.queuePairs || host.completions.has(id)) return status.invalidQueue;
  if (last === 0 || last > lastQueueEntry) return status.invalidQueueSize;
  if (!aligned(command.prp1, host.pageSize)) return status.invalidPrpOffset;
  if (vector >= host.vectors) return status.invalidInterruptVector;
  if ((flags & contiguous) === 0) return status.invalidField;
  const interrupts = (flags & interruptsEnabled) !== 0;
  host.completions.set(id, new CompletionQueue({ id, address: command.prp1, size: last + 1 }, interrupts ? vector : undefined));
  host.queueCreated();
  return status.success;
}

export function createSubmissionQueue(command: Command, host: QueueHost): number {
  const [id, last] = halves(command.word(10));
  const [flags, completionId] = halves(command.word(11));
  const completions = completionId === 0 ? undefined : host.completions.get(completionId);
  if (completions === undefined) return status.invalidCompletionQueue;
  if (id === 0 || id > host.queuePairs || host.submissions.has(id)) return status.invalidQueue;
  if (last === 0 || last > lastQueueEntry) return status.invalidQueueSize;
  if (!aligned(command.prp1, host.pageSize)) return status.invalidPrpOffset;
  if ((flags & contiguous) === 0) return status.invalidField;
  host.submissions.set(id, new SubmissionQueue({ id, address: command.prp1, size: last + 1 }, completions));
  return status.success;
}

export function deleteSubmissionQueue(command: Command, host: QueueHost): number {
  const [id] = halves(command.word(10));
  const queue = id === 0 ? undefined : host.submissions.get(id);
  if (queue === undefined) return status.invalidQueue;
  host.post(queue.completions);
  queue.completions.forget(queue);
  host.submissions.delete(id);
  return status.success;
}

export function deleteCompletionQueue(command: Command, host: QueueHost): number {
  const [id] = halves(command.word(10));
  const queue = id === 0 ? undefined : host.completions.get(id);
  if (queue === undefined) return status.invalidCompletionQueue;
  if (queue.sources.size > 0) return status.invalidQueueDeletion;
  host.deleted(queue);
  host.completions.delete(id);
  return status.success;
}

/** Every command is over before it can be aborted. */
export function abort(command: Command, { submissions }: QueueHost): Answer {
  return { status: submissions.has(command.word(10) & 0xffff) ? status.success : status.invalidField, result: 1 };
}

/** Namespaces are attached to controllers of a subsystem, and this one is in none. */
export function attachNamespace({ namespace }: Command): number {
  return isNamespaceId(namespace) ? status.invalidField : status.invalidNamespace;
}

/** Gives queues and interrupts to virtual functions, of which there are none. */
export function manageVirtualization(command: Command): number {
  const [actions, controller] = halves(command.word(10));
  if (((actions >>> 8) & 7) > 1) return status.invalidResource;
  switch (actions & 0xf) {
    case 1:
      if (controller !== 0) return status.invalidController;
      return (command.word(11) & 0xffff) === 0 ? status.success : status.invalidResourceCount;
    case 7:
    case 8:
    case 9:
      return status.invalidController;
    default:
      return status.invalidField;
  }
}

/** Erases the disk and chooses its block size. */
export function format(command: Command, disk: Namespace): number {
  const { namespace } = command;
  if (!isNamespaceId(namespace)) return status.invalidNamespace;
  if (namespace !== namespaceId && namespace !== everyNamespace) return status.invalidField;
  const chosen = blockFormats[command.word(10) & 0xf];
  const protection = (command.word(10) >>> 5) & 7;
  if (chosen === undefined || chosen.metadata !== 0 || protection !== 0) return status.invalidFormat;
  disk.disk.clear(0, disk.disk.size);
  disk.blockSize = chosen.size;
  return status.success;
}

function isNamespaceId(id: number): boolean {
  return id !== 0 && (id <= lastNamespaceId || id === everyNamespace);
}

function halves(word: number): [low: number, high: number] {
  return [word & 0xffff, word >>> 16];
}

function aligned(address: bigint, pageSize: number): boolean {
  return (address & BigInt(pageSize - 1)) === 0n;
}
