import { eventCollector, rootComplexLink, virtualChannel, virtualChannel9 } from '../../pci/config-space/virtual-channel.js';
import type { PartOf } from '../../pci/config-space/declaration.js';
import { hex } from '../hex.js';
import { linesIf, sign, signs, text, type CapabilityText } from './signs.js';

type Channels = PartOf<typeof virtualChannel.registers>;

export const channelTexts: readonly CapabilityText[] = [
  text(virtualChannel, (registers, { offset }) => channelText(registers, offset)),
  text(virtualChannel9, (registers, { offset }) => channelText(registers, offset)),
  text(rootComplexLink, ({ self, links }) => [
    'Root Complex Link',
    `Desc:\tPortNumber=${hex(self.port, 2)} ComponentID=${hex(self.component, 2)} EltType=${self.type}`,
    ...links.flatMap(({ description: { targetPort, targetComponent, associatedBlock, type, valid }, address }, index) => [
      `Link${index}:\tDesc:\tTargetPort=${hex(targetPort, 2)} TargetComponent=${hex(targetComponent, 2)} ${sign('AssocRCRB', associatedBlock)} LinkType=${
        type === 'memory' ? 'MemMapped' : 'Config'
      } ${sign('LinkValid', valid)}`,
      `\tAddr:\t${type === 'memory' ? hex(address, 16) : functionText(address)}`,
    ]),
  ]),
  text(eventCollector, ({ devices, buses }) => [
    'Root Complex Event Collector Endpoint Association',
    `RCiEPBitmap: ${devices === 0 ? '00000000 [none]' : `RCiEP at Device(s): ${ranges(devices)}`}`,
    ...linesIf(buses, ({ first, last }) => [`AssociatedBusNumbers: ${hex(first, 2)}-${hex(last, 2)}`]),
  ]),
];

function channelText({ capability1, capability2, control, status, channels }: Channels, start: number): string[] {
  return [
    'Virtual Channel',
    `Caps:\tLPEVC=${capability1.lowPriorityChannels} RefClk=${capability1.referenceClock} PATEntryBits=${capability1.arbitrationTableEntryBits}`,
    `Arb:\t${arbitrations(capability2.arbitration, ['Fixed', 'WRR32', 'WRR64', 'WRR128'])}`,
    `Ctrl:\tArbSelect=${control.arbitrationSelect}`,
    `Status:\t${sign('InProgress', status.arbitrationTable)}`,
    ...(capability2.arbitrationTable === 0 ? [] : [`Port Arbitration Table [${hex(start + 16 * capability2.arbitrationTable, 3)}] <?>`]),
    ...channels.flatMap(({ capability: can, control, status }, index) => [
      `VC${index}:\tCaps:\tPATOffset=${hex(can.arbitrationTable, 2)} MaxTimeSlots=${can.maxTimeSlots} ${sign('RejSnoopTrans', can.rejectSnoop)}`,
      `\tArb:\t${arbitrations(can.arbitration, ['Fixed', 'WRR32', 'WRR64', 'WRR128', 'TWRR128', 'WRR256'])}`,
      `\tCtrl:\t${sign('Enable', control.enable)} ID=${control.id} ArbSelect=${control.arbitrationSelect} TC/VC=${hex(control.trafficClasses, 2)}`,
      `\tStatus:\t${signs({ NegoPending: status.negotiationPending, InProgress: status.arbitrationTable })}`,
      ...(can.arbitrationTable === 0 ? [] : ['\tPort Arbitration Table <?>']),
    ]),
  ];
}

/** The known ones in any case, others where they are. */
function arbitrations(supported: readonly string[], known: readonly string[]): string {
  const all = [...known, ...supported.filter((name) => !known.includes(name))];
  return signs(Object.fromEntries(all.map((name) => [name, supported.includes(name)])));
}

/** A function's place in the memory that configuration space is mapped at, and its address there. */
function functionText(address: bigint): string {
  const low = Number(address & 0xffff_ffffn);
  const buses = low & 7 || 8;
  const bus = (low >>> 20) & ((1 << buses) - 1);
  return `${hex(bus, 2)}:${hex((low >>> 15) & 0x1f, 2)}.${(low >>> 12) & 7}  CfgSpace=${hex(address, 16)}`;
}

/** The bits that are set: '0-2, 16'. */
function ranges(word: number): string {
  const set = Array.from({ length: 33 }, (_, bit) => bit < 32 && ((word >>> bit) & 1) === 1);
  return set
    .flatMap((here, bit) => {
      if (!here || set[bit - 1] === true) return [];
      const last = set.indexOf(false, bit) - 1;
      return [last === bit ? `${bit}` : `${bit}-${last}`];
    })
    .join(', ');
}
