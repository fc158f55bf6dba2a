/** What Identify answers (NVM Express 1.4, section 5.15). */
import { everyNamespace } from './command.js';
import { lastNamespaceId, namespaceId, type Namespace } from './namespace.js';
import { specification } from './registers.js';
import { status } from './status.js';

const identifySize = 4096;
/** The most a command may transfer: 2 to this many of the smallest pages. */
export const transferPages = 7;
/** Asynchronous event requests that may be open, less one. */
export const lastEventRequest = 3;
export const temperatureWarning = 0x157;
const temperatureCritical = 0x175;

/** What a controller says of itself that is not the same of all. */
export interface ControllerIdentity {
  readonly vendor: number;
  readonly subsystemVendor: number;
  readonly serial: string;
  readonly queuePairs: number;
  readonly vectors: number;
}

/** Which of a controller's answers Identify wants: CNS values. */
const structures = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  descriptors: 0x03,
  commandSetNamespace: 0x05,
  commandSetController: 0x06,
  commandSetActiveNamespaces: 0x07,
  allocatedNamespaces: 0x10,
  allocatedNamespace: 0x11,
  primaryController: 0x14,
  secondaryControllers: 0x15,
  commandSetAllocatedNamespaces: 0x1a,
  commandSetAllocatedNamespace: 0x1b,
  commandSets: 0x1c,
} as const;

const zonedCommandSet = 2;

export interface IdentifyRequest {
  readonly structure: number;
  readonly namespace: number;
  /** The command set it is about: 0 is NVM. */
  readonly commandSet: number;
}

/** The bytes of a structure, or a status. */
export function identify(
  { structure, namespace, commandSet }: IdentifyRequest,
  disk: Namespace,
  controller: ControllerIdentity,
): Uint8Array | number {
  const notOne = namespace === 0 || namespace > lastNamespaceId;
  switch (structure) {
    case structures.controller:
      return controllerStructure(controller);
    case structures.namespace:
    case structures.allocatedNamespace:
      if (notOne) return status.invalidNamespace;
      return namespace === namespaceId ? namespaceStructure(disk) : empty();
    case structures.commandSetNamespace:
    case structures.commandSetAllocatedNamespace:
      if (notOne) return status.invalidNamespace;
      // NVM's own part is about protection information, which the disk has not.
      return namespace !== namespaceId || commandSet === 0 ? empty() : status.invalidField;
    case structures.activeNamespaces:
    case structures.allocatedNamespaces:
      return namespace >= everyNamespace - 1 ? status.invalidNamespace : namespaceList(namespace < namespaceId);
    case structures.commandSetActiveNamespaces:
    case structures.commandSetAllocatedNamespaces:
      if (namespace >= everyNamespace - 1) return status.invalidNamespace;
      if (commandSet !== 0 && commandSet !== zonedCommandSet) return status.invalidField;
      return namespaceList(namespace < namespaceId && commandSet === 0);
    case structures.descriptors:
      if (notOne) return status.invalidNamespace;
      return namespace === namespaceId ? descriptors() : status.invalidField;
    case structures.commandSetController:
      return commandSetController(commandSet, disk);
    case structures.primaryController:
      return primaryController(controller);
    case structures.secondaryControllers:
      return empty();
    case structures.commandSets:
      return filled((view) => view.setUint8(0, 1 | (1 << zonedCommandSet)));
    // Lists of controllers, too, are of a subsystem, and the controller is in none.
    default:
      return status.invalidField;
  }
}

function empty(): Uint8Array {
  return new Uint8Array(identifySize);
}

function filled(fill: (view: DataView) => void): Uint8Array {
  const bytes = empty();
  fill(new DataView(bytes.buffer));
  return bytes;
}

function namespaceList(listed: boolean): Uint8Array {
  return filled((view) => view.setUint32(0, listed ? namespaceId : 0, true));
}

function text(view: DataView, at: number, length: number, content: string, padding = ' '): void {
  for (let index = 0; index < length; index += 1) view.setUint8(at + index, content.padEnd(length, padding).charCodeAt(index));
}

