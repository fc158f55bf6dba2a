import {
  bits,
  block,
  capability,
  computed,
  flag,
  list,
  named,
  reg16,
  reg32,
  reg64,
  reg8,
  scaled,
  several,
  when,
  type View,
} from './declaration.js';

const accessControls = {
  sourceValidation: flag(0),
  translationBlocking: flag(1),
  requestRedirect: flag(2),
  completionRedirect: flag(3),
  upstreamForwarding: flag(4),
  egressControl: flag(5),
  directTranslated: flag(6),
};

export const accessControl = capability(0x0d, 'Access Control Services', {
  capability: reg16(0x04, accessControls),
  /** Bits of the vector that says to which ports egress is blocked. */
  egressVectorSize: reg8(0x05),
  control: reg16(0x06, accessControls),
});

export const alternativeRouting = capability(0x0e, 'Alternative Routing-ID Interpretation', {
  capability: reg16(0x04, { functionGroupsVirtualChannel: flag(0), functionGroupsAccessControl: flag(1), nextFunction: bits(8, 8) }),
  control: reg16(0x06, { functionGroupsVirtualChannel: flag(0), functionGroupsAccessControl: flag(1), functionGroup: bits(4, 3) }),
});

export const addressTranslation = capability(0x0f, 'Address Translation Service', {
  capability: reg16(0x04, { invalidateQueueDepth: bits(0, 5), pageAlignedRequest: flag(5), globalInvalidate: flag(6) }),
  control: reg16(0x06, { smallestTranslationUnit: bits(0, 5), enable: flag(15) }),
});

export const processAddressSpace = capability(0x1b, 'Process Address Space ID', {
  capability: reg16(0x04, { execute: flag(1), privileged: flag(2), maxWidth: bits(8, 5) }),
  control: reg16(0x06, { enable: flag(0), execute: flag(1), privileged: flag(2) }),
});

export const pageRequests = capability(0x13, 'Page Request Interface', {
  control: reg16(0x04, { enable: flag(0), reset: flag(1) }),
  status: reg16(0x06, { responseFailure: flag(0), unexpectedGroupIndex: flag(1), stopped: flag(8), responseNeedsProcess: flag(15) }),
  capacity: reg32(0x08),
  allocation: reg32(0x0c),
});

export const virtualization = capability(0x10, 'Single Root I/O Virtualization', {
  capabilities: reg32(0x04, {
    migration: flag(0),
    arrangementPreserved: flag(1),
    tenBitTag: flag(2),
    interruptMessageNumber: bits(21, 11),
  }),
  control: reg16(0x08, {
    enable: flag(0),
    migration: flag(1),
    migrationInterrupt: flag(2),
    memorySpace: flag(3),
    alternativeRoutingHierarchy: flag(4),
    tenBitTag: flag(5),
  }),
  status: reg16(0x0a, { migration: flag(0) }),
  initialFunctions: reg16(0x0c),
  totalFunctions: reg16(0x0e),
  functions: reg16(0x10),
  dependencyLink: reg8(0x12),
  firstOffset: reg16(0x14),
  stride: reg16(0x16),
  device: reg16(0x1a),
  supportedPageSizes: reg32(0x1c),
  systemPageSize: reg32(0x20),
  /** The registers as they are. */
  bars: computed((view, at) => Array.from({ length: 6 }, (_, index) => view.u32(at + 0x24 + 4 * index))),
  migrationStateArray: computed((view, at) => ({ bar: view.u32(at + 0x3c) & 7, offset: (view.u32(at + 0x3c) & ~7) >>> 0 })),
});

export const multicast = capability(0x12, 'Multicast', {
  capability: reg16(0x04, { maxGroups: scaled(0, 6, (value) => value + 1), windowSize: bits(8, 6), checkRegeneration: flag(15) }),
  control: reg16(0x06, { groups: scaled(0, 6, (value) => value + 1), enable: flag(15) }),
  indexPosition: computed((view, at) => view.u8(at + 8) & 0x3f),
  base: computed((view, at) => view.u64(at + 8) & ~0xfffn),
  receive: reg64(0x10),
  blockAll: reg64(0x18),
  blockUntranslated: reg64(0x20),
  overlay: when(({ facts }) => facts.portType === 4 || facts.portType === 5 || facts.portType === 6, reg64(0x28)),
});

const barCount = (view: View, at: number): number => (view.u32(at + 8) >>> 5) & 7;

const resizableBar = block({
  /** Sizes that it can have, as powers of two of a megabyte: the larger ones are told beside its own. */
  sizes: computed((view, at) =>
    Array.from({ length: 44 }, (_, power) => power).filter(
      (power) => (power < 28 ? view.u32(at + 4) >>> (power + 4) : view.u32(at + 8) >>> (power - 12)) & 1,
    ),
  ),
  control: reg32(0x08, { bar: bits(0, 3), size: bits(8, 6) }),
});
/** More of them than six are none. */
const bars = list((view, at) => (barCount(view, at) <= 6 ? barCount(view, at) : 0), 0, 8, resizableBar);
const resizable = { count: computed(barCount), bars };

export const resizableBars = capability(0x15, 'Resizable BAR', resizable);
export const virtualResizableBars = capability(0x24, 'VF Resizable BAR', resizable);

const tableLocation = (view: View, at: number): number => (view.u32(at + 4) >>> 9) & 3;
const inCapability = (view: View, at: number): boolean => tableLocation(view, at) === 1;

export const processingHints = capability(0x17, 'TPH Requester', {
  capability: reg32(0x04, {
    modes: several(0, ['no steering tag', 'interrupt vector', 'device specific']),
    extended: flag(8),
    tableLocation: named(9, 2, ['none', 'capability', 'MSI-X table'], 'reserved'),
    tableSize: scaled(16, 11, (value) => value + 1),
  }),
  control: reg32(0x08, { mode: bits(0, 3), enable: bits(8, 2) }),
  table: when(
    inCapability,
    list((view, at) => ((view.u32(at + 4) >>> 16) & 0x7ff) + 1, 0x0c, 2, reg16(0)),
  ),
});

export const serialNumber = capability(0x03, 'Device Serial Number', { serialNumber: reg64(0x04) });
