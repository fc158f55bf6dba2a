import { check, KernelError } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';

/** A kernel, or the files of one: what looks only takes no more. */
export type WithFiles = Pick<Kernel, 'files'>;

/** What is no kernel is most often the machine that has one. */
export function checkKernel(kernel: WithFiles): void {
  if (typeof kernel?.files?.access !== 'function')
    throw new TypeError("Expected a kernel, native() or a machine's `kernel`, as the first argument");
}

/** A file's text without the newline at its end. */
export function readText({ files }: WithFiles, path: string): string {
  const bytes = files.readFile(path);
  if (typeof bytes === 'number') throw new KernelError(bytes, { syscall: 'read', path });
  return new TextDecoder().decode(bytes).replace(/\n$/, '');
}

/** The same, or undefined where there is none, or none that this user may read. */
export function readTextIfAny({ files }: WithFiles, path: string): string | undefined {
  const bytes = files.readFile(path);
  return typeof bytes === 'number' ? undefined : new TextDecoder().decode(bytes).replace(/\n$/, '');
}

export function writeText({ files }: WithFiles, path: string, text: string): void {
  check(files.writeFile(path, new TextEncoder().encode(text)), { syscall: 'write', path });
}

/** The last part of a link's target, or undefined where there is no link. */
export function readLinkName({ files }: WithFiles, path: string): string | undefined {
  const target = files.readlink(path);
  return typeof target === 'number' ? undefined : target.split('/').at(-1);
}

/** The names in a folder; none where there is no folder. */
export function list({ files }: WithFiles, path: string): string[] {
  const names = files.readdir(path);
  return typeof names === 'number' ? [] : names;
}
