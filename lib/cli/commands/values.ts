import { InvalidArgumentError, Option } from 'commander';
import type { Width } from '../registers/place.js';

/** For commander: how long, in fractions too. */
export function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError(`Expected a number of seconds above 0 but received '${text}'.`);
  return value;
}

/** Bits of one access: `--width`, 32 by default. */
export function widthOption(): Option {
  const option = new Option('--width <bits>', 'bits of each access: it is one access of exactly this width').choices([
    '8',
    '16',
    '32',
    '64',
  ]);
  const { parseArg } = option;
  return option.default(32).argParser((text) => Number(parseArg?.(text, undefined)) as Width);
}
