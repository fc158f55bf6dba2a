import type { BridgeWindow, ConfigSpace, Header } from '../../pci/index.js';
import { hex } from '../hex.js';
import { signs } from './signs.js';

/** The lines of the header, of those that need nothing but configuration space. */
export function headerText({ header }: ConfigSpace): string[] {
  const { command, status, selfTest, bridge } = header;
  return [
    `Control: ${signs({
      'I/O': command.ioSpace,
      Mem: command.memorySpace,
      BusMaster: command.busMaster,
      SpecCycle: command.specialCycles,
      MemWINV: command.memoryWriteAndInvalidate,
      VGASnoop: command.vgaPaletteSnoop,
      ParErr: command.parityErrorResponse,
      Stepping: command.stepping,
      SERR: command.systemError,
      FastB2B: command.fastBackToBack,
      DisINTx: command.interruptDisable,
    })}`,
    `Status: ${signs({
      Cap: status.capabilitiesList,
      '66MHz': status.capable66MHz,
      UDF: status.userDefinableFeatures,
      FastB2B: status.fastBackToBack,
      ParErr: status.masterDataParityError,
    })} DEVSEL=${select(status)} ${signs({
      '>TAbort': status.signaledTargetAbort,
      '<TAbort': status.receivedTargetAbort,
      '<MAbort': status.receivedMasterAbort,
      '>SERR': status.signaledSystemError,
      '<PERR': status.detectedParityError,
      INTx: status.interrupt,
    })}`,
    ...(command.busMaster ? [latency(header)] : []),
    ...(selfTest.capable ? [selfTest.running ? 'BIST is running' : `BIST result: ${hex(selfTest.completionCode, 2)}`] : []),
    ...(bridge === undefined ? [] : bridgeText(bridge)),
  ].map((line) => `\t${line}`);
}

const select = ({ deviceSelect }: { readonly deviceSelect: string }): string => (deviceSelect === 'unknown' ? '??' : deviceSelect);

function latency({ latencyTimer, cacheLineSize, minimumGrant = 0, maximumLatency = 0 }: Header): string {
  const limits = [minimumGrant > 0 ? `${minimumGrant * 250}ns min` : '', maximumLatency > 0 ? `${maximumLatency * 250}ns max` : ''];
  const said = limits.filter((limit) => limit !== '').join(', ');
  return `Latency: ${latencyTimer}${said && ` (${said})`}${cacheLineSize === 0 ? '' : `, Cache Line Size: ${cacheLineSize} bytes`}`;
}

function bridgeText(bridge: NonNullable<Header['bridge']>): string[] {
  const { secondaryStatus: status, control } = bridge;
  const [primary, secondary, subordinate] = [bridge.primaryBus, bridge.secondaryBus, bridge.subordinateBus].map((bus) => hex(bus, 2));
  return [
    `Bus: primary=${primary}, secondary=${secondary}, subordinate=${subordinate}, sec-latency=${bridge.secondaryLatencyTimer}`,
    `I/O behind bridge: ${window(bridge.io)}`,
    `Memory behind bridge: ${window(bridge.memory)}`,
    `Prefetchable memory behind bridge: ${window(bridge.prefetchable)}`,
    `Secondary status: ${signs({ '66MHz': status.capable66MHz, FastB2B: status.fastBackToBack, ParErr: status.masterDataParityError })} DEVSEL=${select(status)} ${signs(
      {
        '>TAbort': status.signaledTargetAbort,
        '<TAbort': status.receivedTargetAbort,
        '<MAbort': status.receivedMasterAbort,
        '<SERR': status.receivedSystemError,
        '<PERR': status.detectedParityError,
      },
    )}`,
    `BridgeCtl: ${signs({
      Parity: control.parityErrorResponse,
      SERR: control.systemError,
      NoISA: control.isa,
      VGA: control.vga,
      VGA16: control.vga16Bit,
      MAbort: control.masterAbortMode,
      '>Reset': control.secondaryBusReset,
      FastB2B: control.fastBackToBack,
    })}`,
    `\t${signs({
      PriDiscTmr: control.primaryDiscardTimer,
      SecDiscTmr: control.secondaryDiscardTimer,
      DiscTmrStat: control.discardTimerStatus,
      DiscTmrSERREn: control.discardTimerSystemError,
    })}`,
  ];
}

function window(range: BridgeWindow | 'unknown'): string {
  if (range === 'unknown') return '[of a type that is not known]';
  const digits = range.bits / 4;
  const size = range.limit < range.base ? 'disabled' : `size=${sizeText(range.limit - range.base + 1n)}`;
  return `${hex(range.base, digits)}-${hex(range.limit, digits)} [${size}] [${range.bits}-bit]`;
}

/** In the largest unit that says it without a fraction: '4K', '4100M'. */
export function sizeText(bytes: bigint): string {
  const units = ['', 'K', 'M', 'G', 'T'];
  let unit = 0;
  let size = bytes;
  while (unit < units.length - 1 && size > 0n && size % 1024n === 0n) [size, unit] = [size / 1024n, unit + 1];
  return `${size}${units[unit]}`;
}
