/**
 * What `vfio list` and `vfio show` say of devices beside configuration space, held to lspci: names, ids, addresses, interrupts,
 * groups and drivers. In a guest, where there are devices of many kinds; lspci and its database of names are the host's.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run } from '../../lib/cli/program.js';

/** The lines that are compared, by how they begin. */
const labels = /^(Subsystem|Region \d|Expansion ROM|Interrupt|NUMA node|IOMMU group|Kernel driver in use|Kernel modules)\b/;

async function vfio(...args: string[]): Promise<string> {
  let out = '';
  let err = '';
  const status = await run(args, '0.0.0', {
    write: (text) => void (out += text),
    note: (text) => void (err += text),
    interactive: false,
    signal: new AbortController().signal,
  });
  expect([status, err]).toEqual([0, '']);
  return out;
}

/** The line of the device itself, and those of the labels, which stand one step to the right, in the order of the alphabet. */
function linesOf(text: string, step: string): string[] {
  const [first = '', ...lines] = text.split('\n');
  const ofDevice = lines.filter((line) => line.startsWith(step)).map((line) => line.slice(step.length));
  return [first, ...ofDevice.filter((line) => labels.test(line)).sort()];
}

/** Without udev's database, which gives some subsystems the names of their devices. */
function lspci(address: string): string {
  return execFileSync('lspci', ['-D', '-vvv', '-nn', '-O', 'hwdb.disable=1', '-s', address], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

export function headers(): void {
  const addresses = readdirSync('/sys/bus/pci/devices').sort();

  describe('beside configuration space', () => {
    it.each(addresses)('%s is to vfio show what it is to lspci', async (address) => {
      // What sleeps is woken by whoever reads of it first, and may be asleep to one and awake to the other.
      lspci(address);
      expect(linesOf(await vfio('show', address), '  ')).toEqual(linesOf(lspci(address), '\t'));
    });

    it.each(addresses)('%s is to vfio list what it is to lspci', async (address) => {
      const [first = '', ...lines] = linesOf(lspci(address), '\t');
      const value = (label: string): string | undefined => lines.find((line) => line.startsWith(label))?.split(': ')[1];
      const [heading, row = ''] = (await vfio('list', address)).split('\n');
      const group = value('IOMMU group');
      expect(heading).toBe(group === undefined ? 'no group' : `group ${group}`);
      const [, className = '', device = ''] = /^\S+ (.*) \[[0-9a-f]{4}\]: (.* \[[0-9a-f]{4}:[0-9a-f]{4}\])/.exec(first) ?? [];
      expect(row.trim().split(/ {2,}/).slice(0, 4)).toEqual([address, className, device, value('Kernel driver in use') ?? '-']);
    });
  });
}
