/**
 * The seam. Above it, typed calls; below it, a kernel: numbers and bytes go down, a number comes back.
 *
 * The conventions are Linux's own: a result `>= 0` is success, a negative one is `-errno`. Nothing here throws for what
 * a kernel answers; an exception means the *caller* passed something that is not even a system call (a string for a
 * file descriptor, an argument shorter than its own size word). `check()` in `error.ts` turns results into errors.
 */
export interface Kernel {
  /** open(2). `O_CLOEXEC` is always added. */
  open(path: string, flags: number): number;
  close(fd: number): number;
  /**
   * ioctl(2). `argument` is what the third argument of the C call would be: a number by value, or the memory that a
   * pointer would point to. Absent means 0, which is also the null pointer.
   */
  ioctl(fd: number, request: number, argument?: number | Uint8Array): number;
  /**
   * ioctl(2) again and again, in one crossing: the same request on each of the structs in `structs`, one behind the other, as
   * many as `results` has elements, until one fails. What each answered is put into `results`. Returns how many succeeded: if
   * that is less than all, the next of `results` is the -errno of the one that failed, and those behind it were not made.
   */
  ioctlMany(fd: number, request: number, structs: Uint8Array, results: Int32Array): number;
  /**
   * ioctl(2) on another thread, for one that takes long: the event loop goes on meanwhile. The kernel works on a copy of the
   * struct, which is put back into `argument` at the end unless that is detached by then; what the struct points to has to stay
   * until then. `fd` may be closed meanwhile: the file stays open until the end, and that of `holding` with it.
   */
  ioctlAsync(fd: number, request: number, argument: Uint8Array, holding?: number): Promise<number>;
  read(fd: number, bytes: Uint8Array): number;
  write(fd: number, bytes: Uint8Array): number;
  /** pread64(2). `offset` is below 2^53: a VFIO region starts at `index << 40`. */
  pread(fd: number, bytes: Uint8Array, offset: number): number;
  pwrite(fd: number, bytes: Uint8Array, offset: number): number;
  /**
   * mmap(2) at an address of the kernel's choice. `fd` -1 with `MAP_ANONYMOUS` is memory of this process. With
   * `MAP_POPULATE`, memory whose pages cannot be had is -ENOMEM. With `node`, its pages come from that NUMA node alone
   * (mbind(2)); to populate those takes Linux 5.14.
   */
  mmap(fd: number, length: number, protection: number, flags: number, offset: number, node?: number): Mapping | number;
  /**
   * memfd_create(2), and ftruncate(2) to `size` bytes of zero: memory that has an fd, for other threads, processes and
   * kernels' requests to share. `MFD_CLOEXEC` is always added. With `MFD_ALLOW_SEALING`, its size is sealed.
   */
  memfd(name: string, size: number, flags: number): number;
  /** eventfd(2). `EFD_CLOEXEC` is always added. */
  eventfd(initial: number, flags: number): number;
  /** Where this kernel sees the first byte of `memory`: the value for a `vaddr` or any other pointer field. */
  addressOf(memory: ArrayBuffer): bigint;
  /**
   * Calls `ready` from the event loop while `fd` is readable (level-triggered: read it, or be called again), until
   * `stop()`. Starts unreferenced: it keeps the process alive only between `ref()` and `unref()`.
   */
  watch(fd: number, ready: () => void): Watch | number;
  /**
   * The same for an eventfd, made with `EFD_NONBLOCK`, that is read before each call: `ready` gets its count, at least 1.
   * It is not called if somebody else has read the eventfd first.
   */
  watchCount(fd: number, ready: (count: number) => void): Watch | number;
  /** The files of this kernel's machine that are not devices: sysfs and procfs. */
  readonly files: Files;
}

