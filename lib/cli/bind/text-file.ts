import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A file's text, or undefined where there is none. */
export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Has a file be that text from one moment to the next, or not be there: undefined. Gives what makes it as it was. */
export function replaceFile(path: string, text: string | undefined): () => void {
  const before = textOf(path);
  const made = text === undefined ? undefined : mkdirSync(dirname(path), { recursive: true });
  put(path, text);
  return () => {
    if (made === undefined) put(path, before);
    else rmSync(made, { recursive: true, force: true });
  };
}

function put(path: string, text: string | undefined): void {
  if (text === undefined) {
    rmSync(path, { force: true });
    return;
  }
  // Of a name that neither udev nor anybody else looks for.
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}
