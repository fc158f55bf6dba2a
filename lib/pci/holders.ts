import { list, readTextIfAny, type WithFiles } from './sysfs.js';

/** A process that has a file open. */
export interface Holder {
  readonly pid: number;
  /** What the kernel calls it, 'qemu-system-x86', or '?' for one that ended meanwhile. */
  readonly name: string;
  /** '/dev/vfio/12' */
  readonly path: string;
}

/** Who has one of those files open, as far as this user may see it: those of other users are root's to see. */
export function findHolders(kernel: WithFiles, paths: readonly string[]): Holder[] {
  if (paths.length === 0) return [];
  const wanted = new Set(paths);
  return list(kernel, '/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const held = new Set(
        list(kernel, `/proc/${pid}/fd`)
          .map((fd) => kernel.files.readlink(`/proc/${pid}/fd/${fd}`))
          .filter((target): target is string => typeof target === 'string' && wanted.has(target)),
      );
      return [...held].map((path) => ({ pid: Number(pid), name: readTextIfAny(kernel, `/proc/${pid}/comm`) ?? '?', path }));
    })
    .sort((a, b) => a.pid - b.pid);
}
