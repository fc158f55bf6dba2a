import type { Capability, ConfigSpace } from '../../pci/index.js';
import { headerText } from './header-text.js';
import { hex } from './signs.js';

export { headerText };

/** What configuration space says, in lines: those of its header and of its capabilities. */
export function configText(config: ConfigSpace): string[] {
  return [...headerText(config), ...capabilityText(config)];
}

/** The lines of the capabilities, and of what is wrong. */
export function capabilityText({ size, header, capabilities, extendedCapabilities, problems }: ConfigSpace): string[] {
  return [
    ...(size === 64 && header.status.capabilitiesList ? ['\tCapabilities: <access denied>'] : []),
    ...capabilities.flatMap((capability) => textOf(capability, hex(capability.offset, 2))),
    ...extendedCapabilities.flatMap((capability) => textOf(capability, `${hex(capability.offset, 3)} v${capability.version}`)),
    ...problems.map((problem) => `\t!!! ${problem}`),
  ];
}

function textOf(capability: Capability, place: string): string[] {
  return [`\tCapabilities: [${place}] ${capability.name}`];
}
