import {
  bits,
  block,
  capability,
  computed,
  either,
  flag,
  named,
  reg16,
  reg32,
  reg8,
  scaled,
  several,
  when,
  type Field,
  type View,
} from './declaration.js';

const isBridge = ({ facts }: View): boolean => facts.headerType === 1;
const outstanding = [1, 2, 3, 4, 8, 12, 16, 32];
const transactions = (from: number): Field<number> => scaled(from, 3, (value) => outstanding[value] ?? 0);
const readBytes = (from: number): Field<number> => scaled(from, 2, (value) => 512 << value);

const place = { function: bits(0, 3), device: bits(3, 5), bus: bits(8, 8) };

const pcixDevice = block({
  command: reg16(0x02, {
    dataParityErrorRecovery: flag(0),
    relaxedOrdering: flag(1),
    maxReadBytes: readBytes(2),
    maxOutstanding: transactions(4),
  }),
  status: reg32(0x04, {
    ...place,
    wide: flag(16),
    capable133MHz: flag(17),
    splitCompletionDiscarded: flag(18),
    unexpectedSplitCompletion: flag(19),
    complexity: named(20, 1, ['simple', 'bridge']),
    designedMaxReadBytes: readBytes(21),
    designedMaxOutstanding: transactions(23),
    designedMaxCumulativeKilobytes: scaled(26, 3, (value) => 8 << value),
    splitCompletionError: flag(29),
    capable266MHz: flag(30),
    capable533MHz: flag(31),
  }),
});

const split = (offset: number) => reg32(offset, { capacity: bits(0, 16), commitmentLimit: bits(16, 16) });

const pcixBridge = block({
  secondaryStatus: reg16(0x02, {
    wide: flag(0),
    capable133MHz: flag(1),
    splitCompletionDiscarded: flag(2),
    unexpectedSplitCompletion: flag(3),
    splitCompletionOverrun: flag(4),
    splitRequestDelayed: flag(5),
    frequency: named(6, 3, ['conv', '66MHz', '100MHz', '133MHz', '?4', '?5', '?6', '?7']),
  }),
  status: reg32(0x04, {
    ...place,
    wide: flag(16),
    capable133MHz: flag(17),
    splitCompletionDiscarded: flag(18),
    unexpectedSplitCompletion: flag(19),
    splitCompletionOverrun: flag(20),
    splitRequestDelayed: flag(21),
  }),
  upstream: split(0x08),
  downstream: split(0x0c),
});

export const pcix = capability(0x07, 'PCI-X', {
  device: when((view) => !isBridge(view), pcixDevice),
  bridge: when(isBridge, pcixBridge),
});

/** Rates of the third version are those of the second, four times as fast. */
const rates = (offset: number, third: (view: View, at: number) => boolean) =>
  either(third, reg8(offset, { names: several(0, ['x4', 'x8', 'x16']) }), reg8(offset, { names: several(0, ['x1', 'x2', 'x4']) }));
const isThird = (view: View, at: number): boolean => view.u8(at + 2) >= 0x30 && (view.u8(at + 4) & 8) !== 0;

export const agp = capability(0x02, 'AGP', {
  version: reg8(0x02, { minor: bits(0, 4), major: bits(4, 4) }),
  status: reg32(0x04, {
    third: flag(3),
    fastWrite: flag(4),
    address64Bit: flag(5),
    hostTranslation: flag(6),
    translation64Bit: flag(7),
    coherent: flag(8),
    sideband: flag(9),
    calibration: bits(10, 3),
    asynchronousSize: bits(13, 3),
    isochronous: flag(16),
    requests: scaled(24, 8, (value) => value + 1),
  }),
  statusRates: rates(0x04, isThird),
  command: reg32(0x08, {
    fastWrite: flag(4),
    address64Bit: flag(5),
    translation64Bit: flag(7),
    enable: flag(8),
    sideband: flag(9),
    calibration: bits(10, 3),
    asynchronousSize: bits(13, 3),
    requests: scaled(24, 8, (value) => value + 1),
  }),
  commandRates: rates(0x08, isThird),
});

/** The upper five bits say which one it is; of the first two, three do. */
const kinds: ReadonlyMap<number, string> = new Map([
  [0x00, 'Slave or Primary Interface'],
  [0x04, 'Host or Secondary Interface'],
  [0x08, 'Switch'],
  [0x10, 'Interrupt Discovery and Configuration'],
  [0x11, 'Revision ID'],
  [0x12, 'UnitID Clumping'],
  [0x13, 'Extended Configuration Space Access'],
  [0x14, 'Address Mapping'],
  [0x15, 'MSI Mapping'],
  [0x16, 'DirectRoute'],
  [0x17, 'VCSet'],
  [0x18, 'Retry Mode'],
  [0x19, 'X86 (reserved)'],
  [0x1a, 'Gen3'],
  [0x1b, 'Function-level reset'],
  [0x1c, 'Power Management'],
]);
const kindOf = (view: View, at: number): number => {
  const kind = view.u8(at + 3) >>> 3;
  return kind < 8 ? kind & 0x1c : kind;
};
const mapsMessages = (view: View, at: number): boolean => kindOf(view, at) === 0x15;
const isMovable = (view: View, at: number): boolean => mapsMessages(view, at) && (view.u16(at + 2) & 2) === 0;

const isSlave = (view: View, at: number): boolean => kindOf(view, at) === 0;
const width = (from: number): Field<string> => named(from, 3, ['8bit', '16bit', '[2]', '32bit', '2bit', '4bit', '[6]', 'N/C']);

const link = (offset: number) =>
  block({
    control: reg16(offset, {
      checkFlood: flag(1),
      checkTest: flag(2),
      forceCheckError: flag(3),
      failure: flag(4),
      initialized: flag(5),
      endOfChain: flag(6),
      transmitterOff: flag(7),
      checkErrors: bits(8, 4),
    }),
    configuration: reg16(offset + 2, { maxWidthIn: width(0), maxWidthOut: width(4), widthIn: width(8), widthOut: width(12) }),
  });

export const hyperTransport = capability(0x08, 'HyperTransport', {
  kind: computed((view, at) => kinds.get(kindOf(view, at)) ?? `#${kindOf(view, at).toString(16).padStart(2, '0')}`),
  slave: when(
    isSlave,
    block({
      command: reg16(0x02, { baseUnit: bits(0, 5), units: bits(5, 5), masterHost: flag(10), defaultDirection: flag(11) }),
      link0: link(0x04),
      link1: link(0x08),
      revision: reg8(0x0c, { minor: bits(0, 5), major: bits(5, 3) }),
    }),
  ),
  messageMapping: when(mapsMessages, reg16(0x02, { enable: flag(0), fixed: flag(1) })),
  messageAddress: when(
    isMovable,
    computed((view, at) => view.u64(at + 4) & ~0xfffffn),
  ),
});
