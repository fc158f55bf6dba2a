import { promisify } from 'node:util';
import { address, decode, encode, load, node } from 'koffi';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';
import type { Other, Register } from './other.js';

interface Koffi extends Other {
  read(fd: number, bytes: Uint8Array): number;
  register(offset: number): Required<Register>;
  /** Calls back from the event loop while `fd` is readable. */
  poll(fd: number, ready: () => void): { close(): void };
}

const c = load(null);
const read = c.func('long read(int fd, void *bytes, size_t size)');
const readAsync = promisify(read.async);
const mmap = c.func('uintptr_t mmap(void *address, size_t length, int protection, int flags, int fd, long offset)');
const page = BigInt(mmap(null, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
const { uint32, uint64 } = decode;

export const koffi: Koffi = {
  addressOf: address,
  close: c.func('int close(int fd)'),
  // As it is called here. With the `...` of its prototype, each call would name its types, and koffi look them up.
  ioctl: c.func('int ioctl(int fd, unsigned long request, void *argument)'),
  read: (fd, bytes) => read(fd, bytes, bytes.length),
  readAsync: (fd, bytes) => readAsync(fd, bytes, bytes.length),
  /**
   * Not through koffi.view(), an ArrayBuffer over the registers: what JavaScript does with one is no register access, as V8 may
   * leave it out, repeat it, or make several of it. These copy as many bytes as the type has, which is one access as compilers do it.
   */
  register(offset) {
    const at = page + BigInt(offset);
    return {
      read32: () => uint32(at),
      read64: () => uint64(at),
      // There is no encode.uint32(), and a type's name is faster than its object.
      write32: (value) => encode(at, 'uint32_t', value),
      write64: (value) => encode(at, 'uint64_t', value),
    };
  },
  poll: (fd, ready) => node.poll(fd, ready),
};
