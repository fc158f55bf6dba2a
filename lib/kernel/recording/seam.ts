/** Every call of a kernel as a line of a recording has it: what it was given, what came back, and how that is given back. */
import { CodedError } from '../error.js';
import type { Files, FileStatus, Kernel, Mapping, Mmio, RegisterValues, Watch } from '../kernel.js';
import { DescribedMmio, makeAccess, type RegisterAccess, type RegisterValue } from '../register-access.js';
import { packBytes, unpackBytes } from './bytes.js';
import type { Asked, Told } from './entries.js';
import type { Meeting } from './meeting.js';

/** A kernel whose every call `meeting` meets; `kernel` is asked for when one is to be made. */
export function seam(kernel: () => Kernel, meeting: Meeting): Kernel {
  const numbers = new Numbers();
  const { meet } = meeting;
  const number = (asked: Asked, make: () => number): number => meet(asked, { make, tell: (result) => ({ result }), give: resultOf });
  const filling = (asked: Asked, bytes: Uint8Array, make: () => number): number =>
    meet(asked, {
      make,
      tell: (result) => (result > 0 ? { result, bytes: packed(bytes.subarray(0, result)) } : { result }),
      give(told) {
        fill(bytes, told.bytes);
        return resultOf(told);
      },
    });
  const watch = (fd: number, counts: boolean, ready: (count: number) => void): Watch | number => {
    let id = 0;
    const call = counts ? 'watchCount' : 'watch';
    const made = meet<Watch | number>(
      { call, fd },
      {
        make: () =>
          counts
            ? kernel().watchCount(fd, (count) => meeting.came(id, count, () => ready(count)))
            : kernel().watch(fd, () => meeting.came(id, undefined, () => ready(0))),
        tell: (answer) => (typeof answer === 'number' ? { result: answer } : { made: numbers.next + 1 }),
        give: (told) => (told.made === undefined ? resultOf(told) : new ReplayedWatch()),
      },
    );
    if (typeof made === 'number') return made;
    id = numbers.take();
    meeting.watched(id, ready);
    return new SeamWatch(id, made, meeting);
  };
  return {
    open: (path, flags) => number({ call: 'open', path, flags }, () => kernel().open(path, flags)),
    close: (fd) => number({ call: 'close', fd }, () => kernel().close(fd)),
    ioctl: (fd, request, argument) =>
      meet(ioctlAsked('ioctl', fd, request, argument), {
        make: () => kernel().ioctl(fd, request, argument),
        ...structAnswer(argument),
      }),
    ioctlMany: (fd, request, structs, results) =>
      meet(
        { call: 'ioctlMany', fd, number: request, structs: packed(structs), count: results.length },
        {
          make: () => kernel().ioctlMany(fd, request, structs, results),
          tell: (result) => ({ result, answer: packed(structs), results: [...results] }),
          give(told) {
            fill(structs, told.answer);
            results.set(told.results ?? []);
            return resultOf(told);
          },
        },
      ),
    ioctlAsync: (fd, request, argument, holding) =>
      meeting.meetAsync(
        { ...ioctlAsked('ioctlAsync', fd, request, argument), ...(holding !== undefined && { holding }) },
        { make: () => kernel().ioctlAsync(fd, request, argument, holding), ...structAnswer(argument) },
      ),
    read: (fd, bytes) => filling({ call: 'read', fd, size: bytes.byteLength }, bytes, () => kernel().read(fd, bytes)),
    write: (fd, bytes) => number({ call: 'write', fd, given: packed(bytes) }, () => kernel().write(fd, bytes)),
    pread: (fd, bytes, offset) =>
      filling({ call: 'pread', fd, size: bytes.byteLength, offset }, bytes, () => kernel().pread(fd, bytes, offset)),
    pwrite: (fd, bytes, offset) => number({ call: 'pwrite', fd, given: packed(bytes), offset }, () => kernel().pwrite(fd, bytes, offset)),
    mmap(fd, size, protection, flags, offset, node) {
      const asked = { call: 'mmap', fd, size, protection, flags, offset, ...(node !== undefined && { node }) };
      const made = meet<Mapping | number>(asked, {
        make: () => kernel().mmap(fd, size, protection, flags, offset, node),
        tell: (answer) =>
          typeof answer === 'number'
            ? { result: answer }
            : { made: numbers.next + 1, length: answer.length, isMemory: answer.memory !== undefined },
        give: (told) => (told.made === undefined ? resultOf(told) : new ReplayedMapping(told.length ?? 0, told.isMemory === true)),
      });
      return typeof made === 'number' ? made : new SeamMapping(numbers, made, meeting);
    },
    memfd: (path, size, flags) => number({ call: 'memfd', path, size, flags }, () => kernel().memfd(path, size, flags)),
    eventfd: (initial, flags) => number({ call: 'eventfd', initial, flags }, () => kernel().eventfd(initial, flags)),
    addressOf(memory) {
      const known = numbers.of(memory);
      const of = known ?? numbers.take(memory);
      const address = meet(
        { call: 'addressOf', of, size: memory.byteLength },
        {
          make: () => kernel().addressOf(memory),
          tell: (answer) => ({ address: hexadecimal(answer) }),
          give: (told) => BigInt(told.address ?? 0),
        },
      );
      if (known === undefined) meeting.pointedTo(of, memory);
      return address;
    },
    watch: (fd, ready) => watch(fd, false, ready),
    watchCount: (fd, ready) => watch(fd, true, ready),
    files: filesSeam(() => kernel().files, meeting, number),
  };
}

