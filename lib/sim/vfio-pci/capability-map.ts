/** Which capability each byte of configuration space belongs to, and the lists as a driver sees them. */
import {
  PCI_CAPABILITY_LIST,
  PCI_CAP_ID_PM,
  PCI_CAP_LIST_NEXT,
  PCI_CFG_SPACE_SIZE,
  PCI_PM_CAP_PME_MASK,
  PCI_PM_CTRL,
  PCI_PM_CTRL_PME_ENABLE,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_PMC,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
} from '../../abi/pci.js';
import type { PciFunction } from '../pci/function.js';
import { capabilityLength, extendedLength } from './capability-lengths.js';

/** The bytes of the header. */
export const basic = 0;
/** Bytes that no capability is over. */
export const unassigned = 0xff;

/** A list is cut where it would be longer than the space. */
const smallest = 4;
const nextBits = 0xffc0_0000;

/**
 * vfio_config_init: the map, by byte, and `copy` filled with what a driver sees a copy of. Capabilities that are hidden
 * are left out of the lists.
 */
export function mapCapabilities(hardware: PciFunction, copy: DataView): Uint8Array {
  const map = new Uint8Array(hardware.configSize).fill(unassigned).fill(basic, 0, PCI_STD_HEADER_SIZEOF);
  const fill = (at: number, length: number): void => {
    for (let byte = at; byte < Math.min(at + length, copy.byteLength); byte += 1) copy.setUint8(byte, hardware.readConfig(byte, 1));
  };
  fill(0, PCI_STD_HEADER_SIZEOF);
  mapList(hardware, copy, map, fill);
  if (hardware.configSize > PCI_CFG_SPACE_SIZE && hardware.readConfig(PCI_CFG_SPACE_SIZE, 4) !== 0) mapExtended(hardware, copy, map, fill);
  return map;
}

type Fill = (at: number, length: number) => void;

function mapList(hardware: PciFunction, copy: DataView, map: Uint8Array, fill: Fill): void {
  let shown = false;
  let previous = PCI_CAPABILITY_LIST;
  let at = hardware.readConfig(PCI_CAPABILITY_LIST, 1);
  for (let left = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / smallest; at !== 0 && left > 0; left -= 1) {
    const id = hardware.readConfig(at, 1);
    const next = hardware.readConfig(at + PCI_CAP_LIST_NEXT, 1);
    const length = capabilityLength(hardware, id, at);
    if (length === 0) copy.setUint8(previous, next);
    else {
      map.fill(id, at, at + length);
      fill(at, length);
      if (id === PCI_CAP_ID_PM) hideWakeUps(copy, at);
      shown = true;
      previous = at + PCI_CAP_LIST_NEXT;
    }
    at = next;
  }
  if (!shown) copy.setUint16(PCI_STATUS, copy.getUint16(PCI_STATUS, true) & ~PCI_STATUS_CAP_LIST, true);
}

/** Waking the machine is the host's business. */
function hideWakeUps(copy: DataView, at: number): void {
  copy.setUint16(at + PCI_PM_PMC, copy.getUint16(at + PCI_PM_PMC, true) & ~PCI_PM_CAP_PME_MASK, true);
  const wakes = PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS;
  copy.setUint16(at + PCI_PM_CTRL, copy.getUint16(at + PCI_PM_CTRL, true) & ~wakes, true);
}

function mapExtended(hardware: PciFunction, copy: DataView, map: Uint8Array, fill: Fill): void {
  let previous: number | undefined;
  let shown = 0;
  let at = PCI_CFG_SPACE_SIZE;
  for (let left = (hardware.configSize - PCI_CFG_SPACE_SIZE) / smallest; at >= PCI_CFG_SPACE_SIZE && left > 0; left -= 1) {
    const header = hardware.readConfig(at, 4);
    const id = header & 0xffff;
    // The lowest two bits of where the next one is are reserved.
    const next = (header >>> 20) & 0xffc;
    const length = extendedLength(hardware, id, at);
    if (length === 0 && previous !== undefined) {
      copy.setUint32(previous, ((copy.getUint32(previous, true) & ~nextBits) | (next << 20)) >>> 0, true);
    } else {
      // One that is hidden at the head of the list stays there, without its id.
      map.fill(id & 0xff, at, at + (length === 0 ? smallest : length));
      fill(at, length === 0 ? smallest : length);
      if (length === 0) copy.setUint32(at, (copy.getUint32(at, true) & nextBits) >>> 0, true);
      else shown += 1;
      previous = at;
    }
    at = next;
  }
  if (shown === 0) copy.setUint32(PCI_CFG_SPACE_SIZE, 0, true);
}
