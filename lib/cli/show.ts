import { readFileSync, writeFileSync } from 'node:fs';
import { readConfigFile } from '../pci/config-file.js';
import { findDevice } from '../pci/topology.js';
import type { Context } from './context.js';
import { failed, Misuse, ok } from './exit.js';
import { loadNames, type PciNames } from './pci-names.js';
import { difference, differenceText } from './show/difference.js';
import { dumpLines, parseDump } from './show/dump.js';
import { readFacts, type Facts } from './show/facts.js';
import type { OpenedFacts } from './show/opened.js';
import { factsText } from './show/text.js';

export interface ShowOptions {
  readonly open?: true;
  readonly hex?: true;
  readonly save?: string;
  readonly diff?: string;
}

/** `vfio show`; its status. */
export async function show(context: Context, options: ShowOptions, wanted: string): Promise<number> {
  const { open, hex, save, diff } = options;
  const given = Object.entries({ open, hex, save, diff }).filter(([, value]) => value !== undefined);
  if (given.length > 1) throw new Misuse(`Expected one of ${given.map(([name]) => `--${name}`).join(', ')} at a time`);
  const kernel = { files: await context.files() };
  const { address } = findDevice(kernel, wanted);
  if (hex === true) return showBytes(context, address, readConfigFile(kernel, address));
  if (save !== undefined) return saveBytes(context, save, address, readConfigFile(kernel, address));
  if (diff !== undefined) return compare(context, diff, address, readConfigFile(kernel, address));
  return showFacts(context, readFacts(kernel, address), open === true);
}

async function showFacts(context: Context, facts: Facts, open: boolean): Promise<number> {
  const { address, config } = facts;
  using names = await loadNames(context);
  if (config.size === 64) context.terminal.note('vfio: capabilities are missing, as the kernel shows them to root alone\n');
  const opened = open ? await tryOpening(context, address) : undefined;
  const value = { ...facts, names: namesOf(facts, names), ...(opened !== undefined && { opened: opened.said }) };
  context.result(value, () => [...factsText(facts, names, context.paint), ...(opened?.lines ?? [])].join('\n'));
  return opened !== undefined && 'problem' in opened.said ? failed : ok;
}

/** What VFIO says. Why it does not open is an answer, too. */
async function tryOpening(context: Context, address: string): Promise<{ readonly said: OpenedFacts | Unopened; readonly lines: string[] }> {
  const { openedText, readOpened } = await import('./show/opened.js');
  const kernel = await context.kernel();
  try {
    const said = readOpened(kernel, address);
    return { said, lines: openedText(said) };
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    return { said: { problem: error.message }, lines: [`  Through VFIO: it does not open: ${error.message}`] };
  }
}

interface Unopened {
  readonly problem: string;
}

function namesOf(
  { classCode, vendor, device, subsystemVendor, subsystemDevice }: Facts,
  names: PciNames,
): Record<string, string | undefined> {
  return {
    class: names.className(classCode),
    interface: names.interfaceName(classCode),
    vendor: names.vendor(vendor),
    device: names.device(vendor, device),
    subsystemVendor: names.vendor(subsystemVendor),
    subsystemDevice: names.subsystem(vendor, device, subsystemVendor, subsystemDevice),
  };
}

/** As lspci has it: a line that begins with the address, then the bytes. */
function dump(address: string, bytes: Uint8Array): string {
  return [`${address} configuration space`, ...dumpLines(bytes)].join('\n');
}

function showBytes(context: Context, address: string, bytes: Uint8Array): number {
  context.result({ address, bytes: Buffer.from(bytes).toString('hex') }, () => dump(address, bytes));
  return ok;
}

function saveBytes(context: Context, file: string, address: string, bytes: Uint8Array): number {
  writeFileSync(file, `${dump(address, bytes)}\n\n`);
  context.result({ address, file, size: bytes.byteLength }, () => `${bytes.byteLength} bytes of ${address} are saved in ${file}`);
  return ok;
}

/** As diff(1), what differs is found, not what is wanted: the status tells. */
function compare(context: Context, file: string, address: string, now: Uint8Array): number {
  const before = parseDump(readFileSync(file, 'utf8'), address, file);
  if (before.byteLength !== now.byteLength)
    context.terminal.note(
      `vfio: ${file} has ${before.byteLength} bytes and the device shows ${now.byteLength}: those that both have are compared\n`,
    );
  const found = difference(before, now);
  context.result(found, () => differenceText(found));
  return found.bytes.length === 0 ? ok : failed;
}