/** The numbers that memory, mappings and watches have in a recording, in the order in which they came up. */
class Numbers {
  readonly #known = new WeakMap<ArrayBuffer, number>();
  next = 0;

  of(memory: ArrayBuffer): number | undefined {
    return this.#known.get(memory);
  }

  take(memory?: ArrayBuffer): number {
    this.next += 1;
    if (memory !== undefined) this.#known.set(memory, this.next);
    return this.next;
  }
}

function ioctlAsked(call: string, fd: number, request: number, argument: number | Uint8Array | undefined): Asked {
  return {
    call,
    fd,
    number: request,
    ...(argument !== undefined && { argument: typeof argument === 'number' ? argument : packed(argument) }),
  };
}

/** An ioctl's result, and what its struct became if that changed. */
function structAnswer(argument: number | Uint8Array | undefined): { tell(result: number): Told; give(told: Told): number } {
  const now = (): string => (typeof argument === 'object' ? packed(argument) : '');
  const before = now();
  return {
    tell(result) {
      const answer = now();
      return answer === before ? { result } : { result, answer };
    },
    give(told) {
      if (typeof argument === 'object') fill(argument, told.answer);
      return resultOf(told);
    },
  };
}

function filesSeam(files: () => Files, { meet }: Meeting, number: (asked: Asked, make: () => number) => number): Files {
  const reading = <T extends object | string>(
    asked: Asked,
    make: () => T | number,
    tell: (answer: T) => Told,
    give: (told: Told) => T | undefined,
  ): T | number =>
    meet<T | number>(asked, {
      make,
      tell: (answer) => (typeof answer === 'number' ? { result: answer } : tell(answer)),
      give: (told) => give(told) ?? resultOf(told),
    });
  return {
    readFile: (path) => reading({ call: 'readFile', path }, () => files().readFile(path), fileTold, fileGiven),
    writeFile: (path, bytes) => number({ call: 'writeFile', path, given: packed(bytes) }, () => files().writeFile(path, bytes)),
    readdir: (path) =>
      reading<string[]>(
        { call: 'readdir', path },
        () => files().readdir(path),
        (names) => ({ names }),
        ({ names }) => names && [...names],
      ),
    readlink: (path) =>
      reading<string>(
        { call: 'readlink', path },
        () => files().readlink(path),
        (target) => ({ target }),
        ({ target }) => target,
      ),
    access: (path) => number({ call: 'access', path }, () => files().access(path)),
    stat: (path) =>
      reading<FileStatus>(
        { call: 'stat', path },
        () => files().stat(path),
        (status) => ({ status }),
        ({ status }) => status,
      ),
    chmod: (path, mode) => number({ call: 'chmod', path, mode }, () => files().chmod(path, mode)),
    chown: (path, user, group) => number({ call: 'chown', path, user, group }, () => files().chown(path, user, group)),
  };
}

/** A file that is printable text as it is. */
function fileTold(bytes: Uint8Array): Told {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return /^[\t\n -~]*$/.test(text) ? { text } : { bytes: packBytes(bytes) };
}

function fileGiven({ text, bytes }: Told): Uint8Array | undefined {
  if (text !== undefined) return new TextEncoder().encode(text);
  return bytes === undefined ? undefined : unpackBytes(bytes);
}

/** A mapping whose accesses and end are met. */
class SeamMapping implements Mapping {
  readonly length: number;
  readonly mmio: Mmio;
  readonly fastMmio: Mmio;
  readonly #id: number;
  readonly #mapping: Mapping;
  readonly #meeting: Meeting;

