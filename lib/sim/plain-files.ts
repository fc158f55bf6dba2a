import { expected } from '../kernel/error.js';
import { directory, type FileNode } from './file-node.js';

/** Files that a machine was given, by their paths without links: they stand on top of those that it has by itself, or hide them. */
export class PlainFiles {
  readonly #texts: Map<string, string | null>;

  /** @throws RangeError for a path that does not begin at the root. */
  constructor(files: Readonly<Record<string, string | null>>) {
    this.#texts = new Map(Object.entries(files));
    for (const [path, text] of this.#texts) {
      if (!/^(\/[^/]+)+$/.test(path)) throw expected("paths like '/proc/cmdline'", 'files', path);
      if (text !== null && typeof text !== 'string') throw expected('a text, or null', `files['${path}']`, text);
    }
  }

  /** What is in that folder with them. */
  on(folder: string, entries: Readonly<Record<string, FileNode>>): Readonly<Record<string, FileNode>> {
    const below = [...this.#texts].filter(([path]) => path.startsWith(`${folder}/`));
    if (below.length === 0) return entries;
    const all = { ...entries };
    for (const [path, text] of below) {
      const [name = '', ...rest] = path.slice(folder.length + 1).split('/');
      if (rest.length > 0) {
        if (text !== null) all[name] ??= directory(() => ({}));
      } else if (text === null) delete all[name];
      else all[name] = this.#node(path, text);
    }
    return all;
  }

  #node(path: string, text: string): FileNode {
    return {
      kind: 'file',
      read: () => text,
      write: (written) => {
        this.#texts.set(path, written);
        return 0;
      },
    };
  }
}
