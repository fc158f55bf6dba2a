import { advancedErrors, dataObjectExchange, portContainment, precisionTime, secondaryExpress } from '../../pci/config-space/errors.js';
import { l1Substates, latencyTolerance } from '../../pci/config-space/power.js';
import * as services from '../../pci/config-space/services.js';
import { designatedVendorSpecific, vendorSpecificExtended } from '../../pci/config-space/vendor.js';
import { hex } from '../hex.js';
import { channelTexts } from './channel-text.js';
import { linesIf, sign, signs, text, type CapabilityText } from './signs.js';

export const extendedTexts: readonly CapabilityText[] = [
  ...channelTexts,
  text(advancedErrors, (registers) => [
    'Advanced Error Reporting',
    `UESta:\t${uncorrectable(registers.uncorrectableStatus)}`,
    `UEMsk:\t${uncorrectable(registers.uncorrectableMask)}`,
    `UESvrt:\t${uncorrectable(registers.uncorrectableSeverity)}`,
    `CESta:\t${correctable(registers.correctableStatus)}`,
    `CEMsk:\t${correctable(registers.correctableMask)}`,
    `AERCap:\tFirst Error Pointer: ${hex(registers.control.firstErrorPointer, 2)}, ${signs({
      ECRCGenCap: registers.control.checkGenerationCapable,
      ECRCGenEn: registers.control.checkGenerationEnable,
      ECRCChkCap: registers.control.checkCapable,
      ECRCChkEn: registers.control.checkEnable,
    })}`,
    `\t${signs({
      MultHdrRecCap: registers.control.multipleHeaderCapable,
      MultHdrRecEn: registers.control.multipleHeaderEnable,
      TLPPfxPres: registers.control.prefixLogPresent,
      HdrLogCap: registers.control.completionTimeoutHeaderCapable,
    })}`,
    `HeaderLog: ${registers.headerLog.map((word) => hex(word, 8)).join(' ')}`,
    ...linesIf(registers.rootCommand, (command) => [
      `RootCmd: ${signs({ CERptEn: command.correctable, NFERptEn: command.nonFatal, FERptEn: command.fatal })}`,
    ]),
    ...linesIf(registers.rootStatus, (status) => [
      `RootSta: ${signs({
        CERcvd: status.correctable,
        MultCERcvd: status.multipleCorrectable,
        UERcvd: status.uncorrectable,
        MultUERcvd: status.multipleUncorrectable,
      })}`,
      `\t ${signs({ FirstFatal: status.firstFatal, NonFatalMsg: status.nonFatalMessage, FatalMsg: status.fatalMessage })} IntMsg ${
        status.interruptMessageNumber
      }`,
      `ErrorSrc: ERR_COR: ${hex(registers.correctableSource ?? 0, 4)} ERR_FATAL/NONFATAL: ${hex(registers.uncorrectableSource ?? 0, 4)}`,
    ]),
  ]),
  text(portContainment, ({ capability: can, control, status, source }) => [
    'Downstream Port Containment',
    `DpcCap:\tINT Msg #${can.interruptMessageNumber}, ${signs({
      RPExt: can.rootPortExtensions,
      PoisonedTLP: can.poisonedEgressBlocking,
      SwTrigger: can.softwareTrigger,
    })} RP PIO Log ${can.programmedAccessLogSize}, ${sign('DL_ActiveErr', can.linkActiveError)}`,
    `DpcCtl:\tTrigger:${control.trigger} ${signs({
      Cmpl: control.completion,
      INT: control.interrupt,
      ErrCor: control.correctableError,
      PoisonedTLP: control.poisonedEgressBlocking,
      SwTrigger: control.softwareTrigger,
      DL_ActiveErr: control.linkActiveError,
    })}`,
    `DpcSta:\t${sign('Trigger', status.triggered)} Reason:${hex(status.reason, 2)} ${signs({
      INT: status.interrupt,
      RPBusy: status.rootPortBusy,
    })} TriggerExt:${hex(status.extendedReason, 2)} RP PIO ErrPtr:${hex(status.firstErrorPointer, 2)}`,
    `Source:\t${hex(source, 4)}`,
  ]),
  text(services.serialNumber, ({ serialNumber }) => [`Device Serial Number ${hex(serialNumber, 16).match(/../g)!.join('-')}`]),
  text(services.accessControl, ({ capability, control }) => [
    'Access Control Services',
    `ACSCap:\t${accessControls(capability)}`,
    `ACSCtl:\t${accessControls(control)}`,
  ]),
  text(services.alternativeRouting, ({ capability: can, control }) => [
    'Alternative Routing-ID Interpretation (ARI)',
    `ARICap:\t${signs({ MFVC: can.functionGroupsVirtualChannel, ACS: can.functionGroupsAccessControl })}, Next Function: ${can.nextFunction}`,
    `ARICtl:\t${signs({ MFVC: control.functionGroupsVirtualChannel, ACS: control.functionGroupsAccessControl })}, Function Group: ${
      control.functionGroup
    }`,
  ]),
  text(services.addressTranslation, ({ capability, control }) => [
    'Address Translation Service (ATS)',
    `ATSCap:\tInvalidate Queue Depth: ${hex(capability.invalidateQueueDepth, 2)}`,
    `ATSCtl:\t${sign('Enable', control.enable)}, Smallest Translation Unit: ${hex(control.smallestTranslationUnit, 2)}`,
  ]),
  text(services.processAddressSpace, ({ capability: can, control }) => [
    'Process Address Space ID (PASID)',
    `PASIDCap: ${signs({ Exec: can.execute, Priv: can.privileged })}, Max PASID Width: ${hex(can.maxWidth, 2)}`,
    `PASIDCtl: ${signs({ Enable: control.enable, Exec: control.execute, Priv: control.privileged })}`,
  ]),
  text(services.pageRequests, ({ control, status, capacity, allocation }) => [
    'Page Request Interface (PRI)',
    `PRICtl: ${signs({ Enable: control.enable, Reset: control.reset })}`,
    `PRISta: ${signs({ RF: status.responseFailure, UPRGI: status.unexpectedGroupIndex, Stopped: status.stopped })}`,
    `Page Request Capacity: ${hex(capacity, 8)}, Page Request Allocation: ${hex(allocation, 8)}`,
  ]),
  text(services.virtualization, (registers) => {
    const { capabilities: can, control, migrationStateArray: array } = registers;
    return [
      'Single Root I/O Virtualization (SR-IOV)',
      `IOVCap:\t${signs({ Migration: can.migration, '10BitTagReq': can.tenBitTag })} Interrupt Message Number: ${hex(can.interruptMessageNumber, 3)}`,
      `IOVCtl:\t${signs({
        Enable: control.enable,
        Migration: control.migration,
        Interrupt: control.migrationInterrupt,
        MSE: control.memorySpace,
        ARIHierarchy: control.alternativeRoutingHierarchy,
        '10BitTagReq': control.tenBitTag,
      })}`,
      `IOVSta:\t${sign('Migration', registers.status.migration)}`,
      `Initial VFs: ${registers.initialFunctions}, Total VFs: ${registers.totalFunctions}, Number of VFs: ${
        registers.functions
      }, Function Dependency Link: ${hex(registers.dependencyLink, 2)}`,
      `VF offset: ${registers.firstOffset}, stride: ${registers.stride}, Device ID: ${hex(registers.device, 4)}`,
      `Supported Page Size: ${hex(registers.supportedPageSizes, 8)}, System Page Size: ${hex(registers.systemPageSize, 8)}`,
      ...barTexts(registers.bars),
      `VF Migration: offset: ${hex(array.offset, 8)}, BIR: ${array.bar}`,
    ];
  }),
  text(services.multicast, (registers) => [
    'Multicast',
    `McastCap: MaxGroups ${registers.capability.maxGroups}, ${
      registers.overlay === undefined
        ? `WindowSz ${registers.capability.windowSize} (${2 ** registers.capability.windowSize} bytes)`
        : sign('ECRCRegen', registers.capability.checkRegeneration)
    }`,
    `McastCtl: NumGroups ${registers.control.groups}, ${sign('Enable', registers.control.enable)}`,
    `McastBAR: IndexPos ${registers.indexPosition}, BaseAddr ${hex(registers.base, 16)}`,
    `McastReceiveVec:      ${hex(registers.receive, 16)}`,
    `McastBlockAllVec:     ${hex(registers.blockAll, 16)}`,
    `McastBlockUntransVec: ${hex(registers.blockUntranslated, 16)}`,
    ...linesIf(registers.overlay, (overlay) => {
      const size = Number(overlay & 0x3fn);
      return [
        `McastOverlayBAR: OverlaySize ${size} (${size >= 6 ? `${2 ** size} bytes` : 'disabled'}), BaseAddr ${hex(overlay & ~0x3fn, 16)}`,
      ];
    }),
  ]),
  text(services.resizableBars, ({ count, bars }) => ['Physical Resizable BAR', ...resizableText(count, bars)]),
  text(services.virtualResizableBars, ({ count, bars }) => ['Virtual Resizable BAR', ...resizableText(count, bars)]),
  text(services.processingHints, ({ capability: can }) => [
    'Transaction Processing Hints',
    ...(can.modes.includes('interrupt vector') ? ['Interrupt vector mode supported'] : []),
    ...(can.modes.includes('device specific') ? ['Device specific mode supported'] : []),
    ...(can.extended ? ['Extended requester support'] : []),
    {
      none: 'No steering table available',
      capability: 'Steering table in TPH capability structure',
      'MSI-X table': 'Steering table in MSI-X table',
    }[can.tableLocation] ?? 'Reserved steering table location',
  ]),
  text(latencyTolerance, ({ maxSnoopLatency, maxNoSnoopLatency }) => [
    'Latency Tolerance Reporting',
    `Max snoop latency: ${maxSnoopLatency}ns`,
    `Max no snoop latency: ${maxNoSnoopLatency}ns`,
  ]),
  text(l1Substates, ({ capabilities: can, control1, control2 }) => [
    'L1 PM Substates',
    `L1SubCap: ${substates(can)} ${sign('L1_PM_Substates', can.supported)}`,
    ...(can.pciL12 || can.aspmL12
      ? [`\t  PortCommonModeRestoreTime=${can.commonModeRestoreTime}us PortTPowerOnTime=${microseconds(can.powerOnTime)}`]
      : []),
    `L1SubCtl1: ${substates(control1)}`,
    ...(can.pciL12 || can.aspmL12
      ? [
          `\t   T_CommonMode=${control1.commonModeRestoreTime}us${can.aspmL12 ? ` LTR1.2_Threshold=${threshold(control1)}` : ''}`,
          `L1SubCtl2: T_PwrOn=${microseconds(control2.powerOnTime)}`,
        ]
      : ['L1SubCtl2:']),
  ]),
  text(precisionTime, ({ capability: can, control }) => [
    'Precision Time Measurement',
    `PTMCap: Requester:${sign('', can.requester)} Responder:${sign('', can.responder)} Root:${sign('', can.root)}`,
    `PTMClockGranularity: ${granularity(can.clockGranularity, 'Unimplemented')}`,
    `PTMControl: Enabled:${sign('', control.enable)} RootSelected:${sign('', control.rootSelected)}`,
    `PTMEffectiveGranularity: ${granularity(control.effectiveGranularity, 'Unknown')}`,
  ]),
  text(secondaryExpress, ({ linkControl3, laneErrors, equalization }) => {
    const lanes = Array.from({ length: Math.min(equalization.length || 16, 16) }, (_, lane) => lane).filter(
      (lane) => (laneErrors >>> lane) & 1,
    );
    return [
      'Secondary PCI Express',
      `LnkCtl3: ${signs({ LnkEquIntrruptEn: linkControl3.equalizationInterrupt, PerformEqu: linkControl3.performEqualization })}`,
      `LaneErrStat: ${lanes.length === 0 ? '0' : `LaneErr at lane: ${lanes.join(' ')}`}`,
    ];
  }),
  text(vendorSpecificExtended, ({ header: { id, revision, length } }) => [
    `Vendor Specific Information: ID=${hex(id, 4)} Rev=${revision} Len=${hex(length, 3)} <?>`,
  ]),
  text(designatedVendorSpecific, ({ header1: { vendor, revision, length }, id }) => [
    `Designated Vendor-Specific: Vendor=${hex(vendor, 4)} ID=${hex(id, 4)} Rev=${revision} Len=${length} <?>`,
  ]),
  text(dataObjectExchange, ({ capability: can, control, status }) => [
    'Data Object Exchange',
    `DOECap: ${sign('IntSup', can.interrupt)}`,
    ...(can.interrupt ? [`\tInterrupt Message Number ${hex(can.interruptMessageNumber, 3)}`] : []),
    `DOECtl: ${sign('IntEn', control.interruptEnable)}`,
    `DOESta: ${signs({ Busy: status.busy, IntSta: status.interrupt, Error: status.error, ObjectReady: status.objectReady })}`,
  ]),
];