  constructor(numbers: Numbers, mapping: Mapping, meeting: Meeting) {
    const { memory } = mapping;
    this.length = mapping.length;
    this.#mapping = mapping;
    this.#meeting = meeting;
    this.#id = numbers.take(memory);
    this.mmio = new DescribedMmio((access) => this.#access(() => mapping.mmio, access));
    this.fastMmio = new DescribedMmio((access) => this.#access(() => mapping.fastMmio, access));
    if (memory !== undefined) meeting.mapped(this.#id, memory);
  }

  get memory(): ArrayBuffer | undefined {
    return this.#mapping.memory;
  }

  async populate(): Promise<number> {
    return this.#meeting.meetAsync(
      { call: 'populate', mapping: this.#id },
      { make: () => this.#mapping.populate(), tell: (result) => ({ result }), give: resultOf },
    );
  }

  unmap(): void {
    const end = (): void => {
      this.#meeting.unmapped(this.#id);
      this.#mapping.unmap();
    };
    this.#meeting.meet({ call: 'munmap', mapping: this.#id }, { make: end, tell: () => ({}), give: end });
  }

  #access(mmio: () => Mmio, access: RegisterAccess): RegisterValue {
    const { name, offset, value, into, offsets, values, poll } = access;
    const asked = {
      call: name,
      mapping: this.#id,
      ...(offset !== undefined && { offset }),
      ...(value !== undefined && { value: plainValue(value) }),
      ...(into && { width: into.BYTES_PER_ELEMENT, count: into.length }),
      ...(offsets && values && { offsets: [...offsets], width: values.BYTES_PER_ELEMENT, values: packed(bytesOf(values)) }),
      ...(poll && { ...poll, mask: plainValue(poll.mask), wanted: plainValue(poll.wanted) }),
    };
    return this.#meeting.meet<RegisterValue>(asked, {
      make: () => makeAccess(mmio(), access),
      tell: (read) => ({ ...(read !== undefined && { read: plainValue(read) }), ...(into && { bytes: packed(bytesOf(into)) }) }),
      give({ read, bytes }) {
        if (into !== undefined) fill(bytesOf(into), bytes);
        return typeof read === 'string' && name.endsWith('64') ? BigInt(read) : (read as RegisterValue);
      },
    });
  }
}

class SeamWatch implements Watch {
  readonly #id: number;
  readonly #watch: Watch;
  readonly #meeting: Meeting;

  constructor(id: number, watch: Watch, meeting: Meeting) {
    this.#id = id;
    this.#watch = watch;
    this.#meeting = meeting;
  }

  ref(): void {
    this.#watch.ref();
  }
  unref(): void {
    this.#watch.unref();
  }
  stop(): void {
    const end = (): void => this.#watch.stop();
    this.#meeting.meet({ call: 'unwatch', watch: this.#id }, { make: end, tell: () => ({}), give: end });
  }
}

/** A mapping of which there are only the bytes, if it is memory. */
class ReplayedMapping implements Mapping {
  readonly length: number;
  #memory: ArrayBuffer | undefined;
  #mapped = true;

  constructor(length: number, isMemory: boolean) {
    this.length = length;
    this.#memory = isMemory ? new ArrayBuffer(length) : undefined;
  }

  get memory(): ArrayBuffer | undefined {
    return this.#memory;
  }
  get mmio(): Mmio {
    return unreachable();
  }
  get fastMmio(): Mmio {
    return unreachable();
  }
  populate(): Promise<number> {
    return unreachable();
  }
  unmap(): void {
    if (this.#mapped && this.#memory !== undefined) structuredClone(this.#memory, { transfer: [this.#memory] });
    this.#mapped = false;
  }
}

/** Keeps the process alive as a watch does; who calls back is the recording. */
class ReplayedWatch implements Watch {
  #alive: NodeJS.Timeout | undefined;

  ref(): void {
    // Nothing but a handle keeps Node's loop alive; the longest timer there is stands in for one.
    this.#alive ??= setInterval(() => {}, 0x7fff_ffff);
  }
  unref(): void {
    clearInterval(this.#alive);
    this.#alive = undefined;
  }
  stop(): void {
    this.unref();
  }
}

/** What a recording answers is never asked of what stands in for it. */
function unreachable(): never {
  throw new CodedError('ERR_VFIO_DEPARTED', 'A recording has no kernel');
}

function resultOf({ result }: Told): number {
  return result ?? 0;
}

function bytesOf({ buffer, byteOffset, byteLength }: RegisterValues): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** What is no memory was misuse, and the kernel's to say so. */
function packed(bytes: Uint8Array): string {
  return bytes instanceof Uint8Array ? packBytes(bytes) : `${String(bytes)}:`;
}

function fill(bytes: Uint8Array, text: unknown): void {
  if (typeof text === 'string' && bytes.byteLength > 0) bytes.set(unpackBytes(text).subarray(0, bytes.byteLength));
}

function plainValue(value: number | bigint): number | string {
  return typeof value === 'bigint' ? hexadecimal(value) : value;
}

function hexadecimal(value: bigint): string {
  return `0x${value.toString(16)}`;
}
