import { bits, capability, computed, flag, named, reg16, reg32, scaled, several, when, type Field, type View } from './declaration.js';

const [rootPort, downstreamPort, bridgeToExpress, integratedEndpoint, eventCollector] = [4, 6, 8, 9, 10];

const portTypes: readonly string[] = [
  ...['Endpoint', 'Legacy Endpoint', 'Unknown type 2', 'Unknown type 3', 'Root Port', 'Upstream Port', 'Downstream Port'],
  ...['PCI-Express to PCI/PCI-X Bridge', 'PCI/PCI-X to PCI-Express Bridge'],
  ...['Root Complex Integrated Endpoint', 'Root Complex Event Collector'],
  ...[11, 12, 13, 14, 15].map((type) => `Unknown type ${type}`),
];

const typeOf = (view: View, at: number): number => (view.u16(at + 2) >>> 4) & 0xf;
/** What is integrated into the root complex has no link. */
const hasLink = (view: View, at: number): boolean => ![integratedEndpoint, eventCollector].includes(typeOf(view, at));
const hasSlot = (view: View, at: number): boolean =>
  [rootPort, downstreamPort, bridgeToExpress].includes(typeOf(view, at)) && (view.u16(at + 2) & 0x100) !== 0;
const hasRoot = (view: View, at: number): boolean => [rootPort, eventCollector].includes(typeOf(view, at));
/** The capability's second version has registers that the first has not. */
const isSecond = (view: View, at: number): boolean => (view.u16(at + 2) & 0xf) >= 2;
const hasSecondLink = (view: View, at: number): boolean => isSecond(view, at) && hasLink(view, at);
const hasSecondSlot = (view: View, at: number): boolean => isSecond(view, at) && hasSlot(view, at);

const payload = (from: number): Field<number> => scaled(from, 3, (value) => 128 << value);
const speed = (from: number): Field<string> =>
  named(from, 4, ['unknown', ...['2.5', '5', '8', '16', '32', '64'].map((rate) => `${rate}GT/s`)]);
const l0sLatency = (from: number): Field<string> =>
  named(from, 3, ['<64ns', '<128ns', '<256ns', '<512ns', '<1us', '<2us', '<4us', 'unlimited']);
const l1Latency = (from: number): Field<string> => named(from, 3, ['<1us', '<2us', '<4us', '<8us', '<16us', '<32us', '<64us', 'unlimited']);
const activeStates = (from: number): Field<string[]> => several(from, ['L0s', 'L1']);
const indicator = (from: number): Field<string> => named(from, 2, ['Unknown', 'On', 'Blink', 'Off']);

/** Watts, from a value and its scale. Of the largest scale, values from 0xf0 on are steps of their own. */
function watts(value: number, scale: number): number | '>600' {
  if (scale > 0 || value < 0xf0) return value / 10 ** scale;
  return value < 0xff ? 250 + 25 * (value - 0xf0) : '>600';
}

/** Of many ranges of a completion's timeout, those that are supported together. */
const timeoutRanges = [
  'Not Supported',
  'Range A',
  'Range B',
  'Range AB',
  '',
  '',
  'Range BC',
  'Range ABC',
  '',
  '',
  '',
  '',
  '',
  '',
  'Range BCD',
  'Range ABCD',
];
const timeouts = ['50us to 50ms', '50us to 100us', '1ms to 10ms', '', '', '16ms to 55ms', '65ms to 210ms', '', ''].concat(
  ...['260ms to 900ms', '1s to 3.5s', '', '', '4s to 13s', '17s to 64s'],
);
const namedOrUnknown = (from: number, names: readonly string[]): Field<string> =>
  named(
    from,
    4,
    names.map((name) => name || 'Unknown'),
    'Unknown',
  );

const speeds = [...['2.5', '5', '8', '16', '32', '64'].map((rate) => `${rate}GT/s`), 'reserved'];
const half = '200-400mV(full-swing)/100-200mV(half-swing)';
const margins = ['Normal Operating Range', '800-1200mV(full-swing)/400-700mV(half-swing)', half, half, half, half];
const presets = [
  ...['-6dB de-emphasis, 0dB', '-3.5dB de-emphasis, 0dB', '-4.4dB de-emphasis, 0dB', '-2.5dB de-emphasis, 0dB', '0dB de-emphasis, 0dB'],
  ...[
    '0dB de-emphasis, 1.9dB',
    '0dB de-emphasis, 2.5dB',
    '-6.0dB de-emphasis, 3.5dB',
    '-3.5dB de-emphasis, 3.5dB',
    '0dB de-emphasis, 3.5dB',
  ],
].map((preset) => `${preset} preshoot`);
const deEmphasis = (from: number): Field<string> => named(from, 1, ['-6dB', '-3.5dB']);

/** The fastest of the speeds that are supported. */
const fastest = computed((view, at) => {
  const vector = (view.u32(at + 0x2c) >>> 1) & 0x7f;
  return ['Unknown', '2.5GT/s', '2.5-5GT/s', '2.5-8GT/s', '2.5-16GT/s', '2.5-32GT/s'][32 - Math.clz32(vector)] ?? 'RsvdP';
});

