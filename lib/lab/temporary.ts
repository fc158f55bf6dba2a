import { mkdtempSync, rmSync } from 'node:fs';

/** Makes a folder whose name begins with `prefix`, for as long as `use` takes or this process lives. */
export async function withTemporaryFolder<T>(prefix: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(prefix);
  // A compiler that is being stopped may still write a file while its folder is removed.
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  try {
    return await use(folder);
  } finally {
    process.off('exit', remove);
    remove();
  }
}
