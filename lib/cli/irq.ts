import type { Device } from '../vfio/device.js';
import type { Interrupt } from '../vfio/interrupt.js';
import type { InterruptName, Interrupts } from '../vfio/interrupts.js';
import { columns } from './columns.js';
import type { Context } from './context.js';
import { failed, Misuse, ok } from './exit.js';
import { openVfio, type OpeningOptions } from './registers/open.js';
import { checkAligned, parseNumber, parseRegion, parseWide } from './registers/place.js';
import { roundSeconds } from './seconds.js';

export interface InterruptOptions extends OpeningOptions {
  readonly kind?: InterruptName;
  readonly vector?: readonly number[];
  readonly for?: number;
  readonly count?: number;
  readonly loopback?: true;
  readonly write?: readonly string[];
}

interface RegisterWrite {
  readonly region: number;
  readonly offset: number;
  readonly value: number;
}

/** What one vector had, in seconds since the interrupts were enabled. */
interface Tally {
  readonly vector: number;
  count: number;
  first: number | undefined;
  last: number | undefined;
}

/** How long a vector that the kernel signals may take to come. */
const loopbackMilliseconds = 1000;

export async function irq(context: Context, options: InterruptOptions, [address = '']: string[]): Promise<number> {
  const writes = parseWrites(options.write ?? []);
  if (options.count === 0) throw new Misuse('Expected at least 1 for --count but received 0');
  if (options.loopback === true && (options.count ?? options.for ?? options.write) !== undefined)
    throw new Misuse('--loopback ends by itself and needs no device: it goes with neither --count nor --for nor --write');
  using opened = openVfio(await context.kernel(), address, options);
  const { device } = opened;
  const kind = options.kind ?? usualKind(device);
  const interrupts = device.interrupt(kind);
  const vectors = wantedVectors(device, kind, interrupts, options.vector);
  const enabled = interrupts.enable(Math.max(...vectors) + 1);
  const chosen = vectors.flatMap((vector) => (enabled[vector] === undefined ? [] : [{ vector, interrupt: enabled[vector] }]));
  if (options.loopback === true) return await loopback(context, { device, kind, interrupts }, chosen);
  context.terminal.note(
    `vfio: ${kind} of ${device.address}, ${namesOf(vectors)}; waiting${options.for === undefined && options.count === undefined ? ' until Ctrl-C' : ''}\n`,
  );
  const tallies = await count(context, chosen, options, () => {
    if (writes.length > 0 && (kind === 'msi' || kind === 'msix')) device.enableBusMaster();
    for (const { region, offset, value } of writes) device.region(region).mmio.write32(offset, value);
  });
  summarize(context, { device, kind }, tallies);
  return options.count !== undefined && total(tallies) < options.count ? failed : ok;
}

/** @throws Misuse */
function parseWrites(words: readonly string[]): RegisterWrite[] {
  if (words.length % 3 !== 0) throw new Misuse(`Expected REGION OFFSET VALUE for --write but received ${words.length} words`);
  return Array.from({ length: words.length / 3 }, (_, index) => {
    const [region = '', place = '', text = ''] = words.slice(3 * index);
    const offset = parseNumber('OFFSET', place);
    const value = parseWide('VALUE', text);
    checkAligned({ start: offset, size: undefined }, 32);
    if (value >> 32n !== 0n) throw new Misuse(`Expected VALUE to fit into 32 bits but received '${text}'`);
    return { region: parseRegion(region), offset, value: Number(value) };
  });
}

function usualKind(device: Device): InterruptName {
  const kind = (['msix', 'msi', 'intx'] as const).find((name) => device.interrupt(name).info.count > 0);
  if (kind === undefined) throw new Error(`${device.address} has no interrupts but err and req`);
  return kind;
}

function wantedVectors(device: Device, kind: InterruptName, { info }: Interrupts, wanted?: readonly number[]): readonly number[] {
  if (info.count === 0) throw new Error(`${device.address} has no ${kind}`);
  const outside = wanted?.find((vector) => vector >= info.count);
  if (outside !== undefined)
    throw new Misuse(`Expected a vector below ${info.count}, as ${device.address} has of ${kind}, for --vector but received ${outside}`);
  return wanted === undefined ? Array.from({ length: info.count }, (_, vector) => vector) : [...new Set(wanted)].sort((a, b) => a - b);
}

function namesOf(vectors: readonly number[]): string {
  const [first = 0, ...others] = vectors;
  if (others.length === 0) return `vector ${first}`;
  return others.length + first === vectors.at(-1) ? `vectors ${first} to ${vectors.at(-1)}` : `vectors ${vectors.join(', ')}`;
}

