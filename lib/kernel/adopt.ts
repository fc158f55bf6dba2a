import type { Request } from '../abi/ioctl.js';
import { Descriptor } from './descriptor.js';
import { check, checkedInteger } from './error.js';
import type { Kernel } from './kernel.js';

const mostFd = 0x7fff_ffff;

/** A file that another process, or other code of this one, opened. */
interface OpenedElsewhere {
  readonly fd: number;
  /** What it is to be: 'a container'. */
  readonly what: string;
  /** What it is called in errors. */
  readonly path: string;
  /** What only such a file answers, with what it is asked. */
  readonly request: Request;
  readonly argument?: Uint8Array;
}

/**
 * Takes ownership of an fd that is open already, if the kernel says that it is what it is to be. Otherwise it stays the caller's.
 * @throws KernelError ENOTTY or EINVAL when it is another file, EBADF when it is none.
 */
export function adopt(kernel: Kernel, { fd, what, path, request, argument }: OpenedElsewhere): Descriptor {
  checkedInteger('fd', fd, mostFd);
  const hint = `Is fd ${fd} ${what}, opened by who handed it on? The fds of a process that is started count from 0 in the order of its stdio.`;
  check(kernel.ioctl(fd, request.number, argument), { syscall: 'ioctl', request, path: `fd ${fd}`, hint });
  return Descriptor.adopt(kernel, fd, path);
}
