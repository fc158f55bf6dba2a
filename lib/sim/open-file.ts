import { errno } from '../abi/errno.js';
import type { Mapping, Watch } from '../kernel/kernel.js';
import type { Argument } from './argument.js';

/**
 * What an fd refers to. The answers here are those of a file without the operation, as Linux gives them.
 * A file is released when the last reference goes: an fd's, or that of another file that needs it.
 */
export abstract class OpenFile {
  #references = 1;

  ioctl(_request: number, _argument: Argument): number {
    return -errno.ENOTTY;
  }
  read(_bytes: Uint8Array): number {
    return -errno.EINVAL;
  }
  write(_bytes: Uint8Array): number {
    return -errno.EINVAL;
  }
  pread(_bytes: Uint8Array, _offset: number): number {
    return -errno.EINVAL;
  }
  pwrite(_bytes: Uint8Array, _offset: number): number {
    return -errno.EINVAL;
  }
  mmap(_length: number, _protection: number, _flags: number, _offset: number): Mapping | number {
    return -errno.ENODEV;
  }
  watch(_ready: () => void): Watch | number {
    return -errno.EPERM;
  }

  /** Whether it is a group's, /dev/vfio/NUMBER. */
  get isGroup(): boolean {
    return false;
  }

  retain(): void {
    this.#references += 1;
  }

  drop(): void {
    this.#references -= 1;
    if (this.#references === 0) this.release();
  }

  protected release(): void {}
}

/** The fd table, as far as requests that take or give fds need it. */
export interface FdTable {
  lookup(fd: number): OpenFile | undefined;
  install(file: OpenFile): number;
  close(fd: number): number;
}
