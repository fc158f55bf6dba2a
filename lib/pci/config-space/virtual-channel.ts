import { bits, block, capability, computed, flag, list, named, reg16, reg32, scaled, several, when, type View } from './declaration.js';

const portArbitrations = ['Fixed', 'WRR32', 'WRR64', 'WRR128'];
const channelArbitrations = [...portArbitrations, 'TWRR128', 'WRR256'];
const unnamed = (names: readonly string[]): string[] => Array.from({ length: 8 }, (_, index) => names[index] ?? `??${index}`);

const channel = block({
  capability: reg32(0x00, {
    arbitration: several(0, unnamed(channelArbitrations)),
    rejectSnoop: flag(15),
    maxTimeSlots: scaled(16, 7, (value) => value + 1),
    arbitrationTable: bits(24, 8),
  }),
  control: reg32(0x04, {
    /** A bit for each class of traffic that takes it. */
    trafficClasses: bits(0, 8),
    arbitrationSelect: named(17, 3, unnamed(channelArbitrations)),
    id: bits(24, 3),
    enable: flag(31),
  }),
  status: reg16(0x0a, { arbitrationTable: flag(0), negotiationPending: flag(1) }),
});

const parts = {
  capability1: reg32(0x04, {
    extendedChannels: bits(0, 3),
    lowPriorityChannels: bits(4, 3),
    referenceClock: named(8, 2, unnamed(['100ns'])),
    arbitrationTableEntryBits: scaled(10, 2, (value) => 1 << value),
  }),
  capability2: reg32(0x08, { arbitration: several(0, unnamed(portArbitrations)), arbitrationTable: bits(24, 8) }),
  control: reg16(0x0c, { arbitrationSelect: named(1, 3, unnamed(portArbitrations)) }),
  status: reg16(0x0e, { arbitrationTable: flag(0) }),
  channels: list((view: View, at: number) => (view.u32(at + 4) & 7) + 1, 0x10, 0x0c, channel),
};

export const virtualChannel = capability(0x02, 'Virtual Channel', parts);
/** Of a device that has a multi-function one, too. */
export const virtualChannel9 = capability(0x09, 'Virtual Channel', parts);
export const multiFunctionChannel = capability(0x08, 'Multi-Function Virtual Channel', parts);

const link = block({
  description: reg32(0x00, {
    valid: flag(0),
    type: named(1, 1, ['memory', 'configuration']),
    associatedBlock: flag(2),
    targetComponent: bits(16, 8),
    targetPort: bits(24, 8),
  }),
  address: computed((view, at) => view.u64(at + 8)),
});

export const rootComplexLink = capability(0x05, 'Root Complex Link Declaration', {
  self: reg32(0x04, {
    type: named(0, 4, ['Config', 'Egress', 'Internal'], 'reserved'),
    links: bits(8, 8),
    component: bits(16, 8),
    port: bits(24, 8),
  }),
  links: list((view, at) => view.u8(at + 5), 0x10, 0x10, link),
});

const hasBuses = (view: View): boolean => ((view.u32(0) >>> 16) & 0xf) >= 2;

export const eventCollector = capability(0x07, 'Root Complex Event Collector Endpoint Association', {
  /** A bit for each device number on the collector's own bus. */
  devices: reg32(0x04),
  buses: when(
    hasBuses,
    computed((view, at) => ({ first: view.u8(at + 9), last: view.u8(at + 10) })),
  ),
});
