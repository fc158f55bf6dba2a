import type { Request } from '../abi/ioctl.js';
import { check, ClosedError } from './error.js';
import type { Kernel, Mapping, Watch } from './kernel.js';

/**
 * One open file of a kernel, owned: closed once, by whoever holds it. Its methods turn refusals into errors that name
 * the file and the request.
 */
export class Descriptor {
  readonly kernel: Kernel;
  /** What the file is called in errors. */
  readonly path: string;
  #fd: number | undefined;

  private constructor(kernel: Kernel, fd: number, path: string) {
    this.kernel = kernel;
    this.path = path;
    this.#fd = fd;
  }

  static open(kernel: Kernel, path: string, flags: number): Descriptor {
    return new Descriptor(kernel, check(kernel.open(path, flags), { syscall: 'open', path }), path);
  }

  /** Takes ownership of an fd that is open already. */
  static adopt(kernel: Kernel, fd: number, path: string): Descriptor {
    return new Descriptor(kernel, fd, path);
  }

  get closed(): boolean {
    return this.#fd === undefined;
  }

  get fd(): number {
    if (this.#fd === undefined) throw new ClosedError(this.path);
    return this.#fd;
  }

  ioctl(request: Request, argument?: number | Uint8Array): number {
    return check(this.kernel.ioctl(this.fd, request.number, argument), { syscall: 'ioctl', request, path: this.path });
  }

  /** The same on another thread. `argument` is what it was until it resolves; the file of `holding` stays open until then. */
  async ioctlAsync(request: Request, argument: Uint8Array, holding?: number): Promise<number> {
    const result = await this.kernel.ioctlAsync(this.fd, request.number, argument, holding);
    return check(result, { syscall: 'ioctl', request, path: this.path });
  }

  /** Reads all of `bytes`, or throws. */
  pread(bytes: Uint8Array, offset: number): void {
    this.#whole(this.kernel.pread(this.fd, bytes, offset), bytes, 'pread');
  }

  pwrite(bytes: Uint8Array, offset: number): void {
    this.#whole(this.kernel.pwrite(this.fd, bytes, offset), bytes, 'pwrite');
  }

  mmap(length: number, protection: number, flags: number, offset: number): Mapping {
    const result = this.kernel.mmap(this.fd, length, protection, flags, offset);
    if (typeof result !== 'number') return result;
    check(result, { syscall: 'mmap', path: this.path });
    throw new TypeError(`mmap answered ${result}`);
  }

  watch(ready: () => void): Watch {
    return this.#watched(this.kernel.watch(this.fd, ready));
  }

  watchCount(ready: (count: number) => void): Watch {
    return this.#watched(this.kernel.watchCount(this.fd, ready));
  }

  /** Gives the number away: closing is the taker's from now on. */
  disown(): number {
    const fd = this.fd;
    this.#fd = undefined;
    return fd;
  }

  close(): void {
    if (this.#fd === undefined) return;
    check(this.kernel.close(this.disown()), { syscall: 'close', path: this.path });
  }

  #watched(result: Watch | number): Watch {
    if (typeof result !== 'number') return result;
    check(result, { syscall: 'epoll_ctl', path: this.path });
    throw new TypeError(`watch answered ${result}`);
  }

  #whole(result: number, bytes: Uint8Array, syscall: string): void {
    const done = check(result, { syscall, path: this.path });
    if (done !== bytes.byteLength) {
      throw new RangeError(`Expected ${bytes.byteLength} bytes within the region but ${syscall} moved ${done}, ${this.path}`);
    }
  }
}
