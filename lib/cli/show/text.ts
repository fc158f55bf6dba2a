import { PCI_ROM_ADDRESS_ENABLE } from '../../abi/pci.js';
import type { GroupMate } from '../../pci/group-reasons.js';
import type { PciResource } from '../../pci/resources.js';
import { classWords, deviceWords, readinessWords } from '../list/words.js';
import type { Paint } from '../paint.js';
import type { PciNames } from '../pci-names.js';
import { hex, idsText } from '../hex.js';
import { answers, configText } from './config-text.js';
import type { Facts } from './facts.js';
import { sizeText } from './header-text.js';
import type { Rom } from './rom.js';

/** All that sysfs says of a device, in lines: where lspci has such a line, as its readers know it. */
export function factsText(facts: Facts, names: PciNames, paint: Paint): string[] {
  const { readiness, driver, override, modules, numaNode, place, group, powerState, resetMethods, physicalFunction } = facts;
  const line = (label: string, words: string | undefined): string[] => (words === undefined ? [] : [`  ${label}: ${words}`]);
  return [
    `${paint('name', facts.address)} ${identityWords(facts, names)}`,
    ...line('Subsystem', subsystemWords(facts, names)),
    ...line('VFIO', readinessWords(facts, readiness, paint)),
    ...line('Kernel driver in use', driver),
    ...line('Driver override', override),
    ...line('Kernel modules', modules.length === 0 ? undefined : modules.join(', ')),
    ...line('NUMA node', numaNode?.toString()),
    ...line('Place', place.length < 2 ? undefined : place.join(' / ')),
    ...line('IOMMU group', group?.toString()),
    ...facts.groupMates.map((mate) => `    with ${mateWords(mate)}`),
    ...line('Physical function', physicalFunction),
    ...virtualWords(facts),
    ...line('Power state', powerState),
    ...line('Reset methods', facts.config.header.headerType === 1 ? undefined : resetMethods.join(', ') || 'none'),
    ...line('Link', linkWords(facts)),
    ...interruptWords(facts),
    ...facts.resources.filter(({ name }) => /^\d$/.test(name)).map((bar) => `  Region ${bar.name}: ${regionWords(bar, facts)}`),
    ...romWords(facts),
    ...configText(facts.config).map((text) => text.replace(/^\t/, '  ').replaceAll('\t', '  ')),
  ];
}

function identityWords({ classCode, vendor, device, revision }: Facts, names: PciNames): string {
  const named = { class: names.className(classCode), vendor: names.vendor(vendor), device: names.device(vendor, device) };
  const interfaceName = names.interfaceName(classCode);
  const code = classCode & 0xff;
  const additions = [
    ...(revision === 0 ? [] : [`(rev ${hex(revision, 2)})`]),
    ...(code === 0 && interfaceName === undefined
      ? []
      : [`(prog-if ${hex(code, 2)}${interfaceName === undefined ? '' : ` [${interfaceName}]`})`]),
  ];
  return [
    `${named.class === undefined ? 'Class' : classWords({ classCode, names: named })} [${hex(classCode >> 8, 4)}]: ${deviceWords({ vendor, device, names: named })}`,
    ...additions,
  ].join(' ');
}

function subsystemWords({ vendor, device, subsystemVendor, subsystemDevice }: Facts, names: PciNames): string | undefined {
  if (subsystemVendor === 0 || subsystemVendor === 0xffff) return undefined;
  return deviceWords({
    vendor: subsystemVendor,
    device: subsystemDevice,
    names: {
      vendor: names.vendor(subsystemVendor),
      device: names.subsystem(vendor, device, subsystemVendor, subsystemDevice),
    },
  });
}

function mateWords({ name, driver, reason, by }: GroupMate): string {
  const why = {
    bridge: `behind ${by}, a bridge to a bus on which the IOMMU takes all devices for one`,
    functions: `a function of the same device, and ${by} lacks the access control (ACS) that would keep them apart`,
    port: `port ${by} lacks the access control (ACS) that would keep them apart`,
    unseen: 'why, root can see: the capabilities that say so are not shown to others',
    unknown: 'why, the kernel does not show: firmware, or its list of exceptions',
  }[reason];
  return `${name} (${driver ?? 'no driver'}): ${why}`;
}

function virtualWords({ virtualFunctions }: Facts): string[] {
  if (virtualFunctions === undefined) return [];
  const { count, most, addresses } = virtualFunctions;
  return [`  Virtual functions: ${count} of ${most}${addresses.length === 0 ? '' : `: ${addresses.join(', ')}`}`];
}

function linkWords({ link }: Facts): string | undefined {
  if (link === undefined) return undefined;
  const { speed, width, maximumSpeed, maximumWidth } = link;
  return `${speed} x${width}, of ${maximumSpeed} x${maximumWidth}`;
}

function interruptWords({ irq, messageInterrupts, config }: Facts): string[] {
  // What is asleep or gone reads as ones, and has no pin.
  const pin = answers(config) ? config.header.interruptPin : 0;
  const kinds = [...new Set(messageInterrupts.map(({ kind }) => kind))];
  return [
    ...(pin === 0 && irq === 0 ? [] : [`  Interrupt: pin ${pin === 0 ? '?' : String.fromCharCode(64 + pin)} routed to IRQ ${irq}`]),
    ...kinds.map((kind) => {
      const numbers = messageInterrupts.filter((each) => each.kind === kind).map((each) => each.irq);
      return `  ${kind === 'msix' ? 'MSI-X' : 'MSI'} in use: IRQ ${numbers.join(', ')}`;
    }),
  ];
}

function regionWords({ kind, start, size, wide, prefetchable, name }: PciResource, { config }: Pick<Facts, 'config'>): string {
  const { ioSpace, memorySpace } = config.header.command;
  const place = start === 0n ? '<unassigned>' : hex(start, kind === 'ports' ? 4 : 8);
  const virtual = config.header.bars[Number(name)] === 0 && start !== 0n;
  const off = (kind === 'ports' ? ioSpace : memorySpace) || virtual ? '' : ' [disabled]';
  const words =
    kind === 'ports' ? `I/O ports at ${place}` : `Memory at ${place} (${wide ? 64 : 32}-bit, ${prefetchable ? '' : 'non-'}prefetchable)`;
  return `${words}${virtual ? ' [virtual]' : ''}${off} [size=${sizeText(size)}]`;
}

function romWords({ resources, rom, config }: Facts): string[] {
  const found = resources.find(({ name, size }) => name === 'rom' && size > 0n);
  if (found === undefined) return [];
  const { start, size } = found;
  const off = ((config.header.rom ?? 0) & PCI_ROM_ADDRESS_ENABLE) !== 0 && config.header.command.memorySpace ? '' : ' [disabled]';
  return [
    `  Expansion ROM at ${start === 0n ? '<unassigned>' : hex(start, 8)}${off} [size=${sizeText(size)}]`,
    ...imageWords(rom).map((words) => `    ${words}`),
  ];
}

function imageWords(rom: Rom | undefined): string[] {
  return (rom?.images ?? []).map(
    ({ kind, size, vendor, device }) => `image for ${kind} of ${sizeText(BigInt(size))}, for [${idsText({ vendor, device })}]`,
  );
}
