import { bits, block, computed, flag, named, reg16, reg32, reg8, when, type Part, type PartOf, type View } from './declaration.js';

const deviceSelect = named(9, 2, ['fast', 'medium', 'slow']);

const command = reg16(0x04, {
  ioSpace: flag(0),
  memorySpace: flag(1),
  busMaster: flag(2),
  specialCycles: flag(3),
  memoryWriteAndInvalidate: flag(4),
  vgaPaletteSnoop: flag(5),
  parityErrorResponse: flag(6),
  stepping: flag(7),
  systemError: flag(8),
  fastBackToBack: flag(9),
  interruptDisable: flag(10),
});

const status = reg16(0x06, {
  interrupt: flag(3),
  capabilitiesList: flag(4),
  capable66MHz: flag(5),
  userDefinableFeatures: flag(6),
  fastBackToBack: flag(7),
  masterDataParityError: flag(8),
  deviceSelect,
  signaledTargetAbort: flag(11),
  receivedTargetAbort: flag(12),
  receivedMasterAbort: flag(13),
  signaledSystemError: flag(14),
  detectedParityError: flag(15),
});

/** The secondary bus's: a system error that was received, not signaled. */
const secondaryStatus = reg16(0x1e, {
  capable66MHz: flag(5),
  fastBackToBack: flag(7),
  masterDataParityError: flag(8),
  deviceSelect,
  signaledTargetAbort: flag(11),
  receivedTargetAbort: flag(12),
  receivedMasterAbort: flag(13),
  receivedSystemError: flag(14),
  detectedParityError: flag(15),
});

/** Addresses that a bridge passes on. */
export interface BridgeWindow {
  /** The first. */
  readonly base: bigint;
  /** The last; below the first where nothing is passed on. */
  readonly limit: bigint;
  /** Of an address that it can have. */
  readonly bits: 16 | 32 | 64;
}

interface WindowRegisters {
  readonly base: number;
  readonly limit: number;
  /** Where the low and high register have the type, and the upper halves of wide ones are. */
  readonly read: (view: View, offset: number) => number;
  readonly shift: bigint;
  readonly granularity: bigint;
  /** Bits of an address by type. */
  readonly types: readonly (16 | 32 | 64)[];
  readonly upper?: readonly [base: number, limit: number];
  readonly readUpper?: (view: View, offset: number) => number;
}

/** A window; 'unknown' where its registers have types that nothing is known of. */
function window({ base, limit, read, shift, granularity, types, upper, readUpper }: WindowRegisters): Part<BridgeWindow | 'unknown'> {
  return computed((view) => {
    const [low, high] = [read(view, base), read(view, limit)];
    const width = types[low & 0xf];
    if (width === undefined || (low & 0xf) !== (high & 0xf)) return 'unknown';
    const wide = upper !== undefined && width === types[1];
    const top = (index: 0 | 1): bigint => (wide ? BigInt(readUpper!(view, upper[index])) << (types[0] === 16 ? 16n : 32n) : 0n);
    return {
      base: top(0) | (BigInt(low & ~0xf) << shift),
      limit: (top(1) | (BigInt(high & ~0xf) << shift)) + granularity - 1n,
      bits: width,
    };
  });
}
const u8 = (view: View, offset: number): number => view.u8(offset);
const u16 = (view: View, offset: number): number => view.u16(offset);
const u32 = (view: View, offset: number): number => view.u32(offset);

const megabyte = 1n << 20n;

/** What a header of type 1 has of its own. */
const bridge = block({
  primaryBus: reg8(0x18),
  secondaryBus: reg8(0x19),
  subordinateBus: reg8(0x1a),
  secondaryLatencyTimer: reg8(0x1b),
  io: window({
    ...{ base: 0x1c, limit: 0x1d, read: u8, shift: 8n, granularity: 4096n, types: [16, 32] },
    upper: [0x30, 0x32],
    readUpper: u16,
  }),
  memory: window({ base: 0x20, limit: 0x22, read: u16, shift: 16n, granularity: megabyte, types: [32] }),
  prefetchable: window({
    ...{ base: 0x24, limit: 0x26, read: u16, shift: 16n, granularity: megabyte, types: [32, 64] },
    ...{ upper: [0x28, 0x2c], readUpper: u32 },
  }),
  secondaryStatus,
  control: reg16(0x3e, {
    parityErrorResponse: flag(0),
    systemError: flag(1),
    isa: flag(2),
    vga: flag(3),
    vga16Bit: flag(4),
    masterAbortMode: flag(5),
    secondaryBusReset: flag(6),
    fastBackToBack: flag(7),
    primaryDiscardTimer: flag(8),
    secondaryDiscardTimer: flag(9),
    discardTimerStatus: flag(10),
    discardTimerSystemError: flag(11),
  }),
});

const isDevice = ({ facts }: View): boolean => facts.headerType === 0;
const isBridge = ({ facts }: View): boolean => facts.headerType === 1;

/** The first 64 bytes. */
export const header = block({
  vendor: reg16(0x00),
  device: reg16(0x02),
  command,
  status,
  revision: reg8(0x08),
  /** Base class, sub-class and programming interface, 24 bits. */
  classCode: computed((view) => view.u32(0x08) >>> 8),
  /** Bytes. */
  cacheLineSize: computed((view) => view.u8(0x0c) * 4),
  latencyTimer: reg8(0x0d),
  /** 0 of a device, 1 of a bridge. */
  headerType: computed((view) => view.u8(0x0e) & 0x7f),
  multiFunction: computed((view) => view.u8(0x0e) >= 0x80),
  selfTest: reg8(0x0f, { completionCode: bits(0, 4), running: flag(6), capable: flag(7) }),
  /** The registers as they are, with the bits that say what kind of space it is: 6 of a device, 2 of a bridge. */
  bars: computed((view) => Array.from({ length: [6, 2][view.facts.headerType] ?? 0 }, (_, index) => view.u32(0x10 + 4 * index))),
  cardBusInformation: when(isDevice, reg32(0x28)),
  subsystemVendor: when(isDevice, reg16(0x2c)),
  subsystem: when(isDevice, reg16(0x2e)),
  /** The expansion ROM's register as it is; bit 0 has the ROM answer. */
  rom: computed((view) => (isDevice(view) ? view.u32(0x30) : isBridge(view) ? view.u32(0x38) : undefined)),
  interruptLine: reg8(0x3c),
  /** 1 to 4 are INTA to INTD; 0 is none. */
  interruptPin: reg8(0x3d),
  /** In quarters of a microsecond. */
  minimumGrant: when(isDevice, reg8(0x3e)),
  /** In quarters of a microsecond. */
  maximumLatency: when(isDevice, reg8(0x3f)),
  bridge: when(isBridge, bridge),
});

/** What the first 64 bytes say. @useDeclaredType */
export type Header = PartOf<typeof header>;
