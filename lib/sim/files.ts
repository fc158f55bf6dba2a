import { errno } from '../abi/errno.js';
import type { Files } from '../kernel/kernel.js';

/** A node of the simulated machine's file tree. Everything is asked when it is looked at, so nothing can be stale. */
export type FileNode =
  | { readonly kind: 'directory'; readonly entries: () => Readonly<Record<string, FileNode>> }
  | { readonly kind: 'link'; readonly target: () => string }
  | {
      readonly kind: 'file';
      /** Its text; absent: it cannot be read. */
      readonly read?: () => string;
      /** Takes what was written; 0 or -errno. Absent: it cannot be written. */
      readonly write?: (text: string) => number;
    }
  /** A device node: it exists, and `open` of the kernel knows it. */
  | { readonly kind: 'device' };

export function directory(entries: () => Readonly<Record<string, FileNode>>): FileNode {
  return { kind: 'directory', entries };
}

export function link(target: () => string): FileNode {
  return { kind: 'link', target };
}

/** A file with a line of text, as sysfs has them. */
export function line(text: () => string, write?: (text: string) => number): FileNode {
  const read = (): string => `${text()}\n`;
  return write === undefined ? { kind: 'file', read } : { kind: 'file', read, write };
}

/** A file of many lines, or of none. */
export function text(read: () => string): FileNode {
  return { kind: 'file', read };
}

export function command(write: (text: string) => number): FileNode {
  return { kind: 'file', write };
}

const mostLinks = 40;

/** The tree below one root, behind the interface that the real machine's files have too. */
export class FileTree implements Files {
  readonly #root: FileNode;

  constructor(root: FileNode) {
    this.#root = root;
  }

  readFile(path: string): Uint8Array | number {
    const node = this.#find(path, true);
    if (typeof node === 'number') return node;
    if (node.kind === 'directory') return -errno.EISDIR;
    if (node.kind !== 'file' || node.read === undefined) return -errno.EACCES;
    return new TextEncoder().encode(node.read());
  }

  writeFile(path: string, bytes: Uint8Array): number {
    const node = this.#find(path, true);
    if (typeof node === 'number') return node;
    if (node.kind === 'directory') return -errno.EISDIR;
    if (node.kind !== 'file' || node.write === undefined) return -errno.EACCES;
    // A write of nothing does not reach who would take it.
    if (bytes.byteLength === 0) return 0;
    const result = node.write(new TextDecoder().decode(bytes));
    return result < 0 ? result : bytes.byteLength;
  }

  readdir(path: string): string[] | number {
    const node = this.#find(path, true);
    if (typeof node === 'number') return node;
    return node.kind === 'directory' ? Object.keys(node.entries()).sort() : -errno.ENOTDIR;
  }

  readlink(path: string): string | number {
    const node = this.#find(path, false);
    if (typeof node === 'number') return node;
    return node.kind === 'link' ? node.target() : -errno.EINVAL;
  }

  access(path: string): number {
    const node = this.#find(path, true);
    return typeof node === 'number' ? node : 0;
  }

  /** Walks from the root, following links; the last one only if asked to. */
  #find(path: string, followLast: boolean): FileNode | number {
    let rest = path.split('/');
    let here: { readonly name: string; readonly node: FileNode }[] = [{ name: '', node: this.#root }];
    let links = 0;
    while (rest.length > 0) {
      const [name, ...after] = rest as [string, ...string[]];
      rest = after;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (here.length > 1) here = here.slice(0, -1);
        continue;
      }
      const directory = here.at(-1)?.node;
      if (directory?.kind !== 'directory') return -errno.ENOTDIR;
      const node = Object.hasOwn(directory.entries(), name) ? directory.entries()[name] : undefined;
      if (node === undefined) return -errno.ENOENT;
      if (node.kind === 'link' && (followLast || rest.length > 0)) {
        links += 1;
        if (links > mostLinks) return -errno.ELOOP;
        const target = node.target();
        if (target.startsWith('/')) here = here.slice(0, 1);
        rest = [...target.split('/'), ...rest];
      } else {
        here = [...here, { name, node }];
      }
    }
    return here.at(-1)?.node ?? -errno.ENOENT;
  }
}
