/** How lines of configuration space are put: as lspci's readers know them. */
import type { Capability, ConfigSpace } from '../../pci/index.js';
import type { Declaration } from '../../pci/config-space/declaration.js';

/** 'Enable+' or 'Enable-'. */
export function sign(name: string, set: boolean): string {
  return `${name}${set ? '+' : '-'}`;
}

/** Several in a row: `{ 'I/O': true, Mem: false }` is 'I/O+ Mem-'. */
export function signs(named: Readonly<Record<string, boolean>>): string {
  return Object.entries(named)
    .map(([name, set]) => sign(name, set))
    .join(' ');
}

/** How the lines of a kind of capability are made of its registers: what follows its place, and the lines below. */
export interface CapabilityText {
  readonly declaration: Declaration;
  readonly lines: (registers: never, capability: Capability, config: ConfigSpace) => readonly string[];
}

export function text<T extends Readonly<Record<string, unknown>>>(
  declaration: Declaration<T>,
  lines: (registers: T, capability: Capability, config: ConfigSpace) => readonly string[],
): CapabilityText {
  return { declaration: declaration as Declaration, lines };
}

/** Lines that are there in some cases only. */
export function linesIf<T>(value: T | undefined, lines: (value: T) => readonly string[]): readonly string[] {
  return value === undefined ? [] : lines(value);
}
