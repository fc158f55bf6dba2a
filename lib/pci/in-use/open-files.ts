import { list, readTextIfAny, type WithFiles } from '../sysfs.js';

/** A process that has a node open. */
export interface Holder {
  readonly pid: number;
  /** The first 15 letters of its program's name. */
  readonly name: string;
  /** The file descriptor, '/proc/42/fd/3'. */
  readonly descriptor: string;
}

/** What VFIO calls the descriptor of a device that was opened by way of its group. */
const deviceByGroup = 'anon_inode:[vfio-device]';

/**
 * Who has which node of /dev open, and which device that was opened by its group: by node, or the device's address. Without
 * privileges, only the user's own processes are seen.
 */
export function openNodes(kernel: WithFiles): Map<string, Holder[]> {
  const found = new Map<string, Holder[]>();
  for (const process of list(kernel, '/proc').filter((name) => /^\d+$/.test(name)))
    for (const number of list(kernel, `/proc/${process}/fd`)) {
      const descriptor = `/proc/${process}/fd/${number}`;
      const target = kernel.files.readlink(descriptor);
      const what = target === deviceByGroup ? addressIn(kernel, `/proc/${process}/fdinfo/${number}`) : target;
      if (typeof what !== 'string' || (target !== deviceByGroup && !what.startsWith('/dev/'))) continue;
      const name = readTextIfAny(kernel, `/proc/${process}/comm`) ?? '?';
      found.set(what, [...(found.get(what) ?? []), { pid: Number(process), name, descriptor }]);
    }
  return found;
}

/** Since Linux 6.18 the kernel says which device it is. */
function addressIn(kernel: WithFiles, file: string): string | undefined {
  return /^vfio-device-syspath:.*\/([^/\s]+)\s*$/m.exec(readTextIfAny(kernel, file) ?? '')?.[1];
}
