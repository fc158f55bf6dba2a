/** What users can import: a change in api/ is a change of the package's contract, and is reviewed as one. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { reports, reportsFolder } from './report.js';

let texts: Map<string, string>;
beforeAll(async () => {
  texts = await reports();
}, 120_000);

const written = readdirSync(reportsFolder).sort();

describe('the reports of the public surface', () => {
  it('are of the entry points of package.json', () => expect([...texts.keys()].sort()).toEqual(written));

  it.each(written)('api/%s is what the code says; if the change is meant, npm run api writes it', (file) => {
    expect(texts.get(file)).toBe(readFileSync(join(reportsFolder, file), 'utf8'));
  });
});
