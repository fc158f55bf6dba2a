import { errno } from '../abi/errno.js';
import type { Request } from '../abi/ioctl.js';
import { refuseOversizedMany } from '../abi/requests.js';
import { countTo } from './counter.js';
import { FileKinds, type FdKind } from './file-kinds.js';
import type { Files, FileStatus, Kernel, Mapping, Watch } from './kernel.js';

/** A call of a kernel as data. Which fields there are depends on `name`; those of the kernel's memory are the caller's own. */
export interface KernelCall {
  /** `watchCount` is a watch, and a read whenever there is a count; `ioctlMany` and `ioctlAsync` are ioctls. */
  readonly name:
    | Exclude<keyof Kernel, 'addressOf' | 'files' | 'ioctlMany' | 'ioctlAsync' | 'watchCount'>
    | keyof Files
    /** A mapping's `populate()` and `unmap()`. */
    | 'madvise'
    | 'munmap'
    /** A watch's `stop()`. */
    | 'unwatch';
  readonly fd?: number;
  /** What the fd is, if its opening was seen. */
  readonly kind?: FdKind;
  /** The file, or a memfd's name. */
  readonly path?: string;
  /** The ioctl, as far as it is known; its number is always there. */
  readonly request?: Request;
  readonly number?: number;
  readonly argument?: number | Uint8Array;
  /** What is read into, or written. */
  readonly bytes?: Uint8Array;
  readonly offset?: number;
  /** Bytes, of a mapping or memfd. */
  readonly size?: number;
  readonly protection?: number;
  readonly flags?: number;
  /** The NUMA node that a mapping's pages are to come from. */
  readonly node?: number;
  /** Who may do what with a file, and whose it becomes. */
  readonly mode?: number;
  readonly user?: number;
  readonly group?: number;
  /** An eventfd's first value. */
  readonly initial?: number;
  /** What is populated or unmapped, or no longer watched. */
  readonly mapping?: Mapping;
  readonly watch?: Watch;
}

/** What a call of a kernel returns: a number, or what it made or read. */
export type Answer = number | Mapping | Watch | Uint8Array | string[] | string | FileStatus;

/**
 * Meets a call before it is made. A number is -errno, which is answered in its place; a function is told what the call answered,
 * and may have -errno answered instead. Undefined: the call is made.
 */
export type Around = (call: KernelCall) => number | ((answer: Answer) => number | undefined) | undefined;

/**
 * A kernel whose every call `meet` meets, but those that ask nothing of a kernel: `addressOf`, register accesses. An
 * `ioctlMany` is the single calls that it consists of.
 */
