import type { PartOf } from '../../pci/config-space/declaration.js';
import { express } from '../../pci/config-space/express.js';
import { PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_BASE_ADDRESS_SPACE_IO, type Header } from '../../pci/index.js';
import { hex } from '../hex.js';
import { sign, signs, text, type CapabilityText } from './signs.js';

type Express = PartOf<typeof express.registers>;

/** Which lines and signs there are depends on the type of device or port. */
const endpoints = ['Endpoint', 'Legacy Endpoint'];
const integrated = 'Root Complex Integrated Endpoint';
const [root, downstream, upstream, toPci, toExpress] = [
  ...['Root Port', 'Downstream Port', 'Upstream Port', 'PCI-Express to PCI/PCI-X Bridge', 'PCI/PCI-X to PCI-Express Bridge'],
];

export const expressText: CapabilityText = text(express, (registers, _capability, { header }) => [
  title(registers),
  ...deviceText(registers),
  ...linkText(registers),
  ...slotText(registers),
  ...rootText(registers),
  ...deviceText2(registers, answersMemory(header)),
  ...linkText2(registers),
]);

function title({ capabilities: { version, portType, slotImplemented, interruptMessageNumber } }: Express): string {
  const slot = [root, downstream, toExpress].includes(portType) ? ` (${sign('Slot', slotImplemented)})` : '';
  return `Express (v${version}) ${portType}${slot}, MSI ${hex(interruptMessageNumber, 2)}`;
}

function deviceText({
  capabilities: { portType },
  deviceCapabilities: can,
  capturedSlotPowerLimit,
  deviceControl,
  deviceStatus,
}: Express): string[] {
  const endpoint = endpoints.includes(portType);
  const hasButtons = endpoint || portType === upstream || portType === toPci;
  const hasReset = endpoint || portType === integrated;
  const latency = endpoint ? `, Latency L0s ${can.acceptableL0sLatency}, L1 ${can.acceptableL1Latency}` : '';
  return [
    `DevCap:\tMaxPayload ${can.maxPayloadSize} bytes, PhantFunc ${[0, 1, 3, 7][can.phantomFunctions]}${latency}`,
    `\t${signs({
      ExtTag: can.extendedTag,
      ...(hasButtons && { AttnBtn: can.attentionButton, AttnInd: can.attentionIndicator, PwrInd: can.powerIndicator }),
      RBE: can.roleBasedErrorReporting,
      ...(hasReset && { FLReset: can.functionLevelReset }),
    })}${['Endpoint', upstream, toPci].includes(portType) ? ` SlotPowerLimit ${capturedSlotPowerLimit}W` : ''}`,
    `DevCtl:\t${signs({
      CorrErr: deviceControl.correctableErrorReporting,
      NonFatalErr: deviceControl.nonFatalErrorReporting,
      FatalErr: deviceControl.fatalErrorReporting,
      UnsupReq: deviceControl.unsupportedRequestReporting,
    })}`,
    `\t${signs({
      RlxdOrd: deviceControl.relaxedOrdering,
      ExtTag: deviceControl.extendedTag,
      PhantFunc: deviceControl.phantomFunctions,
      AuxPwr: deviceControl.auxiliaryPower,
      NoSnoop: deviceControl.noSnoop,
      ...(portType === toPci && { BrConfRtry: deviceControl.bridgeConfigurationRetry }),
      ...(hasReset && can.functionLevelReset && { FLReset: deviceControl.bridgeConfigurationRetry }),
    })}`,
    `\tMaxPayload ${deviceControl.maxPayloadSize} bytes, MaxReadReq ${deviceControl.maxReadRequestSize} bytes`,
    `DevSta:\t${signs({
      CorrErr: deviceStatus.correctableError,
      NonFatalErr: deviceStatus.nonFatalError,
      FatalErr: deviceStatus.fatalError,
      UnsupReq: deviceStatus.unsupportedRequest,
      AuxPwr: deviceStatus.auxiliaryPower,
      TransPend: deviceStatus.transactionsPending,
    })}`,
  ];
}