type Errors = Readonly<Record<string, unknown>>;

function uncorrectable(errors: Errors): string {
  return renamed(errors, {
    ...{ DLP: 'dataLinkProtocol', SDES: 'surpriseDown', TLP: 'poisonedPacket', FCP: 'flowControlProtocol', CmpltTO: 'completionTimeout' },
    ...{ CmpltAbrt: 'completerAbort', UnxCmplt: 'unexpectedCompletion', RxOF: 'receiverOverflow', MalfTLP: 'malformedPacket' },
    ...{ ECRC: 'endToEndCheck', UnsupReq: 'unsupportedRequest', ACSViol: 'accessControlViolation' },
  });
}

function correctable(errors: Errors): string {
  return renamed(errors, {
    ...{ RxErr: 'receiver', BadTLP: 'badPacket', BadDLLP: 'badLinkPacket', Rollover: 'replayRollover', Timeout: 'replayTimeout' },
    ...{ AdvNonFatalErr: 'advisoryNonFatal' },
  });
}

function accessControls(controls: Errors): string {
  return renamed(controls, {
    ...{ SrcValid: 'sourceValidation', TransBlk: 'translationBlocking', ReqRedir: 'requestRedirect', CmpltRedir: 'completionRedirect' },
    ...{ UpstreamFwd: 'upstreamForwarding', EgressCtrl: 'egressControl', DirectTrans: 'directTranslated' },
  });
}