export const express = capability(0x10, 'PCI Express', {
  capabilities: reg16(0x02, {
    version: bits(0, 4),
    portType: named(4, 4, portTypes),
    slotImplemented: flag(8),
    interruptMessageNumber: bits(9, 5),
  }),
  deviceCapabilities: reg32(0x04, {
    /** Bytes. */
    maxPayloadSize: payload(0),
    /** Bits of function numbers that are used for more transactions. */
    phantomFunctions: bits(3, 2),
    extendedTag: flag(5),
    acceptableL0sLatency: l0sLatency(6),
    acceptableL1Latency: l1Latency(9),
    attentionButton: flag(12),
    attentionIndicator: flag(13),
    powerIndicator: flag(14),
    roleBasedErrorReporting: flag(15),
    functionLevelReset: flag(28),
  }),
  /** Watts that the slot gives at most, as the port upstream told. */
  capturedSlotPowerLimit: computed((view, at) => watts((view.u32(at + 4) >>> 18) & 0xff, (view.u32(at + 4) >>> 26) & 3)),
  deviceControl: reg16(0x08, {
    correctableErrorReporting: flag(0),
    nonFatalErrorReporting: flag(1),
    fatalErrorReporting: flag(2),
    unsupportedRequestReporting: flag(3),
    relaxedOrdering: flag(4),
    /** Bytes. */
    maxPayloadSize: payload(5),
    extendedTag: flag(8),
    phantomFunctions: flag(9),
    auxiliaryPower: flag(10),
    noSnoop: flag(11),
    /** Bytes. */
    maxReadRequestSize: payload(12),
    /** Of a bridge to PCI: it tells what is upstream to try accesses to configuration space again. Of others: a reset, reads 0. */
    bridgeConfigurationRetry: flag(15),
  }),
  deviceStatus: reg16(0x0a, {
    correctableError: flag(0),
    nonFatalError: flag(1),
    fatalError: flag(2),
    unsupportedRequest: flag(3),
    auxiliaryPower: flag(4),
    transactionsPending: flag(5),
  }),
  linkCapabilities: when(
    hasLink,
    reg32(0x0c, {
      maxSpeed: speed(0),
      maxWidth: bits(4, 6),
      activeStatePowerManagement: activeStates(10),
      l0sExitLatency: l0sLatency(12),
      l1ExitLatency: l1Latency(15),
      clockPowerManagement: flag(18),
      surpriseDownReporting: flag(19),
      activeReporting: flag(20),
      bandwidthNotification: flag(21),
      optionalityCompliance: flag(22),
      portNumber: bits(24, 8),
    }),
  ),
  linkControl: when(
    hasLink,
    reg16(0x10, {
      activeStatePowerManagement: activeStates(0),
      /** Bytes. */
      readCompletionBoundary: scaled(3, 1, (value) => (value === 0 ? 64 : 128)),
      disabled: flag(4),
      commonClock: flag(6),
      extendedSynch: flag(7),
      clockPowerManagement: flag(8),
      autonomousWidthDisable: flag(9),
      bandwidthManagementInterrupt: flag(10),
      autonomousBandwidthInterrupt: flag(11),
    }),
  ),
  linkStatus: when(
    hasLink,
    reg16(0x12, {
      speed: speed(0),
      width: bits(4, 6),
      trainingError: flag(10),
      training: flag(11),
      slotClock: flag(12),
      active: flag(13),
      bandwidthManagement: flag(14),
      autonomousBandwidth: flag(15),
    }),
  ),
  slotCapabilities: when(
    hasSlot,
    reg32(0x14, {
      attentionButton: flag(0),
      powerController: flag(1),
      retentionLatchSensor: flag(2),
      attentionIndicator: flag(3),
      powerIndicator: flag(4),
      hotPlugSurprise: flag(5),
      hotPlug: flag(6),
      electromechanicalInterlock: flag(17),
      noCommandCompleted: flag(18),
      physicalSlotNumber: bits(19, 13),
    }),
  ),
  /** Watts. */
  slotPowerLimit: when(
    hasSlot,
    computed((view, at) => watts((view.u32(at + 0x14) >>> 7) & 0xff, (view.u32(at + 0x14) >>> 15) & 3)),
  ),
  slotControl: when(
    hasSlot,
    reg16(0x18, {
      attentionButtonPressed: flag(0),
      powerFault: flag(1),
      retentionLatch: flag(2),
      presenceDetect: flag(3),
      commandCompleted: flag(4),
      hotPlugInterrupt: flag(5),
      attentionIndicator: indicator(6),
      powerIndicator: indicator(8),
      powerOff: flag(10),
      interlock: flag(11),
      linkStateChanged: flag(12),
    }),
  ),
  slotStatus: when(
    hasSlot,
    reg16(0x1a, {
      attentionButtonPressed: flag(0),
      powerFault: flag(1),
      retentionLatchChanged: flag(2),
      presenceDetectChanged: flag(3),
      commandCompleted: flag(4),
      retentionLatchOpen: flag(5),
      presenceDetect: flag(6),
      interlock: flag(7),
      linkStateChanged: flag(8),
    }),
  ),
  rootControl: when(
    hasRoot,
    reg16(0x1c, {
      systemErrorOnCorrectable: flag(0),
      systemErrorOnNonFatal: flag(1),
      systemErrorOnFatal: flag(2),
      powerManagementEventInterrupt: flag(3),
      retryStatusSoftwareVisibility: flag(4),
    }),
  ),
  rootCapabilities: when(hasRoot, reg16(0x1e, { retryStatusSoftwareVisibility: flag(0) })),
  rootStatus: when(hasRoot, reg32(0x20, { requester: bits(0, 16), powerManagementEvent: flag(16), powerManagementEventPending: flag(17) })),
  deviceCapabilities2: when(
    isSecond,
    reg32(0x24, {
      completionTimeoutRanges: namedOrUnknown(0, timeoutRanges),
      completionTimeoutDisable: flag(4),
      alternativeRoutingIdForwarding: flag(5),
      atomicOperationRouting: flag(6),
      atomicOperation32Bit: flag(7),
      atomicOperation64Bit: flag(8),
      compareAndSwap128Bit: flag(9),
      noRelaxedOrderingPeerToPeer: flag(10),
      latencyToleranceReporting: flag(11),
      processingHintsCompleter: flag(12),
      extendedProcessingHintsCompleter: flag(13),
      lightweightNotification: named(14, 2, ['Not Supported', '64byte cachelines', '128byte cachelines'], 'Reserved'),
      tenBitTagCompleter: flag(16),
      tenBitTagRequester: flag(17),
      optimizedBufferFlushFill: named(18, 2, ['Not Supported', 'Via message', 'Via WAKE#', 'Via message/WAKE#']),
      extendedFormat: flag(20),
      endToEndPrefix: flag(21),
      /** How many a packet can have. */
      maxEndToEndPrefixes: scaled(22, 2, (value) => value || 4),
      emergencyPowerReduction: named(24, 2, ['Not Supported', 'Dev Specific', 'Form Factor Dev Specific'], 'Reserved'),
      emergencyPowerReductionInitialization: flag(26),
      functionReadinessStatus: flag(31),
    }),
  ),
  deviceControl2: when(
    isSecond,
    reg16(0x28, {
      completionTimeout: namedOrUnknown(0, timeouts),
      completionTimeoutDisable: flag(4),
      alternativeRoutingIdForwarding: flag(5),
      atomicOperationRequester: flag(6),
      atomicOperationEgressBlocking: flag(7),
      latencyToleranceReporting: flag(10),
      tenBitTagRequester: flag(12),
      optimizedBufferFlushFill: named(13, 2, ['Disabled', 'Via message A', 'Via message B', 'Via WAKE#']),
    }),
  ),
  linkCapabilities2: when(
    hasSecondLink,
    reg32(0x2c, {
      speeds: several(1, speeds),
      crosslink: flag(8),
      lowerSkipGeneration: several(9, speeds),
      lowerSkipReception: several(16, speeds),
      retimer: flag(23),
      twoRetimers: flag(24),
      downstreamReadiness: flag(31),
    }),
  ),
  supportedSpeeds: when(hasSecondLink, fastest),
  linkControl2: when(
    hasSecondLink,
    reg16(0x30, {
      /** 0, which a link that has no other speed may have, is the slowest. */
      targetSpeed: named(0, 4, ['2.5GT/s', ...['2.5', '5', '8', '16', '32', '64'].map((rate) => `${rate}GT/s`)], 'Unknown'),
      enterCompliance: flag(4),
      autonomousSpeedDisable: flag(5),
      selectableDeEmphasis: deEmphasis(6),
      transmitMargin: named(7, 3, margins, 'Unknown'),
      enterModifiedCompliance: flag(10),
      complianceSkipOrderedSets: flag(11),
      compliancePreset: named(12, 4, presets, 'Unknown'),
    }),
  ),
  linkStatus2: when(
    hasSecondLink,
    reg16(0x32, {
      currentDeEmphasis: deEmphasis(0),
      equalizationComplete: flag(1),
      equalizationPhase1: flag(2),
      equalizationPhase2: flag(3),
      equalizationPhase3: flag(4),
      equalizationRequest: flag(5),
      retimer: flag(6),
      twoRetimers: flag(7),
      crosslinkResolution: named(8, 2, ['unsupported', 'Upstream Port', 'Downstream Port', 'incomplete']),
      downstreamComponent: named(
        12,
        3,
        [
          ...['Link Down - Not Determined', 'Link Down - Not Present', 'Link Down - Present', 'Reserved'],
          ...['Link Up - Present', 'Link Up - Present and DRS Received'],
        ],
        'Reserved',
      ),
      downstreamReadinessMessage: flag(15),
    }),
  ),
  /** Nothing in it is defined yet. */
  slotCapabilities2: when(hasSecondSlot, reg32(0x34)),
});
