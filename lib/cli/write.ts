import { columns } from './columns.js';
import type { Context } from './context.js';
import { failed, Misuse, ok } from './exit.js';
import { hexValue } from './hex.js';
import { cells, checkInside, checkWidth, describe, readRegister, writeRegister } from './registers/access.js';
import { openRegion, type OpeningOptions, type OpenRegion } from './registers/open.js';
import { checkAligned, parseNumber, parseRegion, parseWide, type Width } from './registers/place.js';

export interface WriteOptions extends OpeningOptions {
  readonly width: Width;
  readonly mask?: string;
  readonly verify?: true;
  readonly sysfs?: true;
}

/** What became of one register. */
interface Written {
  readonly offset: number;
  readonly before: bigint | undefined;
  readonly value: bigint;
  /** What it reads as afterwards. */
  readonly after: bigint | undefined;
}

export async function write(context: Context, options: WriteOptions, [address = '', ...words]: string[]): Promise<number> {
  const [regionText = '', place = '', ...texts] = words;
  const { width } = options;
  const index = parseRegion(regionText);
  const start = parseNumber('OFFSET', place);
  const mask = options.mask === undefined ? undefined : checkedValue('--mask', options.mask, width);
  const values = texts.map((text) => checkedValue('VALUE', text, width));
  const outside = mask === undefined ? undefined : values.find((value) => (value & ~mask) !== 0n);
  if (outside !== undefined) throw new Misuse(`Expected no bits of VALUE outside the mask but received ${hexValue(outside, width)}`);
  checkAligned({ start, size: undefined }, width);
  checkWidth(width, index);
  const region = await openRegion(context, address, index, { ...options, sysfs: options.sysfs === true, write: true });
  try {
    checkInside(region, start, (values.length * width) / 8);
    const written = values.map((value, nth) => writeOne(region, start + (nth * width) / 8, width, { value, mask, verify: options.verify }));
    const wrong = written.filter(({ value, after }) => after !== undefined && ((after ^ value) & (mask ?? ~0n)) !== 0n);
    print(context, region, written, width);
    for (const { offset, value, after = 0n } of wrong) {
      const [at] = cells(region, offset, width, value);
      context.terminal.note(
        `vfio: ${at} of ${region.name} was written as ${hexValue(value, width)} and reads as ${hexValue(after, width)}\n`,
      );
    }
    return wrong.length > 0 ? failed : ok;
  } finally {
    region.close();
  }
}

function writeOne(
  { mmio }: OpenRegion,
  offset: number,
  width: Width,
  { value, mask, verify = false }: { readonly value: bigint; readonly mask: bigint | undefined; readonly verify: boolean | undefined },
): Written {
  const before = mask === undefined ? undefined : readRegister(mmio, offset, width);
  const whole = before === undefined || mask === undefined ? value : (before & ~mask) | value;
  writeRegister(mmio, offset, width, whole);
  return { offset, before, value: whole, after: verify ? readRegister(mmio, offset, width) : undefined };
}

function print(context: Context, region: OpenRegion, written: readonly Written[], width: Width): void {
  const optional = (name: string, value: bigint | undefined): object => (value === undefined ? {} : { [name]: hexValue(value, width) });
  context.result(
    {
      ...describe(region),
      width,
      written: written.map(({ offset, before, value, after }) => ({
        offset,
        ...optional('before', before),
        value: hexValue(value, width),
        ...optional('after', after),
      })),
    },
    () =>
      columns(
        written.map(({ offset, before, value }) => {
          const [at, now] = cells(region, offset, width, value);
          return [context.paint('faint', at), before === undefined ? now : `${hexValue(before, width)} -> ${now}`];
        }),
      ),
  );
}

/** @throws Misuse for what does not fit into the width */
function checkedValue(what: string, text: string, width: Width): bigint {
  const value = parseWide(what, text);
  if (value >> BigInt(width) !== 0n) throw new Misuse(`Expected ${what} to fit into ${width} bits but received '${text}'`);
  return value;
}
