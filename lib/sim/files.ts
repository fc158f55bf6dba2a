import { errno } from '../abi/errno.js';
import type { Files, FileStatus } from '../kernel/kernel.js';
import { rootAccess, type Access, type FileNode } from './file-node.js';
import type { OpenFile } from './open-file.js';
import type { PlainFiles } from './plain-files.js';
import type { Process } from './process.js';

const mostLinks = 40;

/** What was found, and where it is when no link is in its path. */
interface Found {
  readonly path: string;
  readonly node: FileNode;
}

/** The tree below one root, with the files that a machine was given on top, behind the interface that the real machine's files have too. */
export class FileTree implements Files {
  readonly #root: FileNode;
  readonly #plain: PlainFiles;
  readonly #process: Process;
  /** What chmod and chown made of files that do not keep it themselves, by path. */
  readonly #accesses = new Map<string, Access>();

  constructor(root: FileNode, plain: PlainFiles, process: Process) {
    this.#root = root;
    this.#plain = plain;
    this.#process = process;
  }

  readFile(path: string): Uint8Array | number {
    const found = this.#find(path, true);
    if (typeof found === 'number') return found;
    const { node } = found;
    if (node.kind === 'directory') return -errno.EISDIR;
    if (node.kind !== 'file' || node.read === undefined || !this.#process.may('read', this.#accessOf(found))) return -errno.EACCES;
    const content = node.read();
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  }

  writeFile(path: string, bytes: Uint8Array): number {
    const found = this.#find(path, true);
    if (typeof found === 'number') return found;
    const { node } = found;
    if (node.kind === 'directory') return -errno.EISDIR;
    if (node.kind !== 'file' || node.write === undefined || !this.#process.may('write', this.#accessOf(found))) return -errno.EACCES;
    // A write of nothing does not reach who would take it.
    if (bytes.byteLength === 0) return 0;
    const result = node.write(new TextDecoder().decode(bytes));
    return result < 0 ? result : bytes.byteLength;
  }

  readdir(path: string): string[] | number {
    const found = this.#find(path, true);
    if (typeof found === 'number') return found;
    return found.node.kind === 'directory' ? Object.keys(this.#entries(found)).sort() : -errno.ENOTDIR;
  }

  readlink(path: string): string | number {
    const found = this.#find(path, false);
    if (typeof found === 'number') return found;
    return found.node.kind === 'link' ? found.node.target() : -errno.EINVAL;
  }

  access(path: string): number {
    const found = this.#find(path, true);
    return typeof found === 'number' ? found : 0;
  }

  stat(path: string): FileStatus | number {
    const found = this.#find(path, true);
    if (typeof found === 'number') return found;
    const { node } = found;
    const access = { ...this.#accessOf(found) };
    if (node.kind === 'device') return { kind: 'character-device', ...access, device: node.device };
    return { kind: node.kind === 'directory' ? 'folder' : 'file', ...access };
  }

  chmod(path: string, mode: number): number {
    return this.#change(path, (access, process) => process.user === 0 || process.user === access.user, { mode });
  }

  /** Only root gives files away. */
  chown(path: string, user: number, group: number): number {
    const owner = { ...(user >= 0 && { user }), ...(group >= 0 && { group }) };
    return this.#change(path, (_access, process) => process.user === 0, owner);
  }

  /** The file of a node that is more than text, for a program that opens it. */
  openFile(path: string): OpenFile | undefined {
    const found = this.#find(path, true);
    return typeof found !== 'number' && found.node.kind === 'file' ? found.node.open?.() : undefined;
  }

  #change(path: string, may: (access: Access, process: Process) => boolean, change: Partial<Access>): number {
    const found = this.#find(path, true);
    if (typeof found === 'number') return found;
    const access = this.#accessOf(found);
    if (!may(access, this.#process)) return -errno.EPERM;
    Object.assign(access, change);
    if (found.node.kind !== 'device') this.#accesses.set(found.path, access);
    return 0;
  }

  #accessOf({ path, node }: Found): Access {
    if (node.kind === 'device') return node.access;
    return this.#accesses.get(path) ?? rootAccess(usualMode(node));
  }

  #entries({ path, node }: Found): Readonly<Record<string, FileNode>> {
    return node.kind === 'directory' ? this.#plain.on(path, node.entries()) : {};
  }

  /** Walks from the root, following links; the last one only if asked to. */
  #find(path: string, followLast: boolean): Found | number {
    let rest = path.split('/');
    let here: Found[] = [{ path: '', node: this.#root }];
    let links = 0;
    while (rest.length > 0) {
      const [name, ...after] = rest as [string, ...string[]];
      rest = after;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (here.length > 1) here = here.slice(0, -1);
        continue;
      }
      const folder = here.at(-1);
      if (folder?.node.kind !== 'directory') return -errno.ENOTDIR;
      const entries = this.#entries(folder);
      const node = Object.hasOwn(entries, name) ? entries[name] : undefined;
      if (node === undefined) return -errno.ENOENT;
      if (node.kind === 'link' && (followLast || rest.length > 0)) {
        links += 1;
        if (links > mostLinks) return -errno.ELOOP;
        const target = node.target();
        if (target.startsWith('/')) here = here.slice(0, 1);
        rest = [...target.split('/'), ...rest];
      } else {
        here = [...here, { path: `${folder.path}/${name}`, node }];
      }
    }
    return here.at(-1) ?? -errno.ENOENT;
  }
}

/** As sysfs has files, each by what can be done with it. */
function usualMode(node: Exclude<FileNode, { readonly kind: 'device' }>): number {
  if (node.kind === 'directory') return 0o755;
  if (node.kind === 'link') return 0o777;
  return node.mode ?? (node.read === undefined ? 0 : 0o444) | (node.write === undefined && node.open === undefined ? 0 : 0o200);
}
