import { debugPort, msi, msix } from '../../pci/config-space/interrupts.js';
import { agp, hyperTransport, pcix } from '../../pci/config-space/legacy.js';
import { powerManagement } from '../../pci/config-space/power.js';
import { advancedFeatures, sata, slotId, subsystem, vendorSpecific, vitalProductData } from '../../pci/config-space/vendor.js';
import { hex, idsText } from '../hex.js';
import { expressText } from './express-text.js';
import { linesIf, sign, signs, text, type CapabilityText } from './signs.js';

export const standardTexts: readonly CapabilityText[] = [
  expressText,
  text(powerManagement, ({ capabilities: can, control, bridgeExtensions: bridge }) => [
    `Power Management version ${can.version}`,
    `Flags: ${signs({ PMEClk: can.eventClock, DSI: can.deviceSpecificInitialization, D1: can.d1, D2: can.d2 })} AuxCurrent=${can.auxiliaryCurrent}mA PME(${[
      ...['D0', 'D1', 'D2', 'D3hot', 'D3cold'],
    ]
      .map((state) => sign(state, can.eventFrom.includes(state)))
      .join(',')})`,
    `Status: ${control.state} ${signs({ NoSoftRst: control.noSoftReset, 'PME-Enable': control.eventEnable })} DSel=${control.dataSelect} DScale=${
      control.dataScale
    } ${sign('PME', control.event)}`,
    ...(bridge.busPowerControl || bridge.b2InD3Hot || bridge.reserved > 0
      ? [`Bridge: ${sign('PM', bridge.busPowerControl)} ${sign('B3', !bridge.b2InD3Hot)}`]
      : []),
  ]),
  text(msi, ({ control, address, data, mask, pending }) => [
    `MSI: ${sign('Enable', control.enable)} Count=${control.multipleMessageEnable}/${control.multipleMessageCapable} ${signs({
      Maskable: control.perVectorMasking,
      '64bit': control.address64Bit,
    })}`,
    `Address: ${hex(address, control.address64Bit ? 16 : 8)}  Data: ${hex(data, 4)}`,
    ...(mask === undefined || pending === undefined ? [] : [`Masking: ${hex(mask, 8)}  Pending: ${hex(pending, 8)}`]),
  ]),
  text(msix, ({ control, table, pendingBits }) => [
    `MSI-X: ${sign('Enable', control.enable)} Count=${control.tableSize} ${sign('Masked', control.functionMask)}`,
    `Vector table: BAR=${table.bar} offset=${hex(table.offset, 8)}`,
    `PBA: BAR=${pendingBits.bar} offset=${hex(pendingBits.offset, 8)}`,
  ]),
  text(vitalProductData, () => ['Vital Product Data']),
  text(slotId, ({ slots, chassis }) => [`Slot ID: ${slots.count} slots, ${sign('First', slots.first)}, chassis ${hex(chassis, 2)}`]),
  text(debugPort, ({ port }) => [`Debug port: BAR=${port.bar} offset=${hex(port.offset, 4)}`]),
  text(subsystem, ({ vendor, device }) => [`Subsystem: [${idsText({ vendor, device })}]`]),
  text(advancedFeatures, ({ capabilities, control, status }) => [
    'PCI Advanced Features',
    `AFCap: ${signs({ TP: capabilities.transactionsPending, FLR: capabilities.functionLevelReset })}`,
    `AFCtrl: ${sign('FLR', control.functionLevelReset)}`,
    `AFStatus: ${sign('TP', status.transactionsPending)}`,
  ]),
  // Its offset is in words of 32 bits, as the register has it.
  text(sata, ({ revision, location, offset }) => [
    `SATA HBA v${revision.major}.${revision.minor} ${location.place}${offset === undefined ? '' : ` Offset=${hex(offset / 4, 8)}`}`,
  ]),
  text(vendorSpecific, ({ length, virtio }) =>
    virtio === undefined
      ? [`Vendor Specific Information: Len=${hex(length, 2)} <?>`]
      : [
          `Vendor Specific Information: VirtIO: ${virtio.type === 'unknown' ? '<unknown>' : virtio.type}`,
          `BAR=${virtio.bar} offset=${hex(virtio.offset, 8)} size=${hex(virtio.size, 8)}${
            virtio.multiplier === undefined ? '' : ` multiplier=${hex(virtio.multiplier, 8)}`
          }`,
        ],
  ),
  text(agp, ({ version, status, statusRates, command, commandRates }) => {
    const rates = ({ names }: { readonly names: readonly string[] }): string => names.join(',') || '<none>';
    return [
      `AGP version ${version.major.toString(16)}.${version.minor.toString(16)}`,
      `Status: RQ=${status.requests} ${sign('Iso', status.isochronous)} ArqSz=${status.asynchronousSize} Cal=${status.calibration} ${signs({
        SBA: status.sideband,
        ITACoh: status.coherent,
        GART64: status.translation64Bit,
        HTrans: status.hostTranslation,
        '64bit': status.address64Bit,
        FW: status.fastWrite,
        AGP3: status.third,
      })} Rate=${rates(statusRates)}`,
      `Command: RQ=${command.requests} ArqSz=${command.asynchronousSize} Cal=${command.calibration} ${signs({
        SBA: command.sideband,
        AGP: command.enable,
        GART64: command.translation64Bit,
        '64bit': command.address64Bit,
        FW: command.fastWrite,
      })} Rate=${rates(commandRates)}`,
    ];
  }),
  text(pcix, ({ device, bridge }) => [
    ...linesIf(device, ({ command, status }) => [
      'PCI-X non-bridge device',
      `Command: ${signs({ DPERE: command.dataParityErrorRecovery, ERO: command.relaxedOrdering })} RBC=${command.maxReadBytes} OST=${command.maxOutstanding}`,
      `Status: Dev=${place(status)} ${signs({
        '64bit': status.wide,
        '133MHz': status.capable133MHz,
        SCD: status.splitCompletionDiscarded,
        USC: status.unexpectedSplitCompletion,
      })} DC=${status.complexity} DMMRBC=${status.designedMaxReadBytes} DMOST=${status.designedMaxOutstanding} DMCRS=${
        status.designedMaxCumulativeKilobytes
      } ${signs({ RSCEM: status.splitCompletionError, '266MHz': status.capable266MHz, '533MHz': status.capable533MHz })}`,
    ]),
    ...linesIf(bridge, ({ secondaryStatus, status, upstream, downstream }) => [
      'PCI-X bridge device',
      `Secondary Status: ${bridgeSigns(secondaryStatus)} Freq=${secondaryStatus.frequency}`,
      `Status: Dev=${place(status)} ${bridgeSigns(status)}`,
      `Upstream: Capacity=${upstream.capacity} CommitmentLimit=${upstream.commitmentLimit}`,
      `Downstream: Capacity=${downstream.capacity} CommitmentLimit=${downstream.commitmentLimit}`,
    ]),
  ]),
  text(hyperTransport, ({ kind, slave, messageMapping, messageAddress }) => [
    `HyperTransport: ${kind}${messageMapping === undefined ? '' : ` ${signs({ Enable: messageMapping.enable, Fixed: messageMapping.fixed })}`}`,
    ...linesIf(slave, ({ command, link0, link1, revision }) => [
      `Command: BaseUnitID=${command.baseUnit} UnitCnt=${command.units} ${signs({ MastHost: command.masterHost, DefDir: command.defaultDirection })}`,
      ...[link0, link1].flatMap(({ control, configuration }, index) => [
        `Link Control ${index}: ${signs({
          CFlE: control.checkFlood,
          CST: control.checkTest,
          CFE: control.forceCheckError,
          '<LkFail': control.failure,
          Init: control.initialized,
          EOC: control.endOfChain,
          TXO: control.transmitterOff,
        })} <CRCErr=${control.checkErrors.toString(16)}`,
        `Link Config ${index}: MLWI=${configuration.maxWidthIn} MLWO=${configuration.maxWidthOut} LWI=${configuration.widthIn} LWO=${configuration.widthOut}`,
      ]),
      `Revision ID: ${revision.major}.${hex(revision.minor, 2)}`,
    ]),
    ...linesIf(messageAddress, (address) => [`Mapping Address Base: ${hex(address, 16)}`]),
  ]),
];

function place(status: { readonly bus: number; readonly device: number; readonly function: number }): string {
  return `${hex(status.bus, 2)}:${hex(status.device, 2)}.${status.function}`;
}

interface BridgeStatus {
  readonly wide: boolean;
  readonly capable133MHz: boolean;
  readonly splitCompletionDiscarded: boolean;
  readonly unexpectedSplitCompletion: boolean;
  readonly splitCompletionOverrun: boolean;
  readonly splitRequestDelayed: boolean;
}

function bridgeSigns(status: BridgeStatus): string {
  return signs({
    '64bit': status.wide,
    '133MHz': status.capable133MHz,
    SCD: status.splitCompletionDiscarded,
    USC: status.unexpectedSplitCompletion,
    SCO: status.splitCompletionOverrun,
    SRD: status.splitRequestDelayed,
  });
}
