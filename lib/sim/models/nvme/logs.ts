/** Get Log Page (NVM Express 1.4, section 5.14): the bytes of each log. */
import { everyNamespace } from './command.js';
import { logPages } from './events.js';
import { temperature } from './features.js';
import { namespaceId, type Namespace } from './namespace.js';
import { adminCommandsOnly, everyCommandSet } from './registers.js';
import { status } from './status.js';

const supported = 1 << 0;
const changesBlocks = 1 << 1;
const changesNamespaces = 1 << 3;

/** Effects of the admin commands by opcode; those that are not here are not supported. */
export const adminCommands: Readonly<Record<number, number>> = {
  ...Object.fromEntries([0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x1c, 0x7c].map((opcode) => [opcode, supported])),
  0x15: supported | changesNamespaces,
  0x80: supported | changesBlocks,
};

/** The same of NVM's commands. */
export const ioCommands: Readonly<Record<number, number>> = {
  ...Object.fromEntries([0x00, 0x01, 0x08, 0x09, 0x19].map((opcode) => [opcode, supported | changesBlocks])),
  ...Object.fromEntries([0x02, 0x05, 0x0c].map((opcode) => [opcode, supported])),
};

/** The same of a zoned namespace's. */
const zonedCommands: Readonly<Record<number, number>> = {
  ...ioCommands,
  0x79: supported | changesBlocks,
  0x7a: supported,
  0x7d: supported | changesBlocks,
};

interface LogRequest {
  readonly log: number;
  readonly namespace: number;
  readonly commandSet: number;
}

interface LogSource {
  readonly disk: Namespace;
  readonly tooHotOrCold: boolean;
  /** CC.CSS. */
  readonly commandSets: number;
  /** Since the drive was made. */
  readonly hours: number;
}

const sizes: Readonly<Record<number, number>> = {
  [logPages.errors]: 64,
  [logPages.smart]: 512,
  [logPages.firmware]: 512,
  [logPages.changedNamespaces]: 4096,
  [logPages.effects]: 4096,
};

/** Bytes of a log, or undefined: there is none. */
export function logSize(log: number): number | undefined {
  return sizes[log];
}

/** A whole log, or a status. */
export function readLog({ log, namespace, commandSet }: LogRequest, source: LogSource): Uint8Array | number {
  const bytes = new Uint8Array(sizes[log] ?? 0);
  const view = new DataView(bytes.buffer);
  switch (log) {
    case logPages.smart:
      if (namespace !== everyNamespace && namespace !== namespaceId) return status.invalidNamespace;
      fillSmart(view, source);
      break;
    case logPages.firmware:
      view.setUint8(0, 1);
      for (const [index, character] of [...'1.0     '].entries()) view.setUint8(8 + index, character.charCodeAt(0));
      break;
    case logPages.effects:
      for (const [opcode, effects] of Object.entries(adminCommands)) view.setUint32(4 * Number(opcode), effects, true);
      for (const [opcode, effects] of Object.entries(ioEffects(source.commandSets, commandSet)))
        view.setUint32(1024 + 4 * Number(opcode), effects, true);
      break;
  }
  return bytes;
}

function ioEffects(commandSets: number, commandSet: number): Readonly<Record<number, number>> {
  if (commandSets === adminCommandsOnly) return {};
  if (commandSets !== everyCommandSet || commandSet === 0) return ioCommands;
  return commandSet === 2 ? zonedCommands : {};
}

function fillSmart(view: DataView, { disk, tooHotOrCold, hours }: LogSource): void {
  view.setUint8(0, tooHotOrCold ? 1 << 1 : 0);
  view.setUint16(1, temperature, true);
  // In units of a thousand times 512 bytes.
  view.setBigUint64(32, BigInt(Math.ceil(disk.read.bytes / 512_000)), true);
  view.setBigUint64(48, BigInt(Math.ceil(disk.written.bytes / 512_000)), true);
  view.setBigUint64(64, BigInt(disk.read.commands), true);
  view.setBigUint64(80, BigInt(disk.written.commands), true);
  view.setBigUint64(128, BigInt(hours), true);
}
