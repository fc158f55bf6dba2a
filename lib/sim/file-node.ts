import type { OpenFile } from './open-file.js';

/** A node of the simulated machine's file tree. Everything is asked when it is looked at, so nothing can be stale. */
export type FileNode =
  | { readonly kind: 'directory'; readonly entries: () => Readonly<Record<string, FileNode>> }
  | { readonly kind: 'link'; readonly target: () => string }
  | {
      readonly kind: 'file';
      /** Its text, or bytes that are none, or -errno; absent: it cannot be read. */
      readonly read?: () => string | Uint8Array | number;
      /** Takes what was written; 0 or -errno. Absent: it cannot be written. */
      readonly write?: (text: string) => number;
      /** Who may do what. Default: all may read, and its owner write, what can be. */
      readonly mode?: number;
      /** What it is to a program that opens it, where that can do more. */
      readonly open?: () => OpenFile;
    }
  | DeviceNode;

/** A device node: it exists, and `open` of the kernel knows it. Its `access` lasts as long as what it is the node of. */
export interface DeviceNode {
  readonly kind: 'device';
  /** Its two numbers, '10:196'. */
  readonly device: string;
  readonly access: Access;
}

/** Whose a file is, and who may do what. */
export interface Access {
  mode: number;
  user: number;
  group: number;
}

/** As the kernel makes nodes: of root, with that mode. */
export function rootAccess(mode: number): Access {
  return { mode, user: 0, group: 0 };
}

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
