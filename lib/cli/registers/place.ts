import { hexValue } from '../hex.js';
import { isNumber } from '../values.js';
import { regionNames } from './region-names.js';
import { Misuse } from '../exit.js';

/** Bits of one access. */
export type Width = 8 | 16 | 32 | 64;

/** A part of a region, in bytes. */
export interface Span {
  readonly start: number;
  /** undefined: as far as the command goes by itself. */
  readonly size: number | undefined;
}

/** The index of a region that is given by name, or is a number. @throws Misuse */
export function parseRegion(text: string): number {
  const index = regionNames.indexOf(text.toLowerCase());
  if (index >= 0) return index;
  if (!/^\d+$/.test(text)) throw new Misuse(`Expected one of ${regionNames.join(', ')}, or a number, for REGION but received '${text}'`);
  return parseNumber('REGION', text);
}

/** A number that is not negative, decimal or hexadecimal. @throws Misuse that names `what` */
export function parseNumber(what: string, text: string): number {
  const value = Number(parseWide(what, text));
  if (!Number.isSafeInteger(value)) throw new Misuse(`Expected a number below 2^53 for ${what} but received '${text}'`);
  return value;
}

/** The same of up to 64 bits. */
export function parseWide(what: string, text: string): bigint {
  if (!isNumber(text)) throw new Misuse(`Expected a number like 64 or 0x40 for ${what} but received '${text}'`);
  return BigInt(text);
}

/** '0x10'; '0x10..0x40', up to 0x40 and without it; or '0x10+0x30', as many bytes from there. @throws Misuse */
export function parseSpan(text: string): Span {
  const [, first = text, sign, second] = /^(.*?)(\.\.|\+)(.*)$/.exec(text) ?? [];
  const start = parseNumber('OFFSET', first);
  if (second === undefined) return { start, size: undefined };
  const size = parseNumber('OFFSET', second) - (sign === '..' ? start : 0);
  if (size <= 0) throw new Misuse(`Expected a range that is not empty for OFFSET but received '${text}'`);
  return { start, size };
}

/** The span of so many accesses; each is at a multiple of its width. @throws Misuse */
export function checkAligned({ start, size = 0 }: Span, width: Width): void {
  const bytes = width / 8;
  for (const [what, value] of [['offset', start] as const, ['length', size] as const])
    if (value % bytes !== 0)
      throw new Misuse(`Expected a multiple of ${bytes} as ${what} of accesses of ${width} bits but received ${value}`);
}

/** Offsets in a region of that size, all as long as the longest. */
export function hexOffset(offset: number, size: number): string {
  return hexValue(offset, 4 * Math.max(2, (size - 1).toString(16).length));
}
