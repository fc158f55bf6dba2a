import type { Access } from './file-node.js';

const bits = { read: 4, write: 2 } as const;

/** The process that makes the system calls of a machine. */
export class Process {
  /** 0 is root, who has all capabilities. */
  user: number;
  /** What it has open by a name, by fd. */
  readonly files = new Map<number, string>();

  constructor(user: number) {
    this.user = user;
  }

  /** Whether a file's mode lets it. Its group has the number of its user. */
  may(what: keyof typeof bits, { mode, user, group }: Access): boolean {
    if (this.user === 0) return true;
    const place = this.user === user ? 6 : this.user === group ? 3 : 0;
    return ((mode >> place) & bits[what]) !== 0;
  }
}
