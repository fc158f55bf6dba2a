import type { Capability, ConfigSpace } from '../../pci/index.js';
import { hex } from '../hex.js';
import { headerText } from './header-text.js';
import { extendedTexts } from './extended-text.js';
import type { CapabilityText } from './signs.js';
import { standardTexts } from './standard-text.js';

/** What configuration space says, in lines: those of its header and of its capabilities. */
export function configText(config: ConfigSpace): string[] {
  if (!answers(config)) return [`\t!!! Unknown header type ${hex(config.header.headerType, 2)}`];
  return [...headerText(config), ...capabilityText(config)];
}

/** Whether it is that of a device. One that is asleep or gone reads as ones, and its kind of header is one that there is not. */
export function answers({ header }: ConfigSpace): boolean {
  return header.headerType <= 2;
}

/** The lines of the capabilities, and of what is wrong. */
function capabilityText(config: ConfigSpace): string[] {
  const { size, header, capabilities, extendedCapabilities, problems } = config;
  const lines = (known: ReadonlyMap<number, CapabilityText>, capability: Capability, digits: number): string[] => {
    const version = capability.version === undefined ? '' : ` v${capability.version}`;
    const [title = '', ...rest] = titled(known.get(capability.id), capability, config);
    return [`\tCapabilities: [${hex(capability.offset, digits)}${version}] ${title}`, ...rest.map((line) => `\t\t${line}`)];
  };
  return [
    ...(size === 64 && header.status.capabilitiesList ? ['\tCapabilities: <access denied>'] : []),
    ...capabilities.flatMap((capability) => lines(standard, capability, 2)),
    ...extendedCapabilities.flatMap((capability) => lines(extended, capability, 3)),
    ...problems.map((problem) => `\t!!! ${problem}`),
  ];
}

const byId = (texts: readonly CapabilityText[]): ReadonlyMap<number, CapabilityText> =>
  new Map(texts.map((each) => [each.declaration.id, each]));
const standard = byId(standardTexts);
const extended = byId(extendedTexts);

/** Whole as they are: nothing is behind the name. */
const complete = ['Null', 'Hot-plug capable'];

function titled(known: CapabilityText | undefined, capability: Capability, config: ConfigSpace): readonly string[] {
  if (known !== undefined) return known.lines(capability.registers as never, capability, config);
  const { id, name, version, registers } = capability;
  if (name === 'Unknown')
    return [
      version === undefined
        ? `Capability ID 0x${hex(id, 2)} [${hex(Number(registers['flags']), 4)}]`
        : `Extended Capability ID 0x${hex(id, 2)}`,
    ];
  return [complete.includes(name) ? name : `${name} <?>`];
}