export function aroundKernel(kernel: Kernel, meet: Around): Kernel {
  const around: Make = (call, make) => {
    const met = meet(call);
    if (typeof met === 'number') return met;
    const answer = make();
    return met?.(answer) ?? answer;
  };
  const kinds = new FileKinds();
  const onFd = (fd: number): { fd: number; kind?: FdKind } => {
    const kind = kinds.of(fd);
    return kind === undefined ? { fd } : { fd, kind };
  };
  /** The call, and if it succeeded what kind of fd it gave. */
  const opening = (call: KernelCall, make: () => number, note: (fd: number) => void): number => {
    const result = around(call, make);
    if (result >= 0) note(result);
    return result;
  };
  const ioctlCall = (fd: number, number: number, argument: number | Uint8Array | undefined): KernelCall => {
    const request = kinds.request(fd, number);
    return { name: 'ioctl', ...onFd(fd), number, ...(request && { request }), ...(argument !== undefined && { argument }) };
  };
  const answered = ({ fd, request, argument }: KernelCall, result: number): void => {
    if (fd !== undefined && request !== undefined) kinds.answered(fd, request, argument, result);
  };
  const ioctl: Kernel['ioctl'] = (fd, number, argument) => {
    const call = ioctlCall(fd, number, argument);
    const make = (): number => kernel.ioctl(fd, number, argument);
    return opening(call, make, (result) => answered(call, result));
  };
  const read = (fd: number, bytes: Uint8Array): number => around({ name: 'read', ...onFd(fd), bytes }, () => kernel.read(fd, bytes));
  const watch = (fd: number, ready: () => void): Watch | number => {
    const made = around({ name: 'watch', ...onFd(fd) }, () => kernel.watch(fd, ready));
    return typeof made === 'number' ? made : stoppedThrough(made, around);
  };
  const { files } = kernel;
  /** The same for what is done on another thread. */
  const aroundAsync = async (call: KernelCall, make: () => Promise<number>): Promise<number> => {
    const met = meet(call);
    if (typeof met === 'number') return met;
    const answer = await make();
    return met?.(answer) ?? answer;
  };
  return {
    open: (path, flags) =>
      opening(
        { name: 'open', path, flags },
        () => kernel.open(path, flags),
        (fd) => kinds.opened(path, fd),
      ),
    close(fd) {
      const result = around({ name: 'close', ...onFd(fd) }, () => kernel.close(fd));
      // Whatever else close(2) answers, the fd is gone.
      if (result !== -errno.EBADF) kinds.closed(fd);
      return result;
    },
    ioctl,
    ioctlMany(fd, number, structs, results) {
      // Those that are no system calls throw.
      if (!areStructs(structs, results)) return kernel.ioctlMany(fd, number, structs, results);
      refuseOversizedMany(number, structs, results.length);
      return ioctlEach(ioctl, fd, number, structs, results);
    },
    async ioctlAsync(fd, number, argument, holding) {
      const call = ioctlCall(fd, number, argument);
      const result = await aroundAsync(call, () => kernel.ioctlAsync(fd, number, argument, holding));
      if (result >= 0) answered(call, result);
      return result;
    },
    read,
    write: (fd, bytes) => around({ name: 'write', ...onFd(fd), bytes }, () => kernel.write(fd, bytes)),
    pread: (fd, bytes, offset) => around({ name: 'pread', ...onFd(fd), bytes, offset }, () => kernel.pread(fd, bytes, offset)),
    pwrite: (fd, bytes, offset) => around({ name: 'pwrite', ...onFd(fd), bytes, offset }, () => kernel.pwrite(fd, bytes, offset)),
    mmap(fd, size, protection, flags, offset, node) {
      const call = { name: 'mmap', ...onFd(fd), size, protection, flags, offset, ...(node !== undefined && { node }) } as const;
      const mapping = around(call, () => kernel.mmap(fd, size, protection, flags, offset, node));
      return typeof mapping === 'number' ? mapping : mappedThrough(mapping, around, aroundAsync);
    },
    memfd: (path, size, flags) =>
      opening(
        { name: 'memfd', path, size, flags },
        () => kernel.memfd(path, size, flags),
        (fd) => kinds.add(fd, 'memfd'),
      ),
    eventfd: (initial, flags) =>
      opening(
        { name: 'eventfd', initial, flags },
        () => kernel.eventfd(initial, flags),
        (fd) => kinds.add(fd, 'eventfd'),
      ),
    addressOf: (memory) => kernel.addressOf(memory),
    watch,
    // The read is a call like any other: seen, and refused where reads are.
    watchCount: (fd, ready) =>
      watch(
        fd,
        countTo((bytes) => read(fd, bytes), ready),
      ),
    files: {
      readFile: (path) => around({ name: 'readFile', path }, () => files.readFile(path)),
      writeFile: (path, bytes) => around({ name: 'writeFile', path, bytes }, () => files.writeFile(path, bytes)),
      readdir: (path) => around({ name: 'readdir', path }, () => files.readdir(path)),
      readlink: (path) => around({ name: 'readlink', path }, () => files.readlink(path)),
      access: (path) => around({ name: 'access', path }, () => files.access(path)),
      stat: (path) => around({ name: 'stat', path }, () => files.stat(path)),
      chmod: (path, mode) => around({ name: 'chmod', path, mode }, () => files.chmod(path, mode)),
      chown: (path, user, group) => around({ name: 'chown', path, user, group }, () => files.chown(path, user, group)),
    },
  };
}

/** Makes a call as far as it is to be made. */
type Make = <T extends Answer>(call: KernelCall, make: () => T | number) => T | number;

type MakeAsync = (call: KernelCall, make: () => Promise<number>) => Promise<number>;

/** Whether these are memory and room for answers, as many as the memory has structs of one size. */
function areStructs(structs: unknown, results: unknown): boolean {
  if (!(structs instanceof Uint8Array) || !(results instanceof Int32Array)) return false;
  return results.length === 0 ? structs.length === 0 : structs.length % results.length === 0;
}

/** `Kernel.ioctlMany` made of single calls. */
export function ioctlEach(ioctl: Kernel['ioctl'], fd: number, request: number, structs: Uint8Array, results: Int32Array): number {
  const size = structs.length / results.length;
  for (let index = 0; index < results.length; index += 1) {
    const result = ioctl(fd, request, structs.subarray(index * size, (index + 1) * size));
    results[index] = result;
    if (result < 0) return index;
  }
  return results.length;
}

function mappedThrough(mapping: Mapping, around: Make, aroundAsync: MakeAsync): Mapping {
  return {
    length: mapping.length,
    get memory() {
      return mapping.memory;
    },
    get mmio() {
      return mapping.mmio;
    },
    get fastMmio() {
      return mapping.fastMmio;
    },
    populate: () => aroundAsync({ name: 'madvise', mapping, size: mapping.length }, () => mapping.populate()),
    unmap() {
      around({ name: 'munmap', mapping, size: mapping.length }, () => {
        mapping.unmap();
        return 0;
      });
    },
  };
}

function stoppedThrough(watch: Watch, around: Make): Watch {
  return {
    ref: () => watch.ref(),
    unref: () => watch.unref(),
    stop() {
      around({ name: 'unwatch', watch }, () => {
        watch.stop();
        return 0;
      });
    },
  };
}