function linkText({
  capabilities: { portType },
  linkCapabilities: can,
  linkControl: control,
  linkStatus: status,
}: Express): readonly string[] {
  if (can === undefined || control === undefined || status === undefined) return [];
  const states = can.activeStatePowerManagement;
  const exits = [
    ...(states.includes('L0s') ? [`L0s ${can.l0sExitLatency}`] : []),
    ...(states.includes('L1') ? [`L1 ${can.l1ExitLatency}`] : []),
  ];
  const enabled = control.activeStatePowerManagement;
  const compare = comparison(portType);
  const hasBoundary = [...endpoints, root, toPci].includes(portType);
  return [
    `LnkCap:\tPort #${can.portNumber}, Speed ${can.maxSpeed}, Width x${can.maxWidth}, ASPM ${
      states.length === 0 ? 'not supported' : `${states.join(' ')}, Exit Latency ${exits.join(', ')}`
    }`,
    `\t${signs({
      ClockPM: can.clockPowerManagement,
      Surprise: can.surpriseDownReporting,
      LLActRep: can.activeReporting,
      BwNot: can.bandwidthNotification,
      ASPMOptComp: can.optionalityCompliance,
    })}`,
    `LnkCtl:\tASPM ${enabled.length === 0 ? 'Disabled' : `${enabled.join(' ')} Enabled`};${
      hasBoundary ? ` RCB ${control.readCompletionBoundary} bytes,` : ''
    } ${signs({ Disabled: control.disabled, CommClk: control.commonClock })}`,
    `\t${signs({
      ExtSynch: control.extendedSynch,
      ClockPM: control.clockPowerManagement,
      AutWidDis: control.autonomousWidthDisable,
      BWInt: control.bandwidthManagementInterrupt,
      AutBWInt: control.autonomousBandwidthInterrupt,
    })}`,
    `LnkSta:\tSpeed ${status.speed}${compare(rate(status.speed), rate(can.maxSpeed))}, Width x${status.width}${compare(status.width, can.maxWidth)}`,
    `\t${signs({
      TrErr: status.trainingError,
      Train: status.training,
      SlotClk: status.slotClock,
      DLActive: status.active,
      BWMgmt: status.bandwidthManagement,
      ABWMgmt: status.autonomousBandwidth,
    })}`,
  ];
}

/** 'unknown' as 0. */
const rate = (speed: string): number => Number.parseFloat(speed) || 0;

/** A port may well be faster than what is plugged in; a device that is slower than it could be is worth a word. */
function comparison(portType: string): (now: number, most: number) => string {
  const below = [root, downstream, toExpress].includes(portType) ? '' : ' (downgraded)';
  return (now, most) => (now === most ? '' : now < most ? below : ' (overdriven)');
}

function slotText({ slotCapabilities: can, slotPowerLimit, slotControl: control, slotStatus: status }: Express): readonly string[] {
  if (can === undefined || control === undefined || status === undefined) return [];
  return [
    `SltCap:\t${signs({
      AttnBtn: can.attentionButton,
      PwrCtrl: can.powerController,
      MRL: can.retentionLatchSensor,
      AttnInd: can.attentionIndicator,
      PwrInd: can.powerIndicator,
      HotPlug: can.hotPlug,
      Surprise: can.hotPlugSurprise,
    })}`,
    `\tSlot #${can.physicalSlotNumber}, PowerLimit ${slotPowerLimit}W; ${signs({
      Interlock: can.electromechanicalInterlock,
      NoCompl: can.noCommandCompleted,
    })}`,
    `SltCtl:\tEnable: ${signs({
      AttnBtn: control.attentionButtonPressed,
      PwrFlt: control.powerFault,
      MRL: control.retentionLatch,
      PresDet: control.presenceDetect,
      CmdCplt: control.commandCompleted,
      HPIrq: control.hotPlugInterrupt,
      LinkChg: control.linkStateChanged,
    })}`,
    `\tControl: AttnInd ${control.attentionIndicator}, PwrInd ${control.powerIndicator}, ${signs({
      Power: control.powerOff,
      Interlock: control.interlock,
    })}`,
    `SltSta:\tStatus: ${signs({
      AttnBtn: status.attentionButtonPressed,
      PowerFlt: status.powerFault,
      MRL: status.retentionLatchOpen,
      CmdCplt: status.commandCompleted,
      PresDet: status.presenceDetect,
      Interlock: status.interlock,
    })}`,
    `\tChanged: ${signs({ MRL: status.retentionLatchChanged, PresDet: status.presenceDetectChanged, LinkState: status.linkStateChanged })}`,
  ];
}

