import { columns } from './columns.js';
import type { Context } from './context.js';
import { Misuse } from './exit.js';
import { hexValue } from './hex.js';
import { pause } from './pause.js';
import { cells, checkInside, checkWidth, describe, readRegister, registerNames } from './registers/access.js';
import { openRegion, type OpeningOptions, type OpenRegion } from './registers/open.js';
import { checkAligned, parseRegion, parseSpan, type Width } from './registers/place.js';
import { roundSeconds } from './seconds.js';

export interface ReadOptions extends OpeningOptions {
  readonly width: Width;
  readonly count?: number;
  /** Milliseconds between looks; true: as often as is usual. */
  readonly watch?: number | true;
  readonly for?: number;
  readonly sysfs?: true;
}

const usualInterval = 100;

export async function read(context: Context, options: ReadOptions, [address = '', regionText = '', place = '']: string[]): Promise<void> {
  const { width, count, watch, sysfs } = options;
  const index = parseRegion(regionText);
  const span = parseSpan(place);
  if (count !== undefined && span.size !== undefined) throw new Misuse('Expected a range or --count, but received both');
  if (count === 0) throw new Misuse('Expected at least 1 for --count but received 0');
  if (options.for !== undefined && watch === undefined)
    throw new Misuse('--for says how long --watch is to go on, and is nothing without it');
  checkAligned(span, width);
  checkWidth(width, index);
  const region = await openRegion(context, address, index, { ...options, sysfs: sysfs === true, write: false });
  try {
    const bytes = span.size ?? (count ?? 1) * (width / 8);
    checkInside(region, span.start, bytes);
    const offsets = Array.from({ length: bytes / (width / 8) }, (_, nth) => span.start + nth * (width / 8));
    if (watch === undefined) printAll(context, region, offsets, width);
    else await watchChanges(context, region, offsets, { width, interval: watch === true ? usualInterval : watch, seconds: options.for });
  } finally {
    region.close();
  }
}

function printAll(context: Context, region: OpenRegion, offsets: readonly number[], width: Width): void {
  const name = registerNames(region);
  const values = offsets.map((offset) => ({ offset, value: readRegister(region.mmio, offset, width), name: name(offset, width) }));
  const { paint } = context;
  context.result(
    {
      ...describe(region),
      width,
      values: values.map(({ offset, value, name }) => ({ offset, value: hexValue(value, width), ...(name !== '' && { name }) })),
    },
    () =>
      columns(
        values.map((each) => {
          const [offset, value] = cells(region, each.offset, width, each.value);
          return [paint('faint', offset), value, paint('name', each.name)];
        }),
      ),
  );
}

/** Prints all of them, and then each that changes: for programs, a line of JSON for each. */
async function watchChanges(
  context: Context,
  region: OpenRegion,
  offsets: readonly number[],
  { width, interval, seconds = Infinity }: { readonly width: Width; readonly interval: number; readonly seconds: number | undefined },
): Promise<void> {
  const name = registerNames(region);
  const started = performance.now();
  const before = new Map<number, bigint>();
  const elapsed = (): number => (performance.now() - started) / 1000;
  for (;;) {
    for (const offset of offsets) {
      const value = readRegister(region.mmio, offset, width);
      const was = before.get(offset);
      if (value === was) continue;
      before.set(offset, value);
      printChange(context, region, { offset, width, value, was, name: name(offset, width), seconds: elapsed() });
    }
    const left = seconds * 1000 - (performance.now() - started);
    if (left <= 0 || context.signal.aborted) return;
    await pause(Math.min(interval, left), context.signal);
    if (context.signal.aborted) return;
  }
}

interface Change {
  readonly offset: number;
  readonly width: Width;
  readonly value: bigint;
  readonly was: bigint | undefined;
  readonly name: string;
  readonly seconds: number;
}

function printChange(context: Context, region: OpenRegion, { offset, width, value, was, name, seconds }: Change): void {
  const { paint } = context;
  const [at, now] = cells(region, offset, width, value);
  const change = was === undefined ? now : `${hexValue(was, width)} -> ${paint('strong', now)}`;
  const cellsOfLine = [paint('faint', `${seconds.toFixed(3).padStart(9)} s`), paint('faint', at), change, paint('name', name)];
  const before = was !== undefined && { before: hexValue(was, width) };
  context.line({ seconds: roundSeconds(seconds), offset, ...before, value: hexValue(value, width) }, () =>
    cellsOfLine.join('  ').trimEnd(),
  );
}