function substates(of: Errors): string {
  return renamed(of, { 'PCI-PM_L1.2': 'pciL12', 'PCI-PM_L1.1': 'pciL11', 'ASPM_L1.2': 'aspmL12', 'ASPM_L1.1': 'aspmL11' });
}

/** Signs by the names that readers know. */
function renamed(flags: Errors, names: Readonly<Record<string, string>>): string {
  return signs(Object.fromEntries(Object.entries(names).map(([short, name]) => [short, flags[name] === true])));
}

/** Those of virtual functions: one that is 0 is not there, and a wide one takes two. */
function barTexts(bars: readonly number[]): string[] {
  const lines: string[] = [];
  for (let index = 0; index < bars.length; index += 1) {
    const low = bars[index] ?? 0;
    const wide = (low & 6) === 4;
    const upper = wide ? (bars[index + 1] ?? 0) : 0;
    if (low !== 0) {
      const address = (BigInt(upper) << 32n) | BigInt((low & ~0xf) >>> 0);
      lines.push(
        `Region ${index}: Memory at ${hex(address, wide ? 16 : 8)} (${(low & 4) === 0 ? 32 : 64}-bit, ${(low & 8) === 0 ? 'non-' : ''}prefetchable)`,
      );
    }
    if (wide) index += 1;
  }
  return lines;
}