function rootText({ rootCapabilities: can, rootControl: control, rootStatus: status }: Express): readonly string[] {
  if (can === undefined || control === undefined || status === undefined) return [];
  return [
    `RootCap: ${sign('CRSVisible', can.retryStatusSoftwareVisibility)}`,
    `RootCtl: ${signs({
      ErrCorrectable: control.systemErrorOnCorrectable,
      'ErrNon-Fatal': control.systemErrorOnNonFatal,
      ErrFatal: control.systemErrorOnFatal,
      PMEIntEna: control.powerManagementEventInterrupt,
      CRSVisible: control.retryStatusSoftwareVisibility,
    })}`,
    `RootSta: PME ReqID ${hex(status.requester, 4)}, ${signs({
      PMEStatus: status.powerManagementEvent,
      PMEPending: status.powerManagementEventPending,
    })}`,
  ];
}

/** A BAR of it is of memory; a wide one takes the next register, too. */
function answersMemory({ bars }: Header): boolean {
  const upper = (index: number): boolean => index > 0 && ((bars[index - 1] ?? 0) & 7) === PCI_BASE_ADDRESS_MEM_TYPE_64 && !upper(index - 1);
  return bars.some((bar, index) => bar !== 0 && !upper(index) && (bar & PCI_BASE_ADDRESS_SPACE_IO) === 0);
}

function deviceText2(
  { capabilities: { portType }, deviceCapabilities2: can, deviceControl2: control }: Express,
  hasMemory: boolean,
): readonly string[] {
  if (can === undefined || control === undefined) return [];
  const forwards = portType === root || portType === downstream;
  const isPort = forwards || portType === upstream;
  const hasHints = portType === 'Endpoint' || portType === root;
  const operates = [...endpoints, root, integrated].includes(portType);
  // The extended ones without the others have no meaning.
  const hints = can.extendedProcessingHintsCompleter && !can.processingHintsCompleter;
  const last = [
    sign('FRS', can.functionReadinessStatus),
    ...(portType === root ? [`LN System CLS ${can.lightweightNotification},`] : []),
    ...(hasHints && !hints ? [signs({ TPHComp: can.processingHintsCompleter, ExtTPHComp: can.extendedProcessingHintsCompleter })] : []),
    ...(hasHints && hints && forwards ? [''] : []),
    ...(forwards ? [sign('ARIFwd', can.alternativeRoutingIdForwarding)] : []),
  ];
  const atomic = {
    ...(isPort && { Routing: can.atomicOperationRouting }),
    ...((portType === root || hasMemory) && {
      '32bit': can.atomicOperation32Bit,
      '64bit': can.atomicOperation64Bit,
      '128bitCAS': can.compareAndSwap128Bit,
    }),
  };
  const atomicControl = {
    ...(operates && { ReqEn: control.atomicOperationRequester }),
    ...(isPort && { EgressBlck: control.atomicOperationEgressBlocking }),
  };
  return [
    `DevCap2: Completion Timeout: ${can.completionTimeoutRanges}, ${signs({
      TimeoutDis: can.completionTimeoutDisable,
      NROPrPrP: can.noRelaxedOrderingPeerToPeer,
      LTR: can.latencyToleranceReporting,
    })}`,
    `\t ${signs({ '10BitTagComp': can.tenBitTagCompleter, '10BitTagReq': can.tenBitTagRequester })} OBFF ${can.optimizedBufferFlushFill}, ${signs(
      {
        ExtFmt: can.extendedFormat,
        EETLPPrefix: can.endToEndPrefix,
      },
    )}${can.endToEndPrefix ? `, MaxEETLPPrefixes ${can.maxEndToEndPrefixes}` : ''}`,
    `\t EmergencyPowerReduction ${can.emergencyPowerReduction}, ${sign('EmergencyPowerReductionInit', can.emergencyPowerReductionInitialization)}`,
    `\t ${last.join(' ')}`,
    ...(Object.keys(atomic).length === 0 ? [] : [`\t AtomicOpsCap: ${signs(atomic)}`]),
    `DevCtl2: Completion Timeout: ${control.completionTimeout}, ${signs({
      TimeoutDis: control.completionTimeoutDisable,
      LTR: control.latencyToleranceReporting,
      '10BitTagReq': control.tenBitTagRequester,
    })} OBFF ${control.optimizedBufferFlushFill},${forwards ? ` ${sign('ARIFwd', control.alternativeRoutingIdForwarding)}` : ''}`,
    ...(Object.keys(atomicControl).length === 0 ? [] : [`\t AtomicOpsCtl: ${signs(atomicControl)}`]),
  ];
}