/** Prints and counts what comes once `begin` has been called, until there is enough of it, time is up, or the signal. */
function count(
  context: Context,
  chosen: readonly { readonly vector: number; readonly interrupt: Interrupt }[],
  { count: most = Infinity, for: seconds }: InterruptOptions,
  begin: () => void,
): Promise<Tally[]> {
  const { signal } = context;
  const tallies = chosen.map(({ vector }): Tally => ({ vector, count: 0, first: undefined, last: undefined }));
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const end = (act: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      for (const { interrupt } of chosen) interrupt.unref();
      act();
    };
    const finish = (): void => end(() => resolve(tallies));
    const timer = seconds === undefined ? undefined : setTimeout(finish, seconds * 1000);
    signal.addEventListener('abort', finish);
    chosen.forEach(({ interrupt }, index) => {
      const tally = tallies[index];
      if (tally === undefined) return;
      interrupt.ref().on('signal', (came) => {
        if (total(tallies) >= most) return;
        const at = (performance.now() - started) / 1000;
        printOne(context, tally, came, at);
        tally.count += came;
        tally.first ??= at;
        tally.last = at;
        if (total(tallies) >= most) finish();
      });
    });
    if (signal.aborted) return finish();
    try {
      begin();
    } catch (error) {
      end(() => reject(error instanceof Error ? error : new Error(String(error))));
    }
  });
}

function printOne(context: Context, { vector, last }: Tally, came: number, at: number): void {
  const since = last === undefined ? undefined : at - last;
  const { paint } = context;
  const several = came > 1 ? `  ${came} at once` : '';
  const before = since === undefined ? '' : `  ${paint('faint', `+${since.toFixed(6)} s`)}`;
  context.line(
    { vector, count: came, seconds: roundSeconds(at), ...(since !== undefined && { since: roundSeconds(since) }) },
    () => `${paint('faint', `${at.toFixed(6).padStart(12)} s`)}  vector ${vector}${several}${before}`,
  );
}

function summarize(
  context: Context,
  { device, kind }: { readonly device: Device; readonly kind: InterruptName },
  tallies: readonly Tally[],
): void {
  const all = tallies.map(({ vector, count, first, last }) => ({
    vector,
    count,
    ...(first !== undefined && last !== undefined && count > 1 && last > first && { perSecond: Math.round((count - 1) / (last - first)) }),
  }));
  const rows = all.map(({ vector, count, perSecond }) => [
    `vector ${vector}`,
    `${count} ${count === 1 ? 'interrupt' : 'interrupts'}`,
    perSecond === undefined ? '' : `${perSecond} per second`,
  ]);
  context.line({ address: device.address, kind, vectors: all }, () => columns(rows));
}

/** Has the kernel signal one vector after the other. */
async function loopback(
  context: Context,
  { device, kind, interrupts }: { readonly device: Device; readonly kind: InterruptName; readonly interrupts: Interrupts },
  chosen: readonly { readonly vector: number; readonly interrupt: Interrupt }[],
): Promise<number> {
  const results: { vector: number; microseconds: number | undefined }[] = [];
  for (const { vector, interrupt } of chosen) {
    if (context.signal.aborted) break;
    const started = performance.now();
    const comes = interrupt.wait({ timeoutMilliseconds: loopbackMilliseconds, signal: context.signal });
    interrupts.trigger(vector);
    results.push({ vector, microseconds: (await came(comes, context.signal)) ? (performance.now() - started) * 1000 : undefined });
  }
  context.result(
    {
      address: device.address,
      kind,
      vectors: results.map(({ vector, microseconds }) => ({
        vector,
        came: microseconds !== undefined,
        ...(microseconds !== undefined && { microseconds: Math.round(microseconds) }),
      })),
    },
    () =>
      columns(
        results.map(({ vector, microseconds }) => [
          `vector ${vector}`,
          microseconds === undefined ? context.paint('bad', 'did not come') : context.paint('good', 'came'),
          microseconds === undefined ? '' : `after ${Math.round(microseconds)} us`,
        ]),
      ),
  );
  return results.length === chosen.length && results.every(({ microseconds }) => microseconds !== undefined) ? ok : failed;
}

async function came(comes: Promise<number>, signal: AbortSignal): Promise<boolean> {
  try {
    return (await comes) > 0;
  } catch (error) {
    if (signal.aborted || (error as NodeJS.ErrnoException).code === 'ERR_VFIO_TIMEOUT') return false;
    throw error;
  }
}

function total(tallies: readonly Tally[]): number {
  return tallies.reduce((sum, { count }) => sum + count, 0);
}
