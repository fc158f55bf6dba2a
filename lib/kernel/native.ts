/**
 * The real kernel. This is the only file that loads the addon, and it does so at the first call of `native()`: importing
 * it never throws, on any platform, built or not.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { refuseOversized, refuseOversizedMany } from '../abi/requests.js';
import { PROT_READ, PROT_WRITE } from '../abi/system.js';
import { check, CodedError } from './error.js';
import { FastMmio } from './fast-mmio.js';
import { instrumented } from './instrument.js';
import type { Kernel, Mapping, Mmio, Poll, RegisterValues, Watch } from './kernel.js';
import { realFiles } from './real-files.js';

/** What the addon exports. Its handles are opaque: it checks each one it gets back. */
interface Addon {
  open(path: string, flags: number): number;
  close(fd: number): number;
  ioctl(fd: number, request: number, argument?: number | Uint8Array): number;
  ioctlMany(fd: number, request: number, structs: Uint8Array, results: Int32Array): number;
  ioctlAsync(fd: number, request: number, argument: Uint8Array, holding?: number): Promise<number>;
  read(fd: number, bytes: Uint8Array): number;
  write(fd: number, bytes: Uint8Array): number;
  pread(fd: number, bytes: Uint8Array, offset: number): number;
  pwrite(fd: number, bytes: Uint8Array, offset: number): number;
  mmap(fd: number, length: number, protection: number, flags: number, offset: number, node?: number): MappingHandle | number;
  /** Undefined for what JavaScript may not touch as it likes. */
  mappingMemory(mapping: MappingHandle): ArrayBuffer | undefined;
  /** Of what can be read and written, whatever becomes of it. */
  mappingRegisters(mapping: MappingHandle): ArrayBuffer;
  populateAsync(mapping: MappingHandle): Promise<number>;
  unmap(mapping: MappingHandle): number;
  memfd(name: string, size: number, flags: number): number;
  addressOf(memory: ArrayBuffer): bigint;
  mmioRead8(mapping: MappingHandle, offset: number): number;
  mmioRead16(mapping: MappingHandle, offset: number): number;
  mmioRead32(mapping: MappingHandle, offset: number): number;
  mmioRead64(mapping: MappingHandle, offset: number): bigint;
  mmioWrite8(mapping: MappingHandle, offset: number, value: number): void;
  mmioWrite16(mapping: MappingHandle, offset: number, value: number): void;
  mmioWrite32(mapping: MappingHandle, offset: number, value: number): void;
  mmioWrite64(mapping: MappingHandle, offset: number, value: bigint): void;
  mmioReadRange(mapping: MappingHandle, offset: number, into: RegisterValues): void;
  mmioWriteList(mapping: MappingHandle, offsets: Uint32Array, values: RegisterValues): void;
  mmioPoll8: PollCall<number>;
  mmioPoll16: PollCall<number>;
  mmioPoll32: PollCall<number>;
  mmioPoll64: PollCall<bigint>;
  eventfd(initial: number, flags: number): number;
  watch(fd: number, ready: () => void): WatchHandle | number;
  watchCount(fd: number, ready: (count: number) => void): WatchHandle | number;
  watchRef(watch: WatchHandle): void;
  watchUnref(watch: WatchHandle): void;
  watchStop(watch: WatchHandle): void;
}
type PollCall<Value> = (
  mapping: MappingHandle,
  offset: number,
  mask: Value,
  wanted: Value,
  timeoutMilliseconds: number,
) => Value | undefined;
type MappingHandle = { readonly kind: 'mapping' };
type WatchHandle = { readonly kind: 'watch' };

let kernel: Kernel | undefined;

/**
 * The kernel this process runs on. The same object each time.
 * @throws Error with `code` 'ERR_VFIO_PLATFORM' anywhere but on Linux; 'ERR_VFIO_ADDON', with what to do about it, if
 * the addon is not built or does not load.
 */
export function native(): Kernel {
  kernel ??= instrumented(() => realKernel(load()));
  return kernel;
}

