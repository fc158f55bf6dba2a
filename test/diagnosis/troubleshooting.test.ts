/** docs/troubleshooting.md says of each matter what the command says, and how it shows. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkIds } from '../../lib/diagnosis/diagnose.js';
import { matters } from '../../lib/kernel/matters.js';
import { root } from '../support/root.js';

const page = readFileSync(join(root, 'docs/troubleshooting.md'), 'utf8');
const sections = new Map(
  page.split(/^### /m).flatMap((section) => {
    const [title = '', ...lines] = section.split('\n');
    return [[title, lines.join(' ')] as const];
  }),
);

describe('docs/troubleshooting.md', () => {
  it.each(checkIds)('%s', (id) => {
    expect(sections.get(id)).toContain(`${matters[id].finding}. ${matters[id].why}`);
    expect(sections.get(id)).toContain(' To mend it: ');
    expect(page).toContain(`| [${id}](#${id}) `);
  });

  it('has nothing that is not checked', () => {
    expect([...sections.keys()].slice(1)).toEqual(checkIds);
  });
});