interface Resizable {
  readonly sizes: readonly number[];
  readonly control: { readonly bar: number; readonly size: number };
}

function resizableText(count: number, bars: readonly Resizable[]): string[] {
  if (count === 0 || count > 6) return [`<error in resizable BAR: num_bars=${count} is out of specification>`];
  return bars.map(({ sizes, control }) => {
    const supported = sizes.length === 0 ? '' : `, supported: ${sizes.map(sizeOf).join(' ')}`;
    return `BAR ${control.bar}: current size: ${sizeOf(control.size)}${supported}`;
  });
}

/** A size by the power of two that it is of a megabyte. */
function sizeOf(power: number): string {
  const unit = ['MB', 'GB', 'TB', 'PB', 'EB'][Math.floor(power / 10)];
  return power > 43 ? '<unknown>' : `${1 << (power % 10)}${unit}`;
}

function microseconds(time: number | 'reserved'): string {
  return time === 'reserved' ? '<error>' : `${time}us`;
}

function threshold({ thresholdValue, thresholdScale }: { readonly thresholdValue: number; readonly thresholdScale: number }): string {
  return thresholdScale > 5 ? '<error>' : `${thresholdValue * 32 ** thresholdScale}ns`;
}

function granularity(nanoseconds: number, none: string): string {
  if (nanoseconds === 0) return none;
  return nanoseconds === 255 ? 'Greater than 254ns' : `${nanoseconds}ns`;
}