/** One mmap. Every access is checked: after `unmap()` all of them throw, and none can fault. */
export interface Mapping {
  /** Bytes. */
  readonly length: number;
  /**
   * The bytes themselves, for memory to read and write: of this process, or of a memfd whose size is sealed, mapped shared.
   * `undefined` for a file that could become shorter, or a device. Detached by `unmap()`.
   */
  readonly memory: ArrayBuffer | undefined;
  /** Register access to the mapping, one bus access of exactly the given width per call. */
  readonly mmio: Mmio;
  /**
   * The same several times as fast. On the real kernel an access that the hardware refuses **ends the process**, with SIGBUS:
   * there is nothing in between that could catch it. The batch forms are those of `mmio`, and throw. Where the mapping cannot be
   * both read and written, is of 4 GiB or more, or the processor is not an x64, it is `mmio`.
   */
  readonly fastMmio: Mmio;
  /**
   * Has all pages of `memory` there, so that neither touching nor pinning them takes long: madvise(2) with MADV_POPULATE_WRITE, on
   * another thread and of a few pages at a time. 0, also where `unmap()` ended it; -ENOMEM where they cannot be had; -EINVAL before
   * Linux 5.14. @throws TypeError when there is no `memory`.
   */
  populate(): Promise<number>;
  /** munmap(2). Twice is once. */
  unmap(): void;
}

/**
 * Register access. Offsets are bytes and multiples of the width; values are unsigned and in the byte order of the
 * device's bus as the processor sees it (little-endian on every machine this runs on).
 * An access the hardware refuses (memory decode off, device gone) throws an error with `code` 'ERR_VFIO_BUS_FAULT'.
 */
export interface Mmio {
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  read64(offset: number): bigint;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  write64(offset: number, value: bigint): void;
  /**
   * Fills `into` with the registers side by side from `offset` on, in ascending order: one access each, as wide as an
   * element. Nothing is read if one of them is outside. After a fault, those before it are in `into`.
   */
  readRange(offset: number, into: RegisterValues): void;
  /**
   * Writes each of `values` at the offset of the same index, in this order: one access each, as wide as an element of
   * `values`. Nothing is written if one of them is outside. After a fault, those before it are written.
   */
  writeList(offsets: Uint32Array, values: RegisterValues): void;
  /**
   * Reads the register until `(value & mask) === wanted`.
   * @returns the value that matched, or `undefined` if time ran out; what was read last came after that.
   */
  poll8(offset: number, poll: Poll<number>): number | undefined;
  poll16(offset: number, poll: Poll<number>): number | undefined;
  poll32(offset: number, poll: Poll<number>): number | undefined;
  poll64(offset: number, poll: Poll<bigint>): bigint | undefined;
}

/** Values of several registers. How wide its elements are says how wide each access is. */
export type RegisterValues = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** What a register is polled for, and how long. */
export interface Poll<Value extends number | bigint> {
  readonly mask: Value;
  /** No bits but those of `mask`. */
  readonly wanted: Value;
  /** From 0, which is one read, to 1000; in fractions too. Nothing else of the thread runs meanwhile. */
  readonly timeoutMilliseconds: number;
}

export interface Watch {
  ref(): void;
  unref(): void;
  /** No call of `ready` begins after this returns. Twice is once. The fd may be closed before or after. */
  stop(): void;
}

/** Small text files and links, synchronously. Results follow the seam: an answer, or `-errno`. */
export interface Files {
  readFile(path: string): Uint8Array | number;
  writeFile(path: string, bytes: Uint8Array): number;
  readdir(path: string): string[] | number;
  readlink(path: string): string | number;
  /** 0 if there is something at `path`. */
  access(path: string): number;
  /** What is at `path`, behind links. */
  stat(path: string): FileStatus | number;
  /** chmod(2): who may do what, 0 to 0o7777. */
  chmod(path: string, mode: number): number;
  /** chown(2), by numbers; -1 leaves one as it is. */
  chown(path: string, user: number, group: number): number;
}

/** What stat(2) says that this package asks for. */
export interface FileStatus {
  readonly kind: 'file' | 'folder' | 'character-device' | 'block-device';
  /** Who may do what: 0 to 0o7777. */
  readonly mode: number;
  readonly user: number;
  readonly group: number;
  /** Of a device, its two numbers as `dev` in sysfs has them: '10:196'. */
  readonly device?: string;
}
