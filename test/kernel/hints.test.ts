/** What errors say is what is known: each sentence stands in one place. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hint, hints } from '../../lib/kernel/hints.js';
import { matters } from '../../lib/kernel/matters.js';
import { checkIds } from '../../lib/diagnosis/diagnose.js';
import { root } from '../support/root.js';

const rows = Object.entries(hints).flatMap(([call, codes]) => Object.keys(codes).map((code) => ({ call, code, ...hint(call, code) })));
const sentences: string[] = Object.values(matters).flatMap((matter) => ('hint' in matter ? [matter.hint] : []));

it('every hint is a sentence, or some, and names only what is checked', () => {
  for (const { call, code, text, checks } of rows) {
    expect([call, code, text]).toEqual([call, code, expect.stringMatching(/^[A-Z/].*[.?]$/s)]);
    for (const id of checks) expect(checkIds).toContain(id);
  }
});

it('what is known of the machine is said in the words of its matter alone', () => {
  const table = readFileSync(join(root, 'lib/kernel/hints.ts'), 'utf8');
  for (const sentence of sentences) expect([sentence, table.includes(sentence)]).toEqual([sentence, false]);
  // And each is said by an error, or by what refuses a binding.
  const said = [...rows.map(({ text }) => text), matters['iommu-active'].hint].join('\n');
  for (const sentence of sentences) expect(said).toContain(sentence);
});

it('no other file has hints', () => {
  const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const own = files.filter((file) => /\bhint:\s*['"`]/.test(readFileSync(join(root, 'lib', file), 'utf8')));
  expect(own).toEqual(['kernel/matters.ts']);
});
