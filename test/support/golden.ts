import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Subject, Variant } from './subject.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', 'golden');

/**
 * Holds what a kernel answered to what the real kernel of that version answered, which is a readable file. In the lab
 * with VFIO_RECORD set to a folder, the real kernel's answers are written there first.
 */
export function expectGolden(variant: Variant, subject: Subject, name: string, lines: readonly string[]): void {
  const file = join(`${subject.version}-${subject.iommu}`, `${name}.txt`);
  const text = `${lines.join('\n')}\n`;
  const record = process.env['VFIO_RECORD'];
  if (variant.real && record !== undefined) {
    mkdirSync(dirname(join(record, file)), { recursive: true });
    writeFileSync(join(record, file), text);
    return;
  }
  expect(text).toBe(readFileSync(join(folder, file), 'utf8'));
}
