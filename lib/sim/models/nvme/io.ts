/** The commands of the NVM command set (NVM Express 1.4, section 6). */
import type { DmaPort } from '../../dma.js';
import { everyNamespace, type Command } from './command.js';
import { dataSegments, type Segment } from './data-pointer.js';
import { largestDeallocation, transferPages } from './identify.js';
import { ioCommands } from './logs.js';
import { lastNamespaceId, namespaceId, type Namespace } from './namespace.js';
import { adminCommandsOnly } from './registers.js';
import { status } from './status.js';
import { receive } from './transfer.js';

const opcodes = {
  flush: 0x00,
  write: 0x01,
  read: 0x02,
  compare: 0x05,
  writeZeroes: 0x08,
  manageData: 0x09,
  verify: 0x0c,
} as const;

const deallocate = 1 << 2;
const rangeSize = 16;
const copyRangeSize = 32;

/** What the commands work on. */
export interface IoHost {
  readonly dma: DmaPort;
  readonly disk: Namespace;
  readonly pageSize: number;
  /** CC.CSS. */
  readonly commandSet: number;
}

interface Blocks {
  /** Bytes from the disk's start, and how many. */
  readonly offset: number;
  readonly size: number;
}

/** Does a command and gives its status. */
export function doIo(command: Command, host: IoHost): number {
  const { opcode, namespace } = command;
  if (namespace === 0 || (namespace > lastNamespaceId && namespace !== everyNamespace)) return status.invalidNamespace;
  if (opcode === opcodes.flush) return namespace === namespaceId || namespace === everyNamespace ? status.success : status.invalidField;
  if (namespace !== namespaceId) return status.invalidField;
  if (ioCommands[opcode] === undefined || host.commandSet === adminCommandsOnly) return status.invalidOpcode;
  if (command.fused) return status.fused;
  switch (opcode) {
    case opcodes.write:
      return write(command, host);
    case opcodes.read:
      return read(command, host);
    case opcodes.compare:
      return compare(command, host);
    case opcodes.writeZeroes:
      return writeZeroes(command, host);
    case opcodes.manageData:
      return manageData(command, host);
    case opcodes.verify:
      return verify(command, host);
    default:
      return copy(command, host);
  }
}

/** The blocks a command is about, or a status. `limit`: bytes it may have; 0 is any number. */
function blocks(command: Command, { disk }: IoHost, limit: number): Blocks | number {
  const count = (command.word(12) & 0xffff) + 1;
  const size = count * disk.blockSize;
  if (limit !== 0 && size > limit) return status.invalidField;
  const { firstBlock } = command;
  if (!disk.holds(firstBlock, count)) return status.outOfRange;
  return { offset: Number(firstBlock) * disk.blockSize, size };
}

/** The blocks and where their data is in memory. */
function transfer(command: Command, host: IoHost): (Blocks & { readonly segments: readonly Segment[] }) | number {
  const found = blocks(command, host, host.pageSize << transferPages);
  if (typeof found === 'number') return found;
  const segments = dataSegments(host.dma, command, found.size, host.pageSize);
  return typeof segments === 'number' ? segments : { ...found, segments };
}

function read(command: Command, host: IoHost): number {
  const found = transfer(command, host);
  if (typeof found === 'number') return found | status.doNotRetry;
  const { dma, disk } = host;
  let { offset } = found;
  for (const { address, size } of found.segments) {
    for (let done = 0; done < size; ) {
      const part = disk.disk.readable(offset, size - done);
      dma.write(address + BigInt(done), part);
      done += part.byteLength;
      offset += part.byteLength;
    }
  }
  disk.read.commands += 1;
  disk.read.bytes += found.size;
  return status.success;
}

function write(command: Command, host: IoHost): number {
  const found = transfer(command, host);
  if (typeof found === 'number') return found | status.doNotRetry;
  const { dma, disk } = host;
  let { offset } = found;
  for (const { address, size } of found.segments) {
    for (let done = 0; done < size; ) {
      const part = disk.disk.writable(offset, size - done);
      if (!dma.read(address + BigInt(done), part)) part.fill(0);
      done += part.byteLength;
      offset += part.byteLength;
    }
  }
  disk.written.commands += 1;
  disk.written.bytes += found.size;
  return status.success;
}

function compare(command: Command, host: IoHost): number {
  const found = blocks(command, host, host.pageSize << transferPages);
  if (typeof found === 'number') return found;
  const given = new Uint8Array(found.size);
  const received = receive(host.dma, command, given, host.pageSize);
  if (received !== status.success) return received;
  const stored = new Uint8Array(found.size);
  host.disk.disk.read(found.offset, stored);
  if (Buffer.compare(given, stored) !== 0) return status.compareFailure;
  host.disk.read.commands += 1;
  host.disk.read.bytes += found.size;
  return status.success;
}

function writeZeroes(command: Command, host: IoHost): number {
  const found = blocks(command, host, 0);
  if (typeof found === 'number') return found;
  host.disk.disk.clear(found.offset, found.size);
  return status.success;
}

function verify(command: Command, host: IoHost): number {
  const found = blocks(command, host, host.pageSize << transferPages);
  return typeof found === 'number' ? found : status.success;
}

/** Copies ranges of no blocks, which is what QEMU's controller says it can: one with some fails inside. */
function copy(command: Command, { dma, pageSize }: IoHost): number {
  const [more, format] = [command.word(12) & 0xff, (command.word(12) >>> 8) & 0xf];
  if (format > 1) return status.invalidField;
  if (more > 0) return status.commandSizeLimit;
  if (format === 1) return status.invalidFormat;
  const received = receive(dma, command, new Uint8Array(copyRangeSize), pageSize);
  return received === status.success ? status.internalError : received;
}

/** Deallocates ranges; what does not lie on the disk is passed over. */
function manageData(command: Command, { dma, disk, pageSize }: IoHost): number {
  if ((command.word(11) & deallocate) === 0) return status.success;
  const ranges = new DataView(new ArrayBuffer(((command.word(10) & 0xff) + 1) * rangeSize));
  const received = receive(dma, command, new Uint8Array(ranges.buffer), pageSize);
  if (received !== status.success) return received;
  for (let at = 0; at < ranges.byteLength; at += rangeSize) {
    const [count, first] = [ranges.getUint32(at + 4, true), ranges.getBigUint64(at + 8, true)];
    if (count > largestDeallocation(disk.blockSize) || !disk.holds(first, count)) continue;
    disk.disk.clear(Number(first) * disk.blockSize, count * disk.blockSize);
  }
  return status.success;
}
