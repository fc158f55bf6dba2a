/** Which frames the card takes. */
import { destinationOf, word } from './frame.js';
import { MTA, RA, RCTL, VET, VFTA, type Registers } from './registers.js';
import { receivedCounters } from './statistics.js';

const [everyUnicast, everyMulticast, everyBroadcast] = [1 << 3, 1 << 4, 1 << 15];
const filtersVlans = 1 << 18;
const addressValid = 0x8000_0000;
const stations = 16;
/** Which 12 bits of an address choose a bit of the table: by RCTL.MO. */
const tableShifts = [4, 3, 2, 0] as const;

export function takes(registers: Registers, frame: Uint8Array): boolean {
  const control = registers.get(RCTL);
  if ((control & filtersVlans) !== 0 && word(frame, 12) === registers.get(VET)) {
    const id = word(frame, 14);
    if ((registers.get(VFTA + 4 * ((id >> 5) & 0x7f)) & (1 << (id & 0x1f))) === 0) return false;
  }
  const accepted = { unicast: everyUnicast, multicast: everyMulticast, broadcast: everyBroadcast }[destinationOf(frame)];
  return (control & accepted) !== 0 || isStation(registers, frame) || isInTable(registers, frame);
}

function isStation(registers: Registers, frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const [low, high] = [view.getUint32(0, true), view.getUint16(4, true)];
  for (let at = RA; at < RA + 8 * stations; at += 8) {
    const upper = registers.get(at + 4);
    if ((upper & addressValid) !== 0 && registers.get(at) === low && (upper & 0xffff) === high) return true;
  }
  return false;
}

function isInTable(registers: Registers, frame: Uint8Array): boolean {
  const shift = tableShifts[(registers.get(RCTL) >>> 12) & 3] ?? 0;
  const bit = ((((frame[5] ?? 0) << 8) | (frame[4] ?? 0)) >> shift) & 0xfff;
  if ((registers.get(MTA + 4 * (bit >> 5)) & (1 << (bit & 0x1f))) === 0) return false;
  registers.count(receivedCounters.multicast);
  return true;
}
