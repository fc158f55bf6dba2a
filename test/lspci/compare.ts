/** Holds what is said of configuration space to what lspci says, field by field. */
import { configText } from '../../lib/cli/show/config-text.js';
import { decodeConfigSpace } from '../../lib/pci/index.js';
import { parseLspci, type LspciCapability, type LspciDevice } from './parse.js';

/** A field that two say otherwise. */
export interface Difference {
  /** 'header', or '54 Express (v2) Root Port'. */
  readonly section: string;
  /** '3: LnkSta: Width' */
  readonly field: string;
  readonly lspci: string | undefined;
  readonly ours: string | undefined;
}

/** Lines for which configuration space is not enough; and what bridges pass on, which lspci asks the kernel for. */
const elsewhere = /^(Subsystem|Physical Slot|DeviceName|Interrupt|NUMA node|IOMMU group|Region \d|Expansion ROM|Flags|\[virtual\])/;

/**
 * Where `bytes` and the words of lspci for the same device differ. A line of ours that lspci has not is none of them, where
 * lspci leaves a whole line out.
 */
export function differences(bytes: Uint8Array, output: string): Difference[] {
  const [theirs] = parseLspci(output);
  if (theirs === undefined) throw new Error(`lspci said nothing of a device: ${output}`);
  const [ours] = parseLspci(`${theirs.address} of ours\n${configText(decodeConfigSpace(bytes)).join('\n')}`);
  return compareDevices(theirs, ours!);
}

/** How many fields of lspci there are in a device's words. */
export function countFields(output: string): number {
  return parseLspci(output)
    .flatMap((device) => [...headerLines(device), ...device.capabilities.flatMap(({ title, lines }) => [title, ...lines])])
    .reduce((sum, line) => sum + fields(line).length, 0);
}

function headerLines({ header }: LspciDevice): string[] {
  return header.filter((line) => !elsewhere.test(line)).map(plainWindow);
}

/** Where sysfs tells lspci what a bridge passes on, the kernel's word of how wide addresses are is not that of the registers. */
function plainWindow(line: string): string {
  const [, label, base = '', last = '', size] = /^(.* behind bridge: )([\da-f]+)-([\da-f]+) (\[.*?\])/.exec(line) ?? [];
  return label === undefined ? line : `${label}${BigInt(`0x${base}`).toString(16)}-${BigInt(`0x${last}`).toString(16)} ${size}`;
}

function compareDevices(theirs: LspciDevice, ours: LspciDevice): Difference[] {
  const found = compareLines('header', headerLines(theirs), headerLines(ours));
  const places = new Set([...theirs.capabilities, ...ours.capabilities].map(({ place }) => place));
  for (const place of places) {
    const their = theirs.capabilities.find((each) => each.place === place);
    const our = ours.capabilities.find((each) => each.place === place);
    const section = `${place} ${(their ?? our)!.title}`;
    if (their === undefined || our === undefined) found.push({ section, field: 'capability', lspci: their?.title, ours: our?.title });
    else
      found.push(
        ...compareLines(section, [unnamed(their.title), ...linesOf(their)], [our.title, ...printed(our.title, our.lines, theirs.address)]),
      );
  }
  const order = (device: LspciDevice): string => device.capabilities.map(({ place }) => place).join(' ');
  if (order(theirs) !== order(ours)) found.push({ section: 'capabilities', field: 'order', lspci: order(theirs), ours: order(ours) });
  return found;
}

/** Of endpoints that are not the first function of their bus, lspci leaves two of the link's registers out. */
function printed(title: string, lines: readonly string[], address: string): readonly string[] {
  if (!/^Express .* (Legacy )?Endpoint,/.test(title) || /Integrated/.test(title) || address.endsWith(':00.0')) return lines;
  const first = lines.findIndex((line) => /^LnkC(ap|tl)2:/.test(line));
  return first < 0 ? lines : [...lines.slice(0, first), ...lines.slice(lines.findIndex((line) => line.startsWith('LnkSta2:')))];
}

/** Lines below a capability. What is in a device's vital product data lspci reads otherwise; and one of its lines has no end. */
function linesOf({ title, lines }: LspciCapability): string[] {
  return title === 'Vital Product Data' ? [] : lines.flatMap((line) => line.split(/\t\t(?=McastCtl)/));
}

/** Names of devices are not in configuration space. */
function unnamed(title: string): string {
  return title.replace(/^(Subsystem: ).*(\[[\da-f]{4}:[\da-f]{4}\])$/, '$1$2');
}

function compareLines(section: string, theirs: readonly string[], ours: readonly string[]): Difference[] {
  const found: Difference[] = [];
  for (let index = 0; index < Math.max(theirs.length, ours.length); index += 1) {
    const [their = '', our = ''] = [theirs[index], ours[index]];
    const [theirFields, ourFields] = [fields(their), fields(our)];
    for (let place = 0; place < Math.max(theirFields.length, ourFields.length); place += 1) {
      const [lspci, mine] = [theirFields[place], ourFields[place]];
      if (lspci !== mine) found.push({ section, field: `${index}: ${label(their || our)}`, lspci, ours: mine });
    }
  }
  return found;
}

const label = (line: string): string => line.trim().split(/[\t:]/)[0] ?? '';

/** 'LnkCap:	Port #0, Speed 2.5GT/s' are 'LnkCap:', 'Port #0', 'Speed 2.5GT/s'; of signs, each is one. */
function fields(line: string): string[] {
  return line.trim().split(/\t|, | (?=\S*[+-](?: |$|,))|(?<=[+-]) |(?<=:) /);
}
