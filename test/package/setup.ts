/** One tarball for all files of tests, and one folder that it is installed in. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { root } from '../support/root.js';
import { done, environment, type Packed } from './support.js';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-package-'));
  // Not at once: it takes long, and vitest waits for its workers meanwhile.
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    // With all that comes before: the build, and the addons for every machine.
    const [packed] = JSON.parse(done('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })) as [
      { filename: string; files: { path: string }[]; size: number; unpackedSize: number },
    ];
    const tarball = join(folder, packed.filename);
    project.provide('packed', {
      folder,
      tarball,
      files: packed.files.map(({ path }) => path),
      size: packed.size,
      unpackedSize: packed.unpackedSize,
    });
    done('npm', ['install', '--prefix', join(folder, 'installed'), '--ignore-scripts', tarball], { cwd: folder, env: environment(folder) });
  } catch (error) {
    await remove();
    throw error;
  }
  return remove;
}

declare module 'vitest' {
  interface ProvidedContext {
    packed: Packed;
  }
}
