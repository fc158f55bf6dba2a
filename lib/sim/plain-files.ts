import { expected } from '../kernel/error.js';
import { directory, link, type FileNode } from './file-node.js';

/** What a file is that a machine was given: its text, a symbolic link, or null: there is none. */
export type PlainFile = string | { readonly link: string } | null;

/** Files that a machine was given, by their paths without links: they stand on top of those that it has by itself, or hide them. */
export class PlainFiles {
  readonly #files: Map<string, PlainFile>;

  /** @throws RangeError for a path that does not begin at the root. */
  constructor(files: Readonly<Record<string, PlainFile>>) {
    this.#files = new Map(Object.entries(files));
    for (const [path, file] of this.#files) {
      if (!/^(\/[^/]+)+$/.test(path)) throw expected("paths like '/proc/cmdline'", 'files', path);
      if (file !== null && typeof file !== 'string' && typeof file?.link !== 'string')
        throw expected("a text, { link: 'target' }, or null", `files['${path}']`, file);
    }
  }

  /** What is in that folder with them. */
  on(folder: string, entries: Readonly<Record<string, FileNode>>): Readonly<Record<string, FileNode>> {
    const below = [...this.#files].filter(([path]) => path.startsWith(`${folder}/`));
    if (below.length === 0) return entries;
    const all = { ...entries };
    for (const [path, file] of below) {
      const [name = '', ...rest] = path.slice(folder.length + 1).split('/');
      if (rest.length > 0) {
        if (file !== null) all[name] ??= directory(() => ({}));
      } else if (file === null) delete all[name];
      else all[name] = typeof file === 'string' ? this.#text(path, file) : link(() => file.link);
    }
    return all;
  }

  #text(path: string, text: string): FileNode {
    return {
      kind: 'file',
      read: () => text,
      write: (written) => {
        this.#files.set(path, written);
        return 0;
      },
    };
  }
}
