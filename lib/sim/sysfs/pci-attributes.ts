/** What sysfs shows of a PCI function beside its ids and its driver: addresses, link, power, resets, interrupts. */
import { errno } from '../../abi/errno.js';
import {
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_TYPE,
  PCI_EXP_LNKCAP,
  PCI_EXP_LNKSTA,
  PCI_EXP_TYPE_RC_END,
  PCI_SRIOV_TOTAL_VF,
} from '../../abi/pci.js';
import { directory, line, link, text, type FileNode } from '../file-node.js';
import type { Process } from '../process.js';
import type { PciFunction } from '../pci/function.js';
import type { PciSlot } from '../slot.js';
import { configFile } from './config-file.js';

const hex = (value: number | bigint, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');

export function pciAttributes(slot: PciSlot, slots: readonly PciSlot[], process: Process): Record<string, FileNode> {
  const { pciFunction } = slot;
  return {
    config: configFile(pciFunction, process),
    resource: text(() => resourceLines(pciFunction)),
    modalias: line(() => modalias(pciFunction)),
    enable: line(() => (slot.vfio?.isOpen === true || (slot.driver !== undefined && slot.vfio === undefined) ? '1' : '0')),
    power_state: line(() => powerState(slot)),
    ...resetEntries(slot),
    ...linkEntries(pciFunction),
    ...messageEntries(slot, slots),
    ...virtualEntries(slot, slots),
    ...romEntries(pciFunction),
  };
}

/** The kernel's flags, IORESOURCE_IO and so on. Those of a BAR have the low bits of its register, too. */
const flag = { ports: 0x100, memory: 0x200, prefetch: 0x2000, readOnly: 0x4000, sizeAligned: 0x4_0000, wide: 0x10_0000 } as const;
const prefetchableBit = 8;
const romIndex = 6;

/** Six BARs, the ROM, and six more for virtual functions; each its first and its last byte, and flags. */
function resourceLines({ bars, identity, places }: PciFunction): string {
  const lines = Array.from({ length: 13 }, () => resourceLine(0, 0, 0));
  for (const { index, size, ports, wide, flags } of bars) {
    const kind = ports ? flag.ports : flag.memory | (wide ? flag.wide : 0) | ((flags & prefetchableBit) === 0 ? 0 : flag.prefetch);
    lines[index] = resourceLine(places.get(index) ?? 0, size, kind | flag.sizeAligned | flags);
  }
  const { rom } = identity;
  if (rom !== undefined)
    lines[romIndex] = resourceLine(places.get('rom') ?? 0, rom.byteLength, flag.memory | flag.prefetch | flag.readOnly | flag.sizeAligned);
  return lines.join('');
}

function resourceLine(start: number, size: number, flags: number): string {
  return `${[start, size === 0 ? 0 : start + size - 1, flags].map((value) => `0x${value.toString(16).padStart(16, '0')}`).join(' ')}\n`;
}

function modalias({ identity }: PciFunction): string {
  const { vendor, device, subsystemVendor = 0, subsystemDevice = 0, classCode } = identity;
  const ids = `v${hex(vendor, 8)}d${hex(device, 8)}sv${hex(subsystemVendor, 8)}sd${hex(subsystemDevice, 8)}`;
  return `pci:${ids}bc${hex(classCode >> 16, 2)}sc${hex((classCode >> 8) & 0xff, 2)}i${hex(classCode & 0xff, 2)}`;
}

/** vfio-pci puts what nobody has open to sleep. Nothing is known of what nobody has woken yet and cannot be asked. */
function powerState({ pciFunction, driver, vfio }: PciSlot): string {
  if (pciFunction.powerManagementAt === undefined) return driver === undefined ? 'unknown' : 'D0';
  if (vfio?.isOpen === false) return 'D3hot';
  return ['D0', 'D1', 'D2', 'D3hot'][pciFunction.powerState] ?? 'unknown';
}

/**
 * The ways to reset the function alone, in the order in which they are tried. There is no file where there is none. Each was
 * tried out when the function was found: the first of a bus was alone on it then, and keeps the bus's reset among its ways.
 */
function resetEntries({ address, pciFunction, bus, physical }: PciSlot): Record<string, FileNode> {
  const { functionReset, expressAt, config } = pciFunction;
  const byExpress = expressAt !== undefined && (config.getUint32(expressAt + PCI_EXP_DEVCAP, true) & PCI_EXP_DEVCAP_FLR) !== 0;
  const own = { bit: byExpress ? 'flr' : 'af_flr', power: 'pm', none: undefined }[functionReset ?? 'none'];
  const methods = [own, bus?.every((other) => other.address >= address) === true && physical === undefined ? 'bus' : undefined].filter(
    (method) => method !== undefined,
  );
  return methods.length === 0 ? {} : { reset_method: line(() => methods.join(' ')) };
}

const speeds: Readonly<Record<number, string>> = { 1: '2.5', 2: '5.0', 3: '8.0', 4: '16.0', 5: '32.0', 6: '64.0' };

/** A part of the root complex has no link, which the kernel tells by these words and numbers. */
function linkEntries({ expressAt, config }: PciFunction): Record<string, FileNode> {
  if (expressAt === undefined) return {};
  const type = (config.getUint16(expressAt + PCI_EXP_FLAGS, true) & PCI_EXP_FLAGS_TYPE) >> 4;
  const integrated = type === PCI_EXP_TYPE_RC_END;
  const [most, now] = [config.getUint32(expressAt + PCI_EXP_LNKCAP, true), config.getUint16(expressAt + PCI_EXP_LNKSTA, true)];
  const speed = (register: number): string => {
    const known = integrated ? undefined : speeds[register & 0xf];
    return known === undefined ? 'Unknown' : `${known} GT/s PCIe`;
  };
  const width = (register: number, unknown: number): string => String(integrated ? unknown : (register >> 4) & 0x3f);
  return {
    max_link_speed: line(() => speed(most)),
    max_link_width: line(() => width(most, 255)),
    current_link_speed: line(() => speed(now)),
    current_link_width: line(() => width(now, 0)),
  };
}

/** Interrupts of each function begin where those of the one before could end. */
const firstMessage = 24;
const messagesEach = 2048;

function messageEntries(slot: PciSlot, slots: readonly PciSlot[]): Record<string, FileNode> {
  const messages = slot.vfio?.messages;
  if (messages === undefined) return {};
  const first = firstMessage + slots.indexOf(slot) * messagesEach;
  const names = Array.from({ length: messages.count }, (_, index) => String(first + index));
  return { msi_irqs: directory(() => Object.fromEntries(names.map((name) => [name, line(() => messages.kind)]))) };
}

function virtualEntries(slot: PciSlot, slots: readonly PciSlot[]): Record<string, FileNode> {
  const { physical, pciFunction } = slot;
  const { virtualFunctionsAt: at, config } = pciFunction;
  const virtual = slots.filter((other) => other.physical === slot);
  return {
    ...(physical !== undefined && { physfn: link(() => `../${physical.address}`) }),
    ...(at !== undefined && {
      sriov_totalvfs: line(() => String(config.getUint16(at + PCI_SRIOV_TOTAL_VF, true))),
      sriov_numvfs: line(() => String(virtual.length)),
    }),
    ...Object.fromEntries(virtual.map(({ address }, index) => [`virtfn${index}`, link(() => `../${address}`)])),
  };
}

/** Functions whose ROM was turned on by writing to its file. */
const shown = new WeakSet<PciFunction>();

function romEntries(pciFunction: PciFunction): Record<string, FileNode> {
  const { rom } = pciFunction.identity;
  if (rom === undefined) return {};
  const write = (written: string): number => {
    if (/^0\n?$/.test(written)) shown.delete(pciFunction);
    else shown.add(pciFunction);
    return 0;
  };
  return { rom: { kind: 'file', mode: 0o600, read: () => (shown.has(pciFunction) ? rom : -errno.EINVAL), write } };
}
