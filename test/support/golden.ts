import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { goldenFolder } from './root.js';
import type { Subject, Variant } from './subject.js';

/** Where the answers of a real kernel are to be written, when they are to be recorded. */
export function recordingFolder({ real }: Variant): string | undefined {
  return real ? process.env['VFIO_RECORD'] : undefined;
}

/**
 * Holds what a kernel answered to what the real kernel of that version answered, which is a readable file. A kernel
 * newer than any that was recorded is held to the newest that was: what it does otherwise shows as a difference.
 *
 * In the lab with VFIO_RECORD set to a folder, the real kernel's answers are written there instead.
 */
export function expectGolden(variant: Variant, { version }: Subject, name: string, lines: readonly string[]): void {
  expectRecorded(variant, version, recorded, name, lines);
}

/** The same for what a device said, whatever the kernel: QEMU's own, of the version in the folder's name. */
export function expectDevice(variant: Variant, name: string, lines: readonly string[]): void {
  expectRecorded(variant, 'qemu-7.2', (device) => device, name, lines);
}

function expectRecorded(variant: Variant, from: string, find: (from: string) => string, name: string, lines: readonly string[]): void {
  const text = `${lines.join('\n')}\n`;
  const record = recordingFolder(variant);
  if (record !== undefined) {
    const file = join(record, from, `${name}.txt`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return;
  }
  expect(text).toBe(readFileSync(join(goldenFolder, find(from), `${name}.txt`), 'utf8'));
}

/** The newest recorded version that is not newer than the kernel's. */
export function recorded(version: string): string {
  const order = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });
  const known = existsSync(goldenFolder) ? readdirSync(goldenFolder).filter((candidate) => order(candidate, version) <= 0) : [];
  return known.sort(order).at(-1) ?? version;
}