function linkText2(registers: Express): readonly string[] {
  const { capabilities, linkCapabilities2: can, supportedSpeeds, linkControl2: control, linkStatus2: status } = registers;
  if (can === undefined || control === undefined || status === undefined) return [];
  const forwards = [root, downstream, toExpress].includes(capabilities.portType);
  const tells = forwards && can.downstreamReadiness;
  // Reserved before version 3 of the specification, and 0 then.
  const hasCapabilities = Object.values(can).some((value) => (Array.isArray(value) ? value.length > 0 : value));
  return [
    ...(hasCapabilities
      ? [
          `LnkCap2: Supported Link Speeds: ${supportedSpeeds}, ${signs({
            Crosslink: can.crosslink,
            Retimer: can.retimer,
            '2Retimers': can.twoRetimers,
            DRS: can.downstreamReadiness,
          })}`,
        ]
      : []),
    `LnkCtl2: Target Link Speed: ${control.targetSpeed}, ${signs({
      EnterCompliance: control.enterCompliance,
      SpeedDis: control.autonomousSpeedDisable,
    })}${capabilities.portType === downstream ? `, Selectable De-emphasis: ${control.selectableDeEmphasis}` : ''}`,
    `\t Transmit Margin: ${control.transmitMargin}, ${signs({
      EnterModifiedCompliance: control.enterModifiedCompliance,
      ComplianceSOS: control.complianceSkipOrderedSets,
    })}`,
    `\t Compliance Preset/De-emphasis: ${control.compliancePreset}`,
    `LnkSta2: Current De-emphasis Level: ${status.currentDeEmphasis}, ${signs({
      EqualizationComplete: status.equalizationComplete,
      EqualizationPhase1: status.equalizationPhase1,
    })}`,
    `\t ${signs({
      EqualizationPhase2: status.equalizationPhase2,
      EqualizationPhase3: status.equalizationPhase3,
      LinkEqualizationRequest: status.equalizationRequest,
    })}`,
    `\t ${signs({ Retimer: status.retimer, '2Retimers': status.twoRetimers })} CrosslinkRes: ${status.crosslinkResolution}${
      tells ? `, ${sign('DRS', status.downstreamReadinessMessage)}` : ''
    }`,
    ...(tells ? [`\t DownstreamComp: ${status.downstreamComponent}`] : []),
  ];
}