function realKernel(addon: Addon): Kernel {
  const watching = (handle: WatchHandle | number): Watch | number => (typeof handle === 'number' ? handle : new NativeWatch(addon, handle));
  return {
    open: addon.open,
    close: addon.close,
    ioctl(fd, request, argument) {
      // The kernel would write past the end of the argument, and only here is it known that it may.
      if (ArrayBuffer.isView(argument)) refuseOversized(request, argument);
      return addon.ioctl(fd, request, argument);
    },
    ioctlMany(fd, request, structs, results) {
      if (ArrayBuffer.isView(structs) && ArrayBuffer.isView(results)) refuseOversizedMany(request, structs, results.length);
      return addon.ioctlMany(fd, request, structs, results);
    },
    // What is no system call rejects.
    async ioctlAsync(fd, request, argument, holding) {
      if (ArrayBuffer.isView(argument)) refuseOversized(request, argument);
      return addon.ioctlAsync(fd, request, argument, holding);
    },
    read: addon.read,
    write: addon.write,
    pread: addon.pread,
    pwrite: addon.pwrite,
    mmap(fd, length, protection, flags, offset, node) {
      const handle = addon.mmap(fd, length, protection, flags, offset, node);
      return typeof handle === 'number' ? handle : new NativeMapping(addon, handle, length, protection);
    },
    memfd: addon.memfd,
    eventfd: addon.eventfd,
    addressOf: addon.addressOf,
    watch: (fd, ready) => watching(addon.watch(fd, ready)),
    watchCount: (fd, ready) => watching(addon.watchCount(fd, ready)),
    files: realFiles,
  };
}

/** The fast accessor has no fences: it is for processors that keep the order of accesses to memory and to devices themselves. */
const keepsOrder = process.arch === 'x64';

/** Everything but the length is private or behind a getter, so that printing one reads neither memory nor registers. */
class NativeMapping implements Mapping {
  readonly length: number;
  readonly #addon: Addon;
  readonly #handle: MappingHandle;
  readonly #memory: ArrayBuffer | undefined;
  readonly #mmio: Mmio;
  /** No protection that JavaScript could fault on. */
  readonly #readWrite: boolean;
  #fastMmio: Mmio | undefined;

  constructor(addon: Addon, handle: MappingHandle, length: number, protection: number) {
    this.length = length;
    this.#addon = addon;
    this.#handle = handle;
    this.#mmio = new NativeMmio(addon, handle);
    const all = PROT_READ | PROT_WRITE;
    this.#readWrite = (protection & all) === all;
    try {
      this.#memory = addon.mappingMemory(handle);
    } catch (error) {
      // Longer than this engine's longest ArrayBuffer.
      addon.unmap(handle);
      throw error;
    }
  }

  get memory(): ArrayBuffer | undefined {
    return this.#memory;
  }

  get mmio(): Mmio {
    return this.#mmio;
  }

