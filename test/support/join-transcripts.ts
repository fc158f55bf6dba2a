import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Where all IOMMUs of a version agree on a suite, one file takes the place of theirs. */
export function joinTranscripts(folder: string): void {
  if (!existsSync(folder)) return;
  const suites = new Map<string, string[]>();
  for (const name of readdirSync(folder)) {
    const suite = basename(name, '.txt').replace(/-(intel|amd|virtio|none)$/, '');
    suites.set(suite, [...(suites.get(suite) ?? []), join(folder, name)]);
  }
  for (const [suite, files] of suites) {
    const [first = '', ...others] = files;
    if (others.length === 0 || others.some((file) => readFileSync(file, 'utf8') !== readFileSync(first, 'utf8'))) continue;
    renameSync(first, join(folder, `${suite}.txt`));
    for (const file of others) rmSync(file);
  }
}
