import { closeSync, fstatSync, openSync, rmSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { RegisterValues } from '../kernel/kernel.js';
import type { Context } from './context.js';
import { Misuse } from './exit.js';
import { hexDump } from './hex-dump.js';
import { showProgress } from './progress.js';
import { checkInside, checkWidth, describe } from './registers/access.js';
import { openRegion, type OpeningOptions, type OpenRegion } from './registers/open.js';
import { checkAligned, parseNumber, parseRegion, parseSpan, type Width } from './registers/place.js';

export interface DumpOptions extends OpeningOptions {
  readonly width: Width;
  readonly out?: string;
  readonly sysfs?: true;
}

/** Bytes between two looks whether to go on. */
const chunkSize = 64 << 10;

export async function dump(
  context: Context,
  options: DumpOptions,
  [address = '', regionText = '', place = '0', length]: string[],
): Promise<void> {
  const { width, out } = options;
  const index = parseRegion(regionText);
  const wanted = parseSpan(place);
  if (length !== undefined && wanted.size !== undefined) throw new Misuse('Expected a range or LENGTH, but received both');
  const size = length === undefined ? wanted.size : parseNumber('LENGTH', length);
  if (size === 0) throw new Misuse('Expected at least 1 for LENGTH but received 0');
  checkAligned({ start: wanted.start, size }, width);
  checkWidth(width, index);
  const region = await openRegion(context, address, index, { ...options, sysfs: options.sysfs === true, write: false });
  try {
    const bytes = size ?? Math.floor((region.size - wanted.start) / (width / 8)) * (width / 8);
    checkInside(region, wanted.start, Math.max(bytes, width / 8));
    if (out === undefined) await print(context, region, { start: wanted.start, bytes, width });
    else await save(context, region, out, { start: wanted.start, bytes, width });
  } finally {
    region.close();
  }
}

interface Part {
  readonly start: number;
  readonly bytes: number;
  readonly width: Width;
}

async function print(context: Context, region: OpenRegion, part: Part): Promise<void> {
  const content = new Uint8Array(part.bytes);
  let length = 0;
  for await (const chunk of chunks(context, region, part)) {
    content.set(chunk, length);
    length += chunk.byteLength;
  }
  const read = content.subarray(0, length);
  context.result({ ...describe(region), offset: part.start, length, bytes: Buffer.from(read).toString('hex') }, () =>
    hexDump(read, part.start, region.size),
  );
}

/** Into a file, which is gone again if not all of it came. */
async function save(context: Context, region: OpenRegion, file: string, part: Part): Promise<void> {
  const fd = openSync(file, 'w');
  const progress = await showProgress(context.terminal, `${region.name} of ${region.address}`, part.bytes);
  let length = 0;
  try {
    for await (const chunk of chunks(context, region, part)) {
      for (let written = 0; written < chunk.byteLength; ) written += writeSync(fd, chunk, written);
      length += chunk.byteLength;
      progress.update(length);
    }
  } finally {
    progress.stop();
    if (length < part.bytes && fstatSync(fd).isFile()) rmSync(file);
    closeSync(fd);
  }
  if (length < part.bytes) throw new Error(`stopped after ${length} of ${part.bytes} bytes; ${file} is removed`);
  context.result({ ...describe(region), offset: part.start, length, file }, () => `${length} bytes of ${region.name} are in ${file}`);
}

/** The registers in ascending order, one access each, until they end or the signal does. */
async function* chunks({ signal }: Context, { mmio }: OpenRegion, { start, bytes, width }: Part): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < bytes && !signal.aborted; done += chunkSize) {
    const memory = new ArrayBuffer(Math.min(chunkSize, bytes - done));
    mmio.readRange(start + done, elements(memory, width));
    yield new Uint8Array(memory);
    await turn();
  }
}

function elements(memory: ArrayBuffer, width: Width): RegisterValues {
  if (width === 64) return new BigUint64Array(memory);
  if (width === 32) return new Uint32Array(memory);
  return width === 16 ? new Uint16Array(memory) : new Uint8Array(memory);
}
