/**
 * Configuration spaces and the words that lspci, version 3.9, has for them, in test/golden/config-space: of QEMU's devices in the
 * lab what `lspci -xxxx` and `lspci -vvv -nn -D` print there; made up, for what no such device has, by `lspci -F`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { goldenFolder } from '../support/root.js';
import { countFields, differences } from './compare.js';
import { parseDump } from './dump.js';

const folder = join(goldenFolder, 'config-space');
const names = readdirSync(folder).flatMap((file) => (file.endsWith('.hex') ? [file.slice(0, -'.hex'.length)] : []));
const read = (name: string): { bytes: Uint8Array; words: string } => ({
  bytes: parseDump(readFileSync(join(folder, `${name}.hex`), 'utf8')),
  words: readFileSync(join(folder, `${name}.lspci`), 'utf8'),
});

describe('what configuration space says is what lspci says', () => {
  it.each(names)('of %s', (name) => {
    const { bytes, words } = read(name);
    expect(differences(bytes, words)).toEqual([]);
    expect(countFields(words)).toBeGreaterThan(20);
  });
});

describe('the comparison', () => {
  const { bytes, words } = read('e1000e');

  it('names a field that has another value', () => {
    expect(differences(bytes, words.replace('BusMaster-', 'BusMaster+').replace('Count=5', 'Count=6'))).toEqual([
      { section: 'header', field: '0: Control', lspci: 'BusMaster+', ours: 'BusMaster-' },
      { section: 'a0 MSI-X: Enable- Count=6 Masked-', field: '0: MSI-X', lspci: 'Count=6', ours: 'Count=5' },
    ]);
  });

  it('names what only one of the two says', () => {
    const extra = words.replace(/(\n\t\tVector table.*)/, '$1\n\t\tColour: red').replace(/\n\tCapabilities: \[140.*/g, '');
    const found = differences(bytes, extra).map(({ section, lspci, ours }) => [section.slice(0, 3), lspci, ours]);
    expect(found).toContainEqual(['a0 ', 'Colour:', 'PBA:']);
    expect(found).toContainEqual(['140', undefined, 'Device Serial Number 52-54-00-ff-ff-12-34-56']);
  });
});

it('of a device that does not answer there is one line, as lspci has it', () => {
  const words =
    '0000:03:00.1 Non-Volatile memory controller [0108]: Red Hat, Inc. QEMU NVM Express Controller [1b36:0010] (rev ff)\n\t!!! Unknown header type 7f\n';
  expect(differences(new Uint8Array(4096).fill(0xff), words)).toEqual([]);
});