function controllerStructure({ vendor, subsystemVendor, serial }: ControllerIdentity): Uint8Array {
  return filled((view) => {
    view.setUint16(0, vendor, true);
    view.setUint16(2, subsystemVendor, true);
    text(view, 4, 20, serial);
    text(view, 24, 40, 'QEMU NVMe Ctrl');
    text(view, 64, 8, '7.2.22');
    view.setUint8(72, 6); // recommended arbitration burst
    view.setUint8(74, 0x54); // IEEE identifier 52:54:00
    view.setUint8(75, 0x52);
    view.setUint8(77, transferPages);
    view.setUint32(80, specification, true);
    view.setUint32(92, 1 << 8, true); // tells of changed namespaces
    view.setUint32(96, 1 << 15, true); // extended block formats
    view.setUint8(111, 1); // an I/O controller
    view.setUint16(256, (1 << 1) | (1 << 3) | (1 << 8), true); // format, namespace management, shadow doorbells
    view.setUint8(258, 3); // abort commands
    view.setUint8(259, lastEventRequest);
    view.setUint8(260, (1 << 1) | 1); // one firmware slot, that cannot be written
    view.setUint8(261, 7); // SMART of a namespace, effects of commands, long logs
    view.setUint16(266, temperatureWarning, true);
    view.setUint16(268, temperatureCritical, true);
    view.setUint8(512, 0x66); // submission queue entries are 64 bytes
    view.setUint8(513, 0x44); // completion queue entries 16
    view.setUint32(516, lastNamespaceId, true);
    view.setUint16(520, (1 << 0) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 8), true); // compare, deallocate, zeroes, features, timestamp, copy
    view.setUint8(525, 7); // a volatile cache, and a flush of all namespaces
    view.setUint16(534, 3, true); // formats of copy's ranges
    view.setUint32(536, 1, true); // scatter-gather lists
    text(view, 768, 256, `nqn.2019-08.org.qemu:${serial}`, '\0');
    view.setUint16(2048, 0x9c4, true); // the one power state, 25 W, with its latencies
    view.setUint32(2052, 0x10, true);
    view.setUint32(2056, 4, true);
  });
}

/** Bytes of a block and of its metadata, of the formats there are. */
export const blockFormats = [512, 4096].flatMap((size) => [0, 8, 16, 64].map((metadata) => ({ size, metadata })));

function namespaceStructure({ blocks, blockSize }: Namespace): Uint8Array {
  return filled((view) => {
    for (const at of [0, 8, 16]) view.setBigUint64(at, BigInt(blocks), true); // size, capacity, use
    view.setUint8(24, (1 << 2) | (1 << 4)); // errors of deallocated blocks, and hints on sizes
    view.setUint8(25, blockFormats.length - 1);
    // The first of a size is the one without metadata.
    view.setUint8(
      26,
      blockFormats.findIndex(({ size }) => size === blockSize),
    );
    view.setUint8(27, 3); // metadata may lie with the data or apart
    view.setUint8(28, 0x1f); // kinds of protection
    view.setUint8(33, 1); // deallocated blocks read as zeros
    const granularity = 4096 / blockSize - 1;
    view.setUint16(68, granularity, true); // of deallocation, and its alignment
    view.setUint16(70, granularity, true);
    blockFormats.forEach(({ size, metadata }, index) => {
      view.setUint16(128 + 4 * index, metadata, true);
      view.setUint8(130 + 4 * index, Math.log2(size));
    });
  });
}

/** The namespace has no name of its own; its command set is NVM. */
function descriptors(): Uint8Array {
  return filled((view) => {
    view.setUint8(0, 4);
    view.setUint8(1, 1);
  });
}

/** The most a command other than a transfer may touch, in blocks. */
export function largestDeallocation(blockSize: number): number {
  return Math.floor(0x7fff_fe00 / blockSize);
}

function commandSetController(commandSet: number, { blockSize }: Namespace): Uint8Array | number {
  if (commandSet === zonedCommandSet) return empty();
  if (commandSet !== 0) return status.invalidField;
  return filled((view) => {
    view.setUint8(0, transferPages); // of verify
    view.setUint32(4, largestDeallocation(blockSize), true);
  });
}

/** Its queues and interrupts are all its own: none can be given to virtual functions. */
function primaryController({ queuePairs, vectors }: ControllerIdentity): Uint8Array {
  return filled((view) => {
    view.setUint8(4, 3);
    view.setUint16(42, queuePairs + 1, true);
    view.setUint16(46, 1, true);
    view.setUint16(74, vectors, true);
    view.setUint16(78, 1, true);
  });
}
