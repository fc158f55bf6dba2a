/**
 * Not a dependency of this package, as its build fails with the headers of today's Node unless errors are made warnings:
 *
 *     CXXFLAGS='-fpermissive -w' npm install --no-save ffi-napi ref-napi
 */
import { promisify } from 'node:util';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';
import type { Other } from './other.js';

/** What is used of ffi-napi, which has no types of its own. */
interface FfiNapi {
  Library<Name extends string>(
    path: null,
    functions: Readonly<Record<Name, readonly [result: string, parameters: readonly string[]]>>,
  ): Readonly<Record<Name, ForeignFunction>>;
}
/** Pointers are Buffers. */
interface ForeignFunction {
  (...parameters: unknown[]): number;
  async(...parametersAndCallback: unknown[]): void;
}
interface RefNapi {
  readonly NULL: Buffer;
  address(memory: Uint8Array): number;
  reinterpret(pointer: unknown, length: number): Buffer;
  readUInt64LE(memory: Buffer, offset: number): number | string;
  writeUInt64LE(memory: Buffer, offset: number, value: number): void;
}

/** A package of CommonJS, if it is installed. */
async function installed<Package>(name: string): Promise<Package | undefined> {
  try {
    return ((await import(name)) as { default: Package }).default;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

function through(ffi: FfiNapi, ref: RefNapi): Other {
  const c = ffi.Library(null, {
    close: ['int', ['int']],
    // Of 32 bits, which is faster, as a request has no more.
    ioctl: ['int', ['int', 'uint32', 'pointer']],
    read: ['long', ['int', 'pointer', 'size_t']],
    mmap: ['pointer', ['pointer', 'size_t', 'int', 'int', 'int', 'long']],
  });
  const page = ref.reinterpret(c.mmap(ref.NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
  const readAsync = promisify<number, Uint8Array, number, unknown>(c.read.async);
  return {
    addressOf: ref.address,
    close: c.close,
    ioctl: c.ioctl,
    readAsync: (fd, bytes) => readAsync(fd, bytes, bytes.length),
    // Of 32 bits there is only what Buffer has, which is four accesses of a byte.
    register: (offset) => ({
      read64: () => ref.readUInt64LE(page, offset),
      write64: (value) => ref.writeUInt64LE(page, offset, value),
    }),
  };
}

const [ffi, ref] = [await installed<FfiNapi>('ffi-napi'), await installed<RefNapi>('ref-napi')];
export const ffiNapi = ffi && ref && through(ffi, ref);