  get fastMmio(): Mmio {
    this.#fastMmio ??=
      this.#readWrite && keepsOrder && this.length <= FastMmio.mostBytes
        ? new FastMmio(this.#addon.mappingRegisters(this.#handle), this.#mmio)
        : this.#mmio;
    return this.#fastMmio;
  }

  async populate(): Promise<number> {
    return this.#addon.populateAsync(this.#handle);
  }

  unmap(): void {
    check(this.#addon.unmap(this.#handle), { syscall: 'munmap' });
  }
}

class NativeMmio implements Mmio {
  readonly #addon: Addon;
  readonly #handle: MappingHandle;

  constructor(addon: Addon, handle: MappingHandle) {
    this.#addon = addon;
    this.#handle = handle;
  }

  read8(offset: number): number {
    return this.#addon.mmioRead8(this.#handle, offset);
  }
  read16(offset: number): number {
    return this.#addon.mmioRead16(this.#handle, offset);
  }
  read32(offset: number): number {
    return this.#addon.mmioRead32(this.#handle, offset);
  }
  read64(offset: number): bigint {
    return this.#addon.mmioRead64(this.#handle, offset);
  }
  write8(offset: number, value: number): void {
    this.#addon.mmioWrite8(this.#handle, offset, value);
  }
  write16(offset: number, value: number): void {
    this.#addon.mmioWrite16(this.#handle, offset, value);
  }
  write32(offset: number, value: number): void {
    this.#addon.mmioWrite32(this.#handle, offset, value);
  }
  write64(offset: number, value: bigint): void {
    this.#addon.mmioWrite64(this.#handle, offset, value);
  }
  readRange(offset: number, into: RegisterValues): void {
    this.#addon.mmioReadRange(this.#handle, offset, into);
  }
  writeList(offsets: Uint32Array, values: RegisterValues): void {
    this.#addon.mmioWriteList(this.#handle, offsets, values);
  }
  poll8(offset: number, { mask, wanted, timeoutMilliseconds }: Poll<number>): number | undefined {
    return this.#addon.mmioPoll8(this.#handle, offset, mask, wanted, timeoutMilliseconds);
  }
  poll16(offset: number, { mask, wanted, timeoutMilliseconds }: Poll<number>): number | undefined {
    return this.#addon.mmioPoll16(this.#handle, offset, mask, wanted, timeoutMilliseconds);
  }
  poll32(offset: number, { mask, wanted, timeoutMilliseconds }: Poll<number>): number | undefined {
    return this.#addon.mmioPoll32(this.#handle, offset, mask, wanted, timeoutMilliseconds);
  }
  poll64(offset: number, { mask, wanted, timeoutMilliseconds }: Poll<bigint>): bigint | undefined {
    return this.#addon.mmioPoll64(this.#handle, offset, mask, wanted, timeoutMilliseconds);
  }
}

class NativeWatch implements Watch {
  readonly #addon: Addon;
  readonly #handle: WatchHandle;

  constructor(addon: Addon, handle: WatchHandle) {
    this.#addon = addon;
    this.#handle = handle;
  }

  ref(): void {
    this.#addon.watchRef(this.#handle);
  }
  unref(): void {
    this.#addon.watchUnref(this.#handle);
  }
  stop(): void {
    this.#addon.watchStop(this.#handle);
  }
}

function load(): Addon {
  if (process.platform !== 'linux') {
    const message = `The real kernel is Linux's; this is ${process.platform}. The simulated one works here: import { Machine } from 'vfio/sim'.`;
    throw new CodedError('ERR_VFIO_PLATFORM', message);
  }
  const require = createRequire(import.meta.url);
  const root = fileURLToPath(new URL('../../', import.meta.url));
  // A path to another build of the addon: how the tests are run with the sanitizers' one.
  const chosen = process.env['VFIO_ADDON'];
  try {
    if (chosen !== undefined) return require(path.resolve(chosen)) as Addon;
    return (require('node-gyp-build') as (folder: string) => Addon)(root);
  } catch (error) {
    const tried = chosen === undefined ? `${root}build/Release and ${root}prebuilds` : `${chosen} (from VFIO_ADDON)`;
    throw new CodedError('ERR_VFIO_ADDON', help(tried, error), { cause: error });
  }
}

function help(tried: string, error: unknown): string {
  const reason = error instanceof Error ? error.message.trim().split('\n')[0] : String(error);
  const { code } = error as { readonly code?: unknown };
  if (code === 'ERR_DLOPEN_DISABLED' || code === 'ERR_ACCESS_DENIED')
    return `Node was started with --permission, which keeps the addon from being loaded: add --allow-addons, and --allow-fs-read for ${tried}. ${reason}`;
  return [
    `The addon that makes the system calls did not load. ${reason}`,
    `  Tried:          ${tried}`,
    '  To build it:    npm rebuild vfio --foreground-scripts (in a checkout of vfio: npm run install)',
    '  It needs:       a C++ compiler, make and Python; on Debian: apt-get install build-essential python3',
    "                  Node's headers: those installed with it, those in npm_config_nodedir, or fetched from nodejs.org",
    '  npm 12 blocks install scripts until they are approved: npm install-scripts approve vfio, then build it',
    "  The simulated kernel needs none of this: import { Machine } from 'vfio/sim'",
  ].join('\n');
}
