import { bits, capability, computed, flag, named, reg16, reg32, reg8, scaled, several, type Field, type Part } from './declaration.js';

export const powerManagement = capability(0x01, 'Power Management', {
  capabilities: reg16(0x02, {
    version: bits(0, 3),
    eventClock: flag(3),
    deviceSpecificInitialization: flag(5),
    /** Milliamperes. */
    auxiliaryCurrent: scaled(6, 3, (value) => [0, 55, 100, 160, 220, 270, 320, 375][value] ?? 0),
    d1: flag(9),
    d2: flag(10),
    /** States from which it can signal an event. */
    eventFrom: several(11, ['D0', 'D1', 'D2', 'D3hot', 'D3cold']),
  }),
  control: reg16(0x04, {
    state: named(0, 2, ['D0', 'D1', 'D2', 'D3']),
    noSoftReset: flag(3),
    eventEnable: flag(8),
    dataSelect: bits(9, 4),
    dataScale: bits(13, 2),
    event: flag(15),
  }),
  bridgeExtensions: reg8(0x06, { reserved: bits(0, 6), b2InD3Hot: flag(6), busPowerControl: flag(7) }),
  /** What `control.dataSelect` asks for. */
  data: reg8(0x07),
});

/** Nanoseconds: ten bits, and a power of 32, of which the specification has those up to the fifth. */
const latency = (offset: number): Part<number> =>
  computed((view, at) => {
    const value = view.u16(at + offset);
    const scale = (value >>> 10) & 7;
    return scale > 5 ? 0 : (value & 0x3ff) * 32 ** scale;
  });

export const latencyTolerance = capability(0x18, 'Latency Tolerance Reporting', {
  maxSnoopLatency: latency(0x04),
  maxNoSnoopLatency: latency(0x06),
});

/** Microseconds, or 'reserved'. */
const powerOn = (scaleFrom: number): Field<number | 'reserved'> => ({
  from: scaleFrom,
  count: 8,
  meaning: (value) => {
    const step = [2, 10, 100][value & 3];
    return step === undefined ? 'reserved' : step * (value >>> 3);
  },
});

export const l1Substates = capability(0x1e, 'L1 PM Substates', {
  capabilities: reg32(0x04, {
    pciL12: flag(0),
    pciL11: flag(1),
    aspmL12: flag(2),
    aspmL11: flag(3),
    supported: flag(4),
    /** Microseconds. */
    commonModeRestoreTime: bits(8, 8),
    powerOnTime: powerOn(16),
  }),
  control1: reg32(0x08, {
    pciL12: flag(0),
    pciL11: flag(1),
    aspmL12: flag(2),
    aspmL11: flag(3),
    /** Microseconds. */
    commonModeRestoreTime: bits(8, 8),
    /** Of the latency that is tolerated. */
    thresholdValue: bits(16, 10),
    thresholdScale: bits(29, 3),
  }),
  control2: reg32(0x0c, { powerOnTime: powerOn(0) }),
});

export const powerBudgeting = capability(0x04, 'Power Budgeting', {
  dataSelect: reg8(0x04),
  data: reg32(0x08, {
    basePower: bits(0, 8),
    dataScale: bits(8, 2),
    subState: bits(10, 3),
    state: bits(13, 2),
    type: bits(15, 3),
    rail: bits(18, 3),
  }),
  capability: reg8(0x0c, { systemAllocated: flag(0) }),
});

export const dynamicPowerAllocation = capability(0x16, 'Dynamic Power Allocation', {
  capability: reg32(0x04, { lastSubstate: bits(0, 5), transitionLatencyUnit: bits(8, 2), powerAllocationScale: bits(12, 2) }),
  latencyIndicator: reg32(0x08),
  status: reg16(0x0c, { substate: bits(0, 5), controlEnabled: flag(8) }),
  control: reg16(0x0e, { substate: bits(0, 5) }),
});
