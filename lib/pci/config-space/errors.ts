import { bits, capability, computed, flag, reg16, reg32, when, type View } from './declaration.js';

const uncorrectable = {
  dataLinkProtocol: flag(4),
  surpriseDown: flag(5),
  poisonedPacket: flag(12),
  flowControlProtocol: flag(13),
  completionTimeout: flag(14),
  completerAbort: flag(15),
  unexpectedCompletion: flag(16),
  receiverOverflow: flag(17),
  malformedPacket: flag(18),
  endToEndCheck: flag(19),
  unsupportedRequest: flag(20),
  accessControlViolation: flag(21),
  internal: flag(22),
  multicastBlocked: flag(23),
  atomicOperationEgressBlocked: flag(24),
  prefixBlocked: flag(25),
};

const correctable = {
  receiver: flag(0),
  badPacket: flag(6),
  badLinkPacket: flag(7),
  replayRollover: flag(8),
  replayTimeout: flag(12),
  advisoryNonFatal: flag(13),
  correctedInternal: flag(14),
  headerLogOverflow: flag(15),
};

const words = (offset: number, count: number) =>
  computed((view, at) => Array.from({ length: count }, (_, index) => view.u32(at + offset + 4 * index)));
/** Root ports and event collectors hear of others' errors. */
const hasRoot = ({ facts }: View): boolean => facts.portType === 4 || facts.portType === 10;
const hasPrefixes = (view: View, at: number): boolean => (view.u32(at + 0x18) & 0x800) !== 0;

export const advancedErrors = capability(0x01, 'Advanced Error Reporting', {
  uncorrectableStatus: reg32(0x04, uncorrectable),
  uncorrectableMask: reg32(0x08, uncorrectable),
  /** Those that are fatal. */
  uncorrectableSeverity: reg32(0x0c, uncorrectable),
  correctableStatus: reg32(0x10, correctable),
  correctableMask: reg32(0x14, correctable),
  control: reg32(0x18, {
    firstErrorPointer: bits(0, 5),
    checkGenerationCapable: flag(5),
    checkGenerationEnable: flag(6),
    checkCapable: flag(7),
    checkEnable: flag(8),
    multipleHeaderCapable: flag(9),
    multipleHeaderEnable: flag(10),
    prefixLogPresent: flag(11),
    completionTimeoutHeaderCapable: flag(12),
  }),
  headerLog: words(0x1c, 4),
  rootCommand: when(hasRoot, reg32(0x2c, { correctable: flag(0), nonFatal: flag(1), fatal: flag(2) })),
  rootStatus: when(
    hasRoot,
    reg32(0x30, {
      correctable: flag(0),
      multipleCorrectable: flag(1),
      uncorrectable: flag(2),
      multipleUncorrectable: flag(3),
      firstFatal: flag(4),
      nonFatalMessage: flag(5),
      fatalMessage: flag(6),
      interruptMessageNumber: bits(27, 5),
    }),
  ),
  correctableSource: when(hasRoot, reg16(0x34)),
  uncorrectableSource: when(hasRoot, reg16(0x36)),
  prefixLog: when(hasPrefixes, words(0x38, 4)),
});

export const portContainment = capability(0x1d, 'Downstream Port Containment', {
  capability: reg16(0x04, {
    interruptMessageNumber: bits(0, 5),
    rootPortExtensions: flag(5),
    poisonedEgressBlocking: flag(6),
    softwareTrigger: flag(7),
    programmedAccessLogSize: bits(8, 4),
    linkActiveError: flag(12),
  }),
  control: reg16(0x06, {
    trigger: bits(0, 2),
    completion: flag(2),
    interrupt: flag(3),
    correctableError: flag(4),
    poisonedEgressBlocking: flag(5),
    softwareTrigger: flag(6),
    linkActiveError: flag(7),
  }),
  status: reg16(0x08, {
    triggered: flag(0),
    reason: bits(1, 2),
    interrupt: flag(3),
    rootPortBusy: flag(4),
    extendedReason: bits(5, 2),
    firstErrorPointer: bits(8, 5),
  }),
  source: reg16(0x0a),
});

export const precisionTime = capability(0x1f, 'Precision Time Measurement', {
  capability: reg32(0x04, { requester: flag(0), responder: flag(1), root: flag(2), clockGranularity: bits(8, 8) }),
  control: reg32(0x08, { enable: flag(0), rootSelected: flag(1), effectiveGranularity: bits(8, 8) }),
});

export const secondaryExpress = capability(0x19, 'Secondary PCI Express', {
  linkControl3: reg32(0x04, { performEqualization: flag(0), equalizationInterrupt: flag(1) }),
  /** A bit for each lane. */
  laneErrors: reg32(0x08),
  /** Of each lane that the link has. */
  equalization: computed((view, at) =>
    Array.from({ length: Math.min(view.facts.linkWidth, 32) }, (_, lane) => view.u16(at + 0x0c + 2 * lane)),
  ),
});

export const dataLinkFeature = capability(0x25, 'Data Link Feature', {
  capabilities: reg32(0x04, { scaledFlowControl: flag(0), exchange: flag(31) }),
  status: reg32(0x08, { remoteScaledFlowControl: flag(0), remoteValid: flag(31) }),
});

export const physicalLayer16 = capability(0x26, 'Physical Layer 16.0 GT/s', {
  capabilities: reg32(0x04),
  control: reg32(0x08),
  status: reg32(0x0c, {
    equalizationComplete: flag(0),
    equalizationPhase1: flag(1),
    equalizationPhase2: flag(2),
    equalizationPhase3: flag(3),
    equalizationRequest: flag(4),
  }),
  localParityMismatch: reg32(0x10),
  firstRetimerParityMismatch: reg32(0x14),
  secondRetimerParityMismatch: reg32(0x18),
});

export const laneMargining = capability(0x27, 'Lane Margining at the Receiver', {
  port: reg32(0x04, { usesSoftware: flag(0), ready: flag(16), softwareReady: flag(17) }),
});

export const dataObjectExchange = capability(0x2e, 'Data Object Exchange', {
  capability: reg32(0x04, { interrupt: flag(0), interruptMessageNumber: bits(1, 11) }),
  control: reg32(0x08, { abort: flag(0), interruptEnable: flag(1), go: flag(31) }),
  status: reg32(0x0c, { busy: flag(0), interrupt: flag(1), error: flag(2), objectReady: flag(31) }),
});
