import type { PciDevice } from '../../pci/topology.js';
import { Misuse } from '../exit.js';
import { hex } from '../hex.js';
import type { PciNames } from '../pci-names.js';

/** What `vfio list` is asked for; all of it has to be so. */
export interface Filters {
  readonly class?: string;
  readonly vendor?: string;
  readonly device?: string;
  readonly driver?: string;
  readonly group?: number;
}

/** What people call classes, beside what the database does. */
const classes: Readonly<Record<string, string>> = {
  nvme: '0108',
  storage: '01',
  network: '02',
  display: '03',
  gpu: '03',
  audio: '0403',
  bridge: '06',
  usb: '0c03',
};

/** Whether a device is wanted. @throws Misuse for a filter that is none. */
export function selector({ class: wantedClass, vendor, device, driver, group }: Filters, names: PciNames): (device: PciDevice) => boolean {
  const ofClass = wantedClass === undefined ? undefined : classSelector(wantedClass, names);
  const matches = (wanted: string | undefined, number: number, name: string | undefined): boolean =>
    wanted === undefined || idOf(wanted) === number || holds(name, wanted);
  return (one) =>
    (ofClass === undefined || ofClass(one.classCode)) &&
    matches(vendor, one.vendor, names.vendor(one.vendor)) &&
    matches(device, one.device, names.device(one.vendor, one.device)) &&
    (driver === undefined || (one.driver ?? 'none') === driver) &&
    (group === undefined || one.group === group);
}

/** By a number of one, two or three bytes, or a part of a name. */
function classSelector(wanted: string, names: PciNames): (classCode: number) => boolean {
  const number = classes[wanted.toLowerCase()] ?? /^0x((?:[0-9a-f]{2}){1,3})$/i.exec(wanted)?.[1];
  if (number !== undefined) return (classCode) => hex(classCode, 6).startsWith(number.toLowerCase());
  if (/^(0x|\d)/i.test(wanted)) throw new Misuse(`Expected a class like nvme, network, 0x01, 0x0108 or 0x010802 but received '${wanted}'`);
  return (classCode) => holds(names.className(classCode), wanted) || holds(names.baseClassName(classCode), wanted);
}

function idOf(text: string): number | undefined {
  const digits = /^(?:0x)?([0-9a-f]{4})$/i.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

function holds(name: string | undefined, part: string): boolean {
  return name?.toLowerCase().includes(part.toLowerCase()) === true;
}
