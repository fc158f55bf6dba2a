/** For commander: what texts of a command line stand for. */
import { InvalidArgumentError } from 'commander';
import { parseAddress } from '../pci/address.js';
import { messageOf } from './message.js';

/** A PCI address in full. */
export function address(text: string): string {
  return misuseOf(() => parseAddress(text));
}

/** The same for several. */
export function addresses(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, address(text)];
}

/** A number that is not negative, decimal or hexadecimal. */
export function number(text: string): number {
  const value = isNumber(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError(`Expected a number like 4096 or 0x1000 but received '${text}'.`);
  return value;
}

/** How long, in fractions too. */
export function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError(`Expected a number of seconds above 0 but received '${text}'.`);
  return value;
}

/** It is one, of any size: '4096' or '0x1000'. */
export function isNumber(text: string): boolean {
  return /^(0x[0-9a-f]+|\d+)$/i.test(text);
}

function misuseOf<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}
