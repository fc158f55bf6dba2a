import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { addon, close, EAGAIN, EBADF, EFD_NONBLOCK, EINVAL, ENOENT, expectNothingHeldSince, held, modeOf, scratchFile } from './support.js';

const before = held();
const folder = mkdtempSync(path.join(tmpdir(), 'addon-'));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await expectNothingHeldSince(before);
});

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_CLOEXEC = 0o2000000;
const FIONREAD = 0x541b;
const NOT_OPEN = 1_000_000;
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('open and close', () => {
  it('open answers an fd, and close 0', () => {
    const file = path.join(folder, 'text');
    writeFileSync(file, 'hello');
    const fd = addon.open(file, 0);
    expect(fd).toBeGreaterThan(2);
    expect(addon.close(fd)).toBe(0);
    expect(addon.close(fd)).toBe(EBADF);
  });

  it('every fd is closed on exec', () => {
    for (const fd of [addon.open('/dev/null', 0), addon.eventfd(0, 0), addon.memfd('x', 0, 0)]) {
      expect(modeOf(fd) & O_CLOEXEC).toBe(O_CLOEXEC);
      addon.close(fd);
    }
  });

  it('a refusal is the negative errno', () => {
    expect(addon.open(path.join(folder, 'absent'), 0)).toBe(ENOENT);
    expect(addon.open('', 0)).toBe(ENOENT);
    expect(addon.open('a'.repeat(100_000), 0)).toBe(-36);
    expect(addon.open('/dev/null/below', 0)).toBe(-20);
  });

  it('a path is a string without zero bytes, in UTF-8', () => {
    expect(() => addon.open(5, 0)).toThrow(new TypeError('Expected a string for path but received 5'));
    expect(() => addon.open('/dev/null\0x', 0)).toThrow(RangeError);
    const fd = addon.open(path.join(folder, 'größe-漢'), O_RDWR | O_CREAT);
    expect(fd).toBeGreaterThan(2);
    addon.close(fd);
    expect(readFileSync(path.join(folder, 'größe-漢'))).toHaveLength(0);
  });
});

describe('read, write, pread, pwrite', () => {
  it('move bytes at the file position, or at an offset', () => {
    const fd = scratchFile(0);
    expect(addon.write(fd, bytes(1, 2, 3, 4))).toBe(4);
    expect(addon.pwrite(fd, bytes(9), 1)).toBe(1);
    const into = new Uint8Array(8);
    expect(addon.pread(fd, into, 0)).toBe(4);
    expect([...into]).toEqual([1, 9, 3, 4, 0, 0, 0, 0]);
    expect(addon.read(fd, into)).toBe(0);
    expect(addon.pread(fd, into, 4)).toBe(0);
    close(fd);
  });

  it('take any Uint8Array as it is: a part, a Buffer, shared memory', () => {
    const fd = scratchFile(0);
    const whole = new Uint8Array(16);
    addon.write(fd, bytes(1, 2, 3, 4));
    expect(addon.pread(fd, whole.subarray(5, 8), 0)).toBe(3);
    expect([...whole]).toEqual([0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    const buffer = Buffer.alloc(4);
    expect(addon.pread(fd, buffer, 0)).toBe(4);
    expect([...buffer]).toEqual([1, 2, 3, 4]);
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    expect(addon.pread(fd, shared, 0)).toBe(4);
    expect([...shared]).toEqual([1, 2, 3, 4]);
    expect(addon.pread(fd, new Uint8Array(0), 0)).toBe(0);
    close(fd);
  });

  it('offsets are whole numbers below 2^53', () => {
    const fd = scratchFile(8);
    expect(addon.pread(fd, new Uint8Array(1), 2 ** 53 - 1)).toBe(0);
    for (const wrong of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(() => addon.pread(fd, new Uint8Array(1), wrong)).toThrow(
        new RangeError(`Expected an integer from 0 to 9007199254740991 for offset but received ${wrong}`),
      );
    }
    for (const wrong of [0n, '0', undefined, null, {}]) expect(() => addon.pwrite(fd, new Uint8Array(1), wrong)).toThrow(TypeError);
    close(fd);
  });

  it('memory is a Uint8Array and nothing else', () => {
    const wrongs = [
      undefined,
      null,
      [1],
      new ArrayBuffer(4),
      new Uint16Array(4),
      new DataView(new ArrayBuffer(4)),
      new Uint8ClampedArray(4),
    ];
    for (const wrong of wrongs) {
      for (const call of ['read', 'write', 'pread', 'pwrite']) {
        expect(() => addon[call]!(NOT_OPEN, wrong, 0)).toThrow(/^Expected a Uint8Array for bytes but received /);
      }
    }
  });

  it('memory that was transferred away is empty', () => {
    const fd = scratchFile(8);
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    expect(addon.read(fd, gone)).toBe(0);
    close(fd);
  });
});

describe('file descriptors', () => {
  it('are integers from 0; any other value never reaches the kernel', () => {
    const expected = 'Expected an integer from 0 to 2147483647 for fd but received';
    expect(() => addon.close(-1)).toThrow(new RangeError(`${expected} -1`));
    expect(() => addon.close(2 ** 31)).toThrow(new RangeError(`${expected} 2147483648`));
    expect(() => addon.close(NaN)).toThrow(new RangeError(`${expected} NaN`));
    expect(() => addon.close('3')).toThrow(new TypeError(`${expected} '3'`));
    expect(() => addon.close(undefined)).toThrow(new TypeError(`${expected} undefined`));
    expect(() => addon.close(3n)).toThrow(new TypeError(`${expected} 3`));
    expect(() => addon.close(Symbol('x'))).toThrow(new TypeError(`${expected} a symbol`));
    expect(() => addon.close({ valueOf: () => 3 })).toThrow(new TypeError(`${expected} an object`));
  });

  it('that are not open are EBADF', () => {
    for (const call of ['read', 'write', 'pread', 'pwrite']) expect(addon[call]!(NOT_OPEN, new Uint8Array(1), 0)).toBe(EBADF);
    expect(addon.ioctl(NOT_OPEN, FIONREAD)).toBe(EBADF);
    expect(addon.mmap(NOT_OPEN, 4096, 1, 1, 0)).toBe(EBADF);
    expect(addon.watch(NOT_OPEN, () => {})).toBe(EBADF);
  });
});

describe('ioctl', () => {
  it('passes memory by address', () => {
    const fd = scratchFile(1234);
    const result = new Int32Array(1);
    expect(addon.ioctl(fd, FIONREAD, new Uint8Array(result.buffer))).toBe(0);
    expect(result[0]).toBe(1234);
    close(fd);
  });

  it('passes a number by value, and nothing as 0', () => {
    const fd = scratchFile(0);
    for (const argument of [undefined, 0, 1, 4095]) expect(addon.ioctl(fd, FIONREAD, argument)).toBe(-14);
    expect(addon.ioctl(fd, FIONREAD, Number.MAX_SAFE_INTEGER)).toBe(-14);
    expect(addon.ioctl(fd, FIONREAD, new Uint8Array(0))).toBe(-14);
    close(fd);
  });

  it('requests are 32 bits; an unknown one is ENOTTY', () => {
    const fd = scratchFile(0);
    expect(addon.ioctl(fd, 0xffff_ffff)).toBe(-25);
    expect(() => addon.ioctl(fd, 2 ** 32)).toThrow(RangeError);
    expect(() => addon.ioctl(fd, -1)).toThrow(RangeError);
    close(fd);
  });

  it('any other argument is misuse', () => {
    for (const wrong of [-1, 1.5, NaN, 2 ** 53]) expect(() => addon.ioctl(NOT_OPEN, 1, wrong)).toThrow(RangeError);
    for (const wrong of ['x', null, 1n, {}, new Uint32Array(2), true]) {
      expect(() => addon.ioctl(NOT_OPEN, 1, wrong)).toThrow(/^Expected a Uint8Array for argument but received /);
    }
  });
});

describe('ioctlMany', () => {
  it('passes each struct by address, and keeps to its own', () => {
    const fd = scratchFile(1234);
    const structs = new Int32Array(6).fill(-1);
    const results = new Int32Array(3).fill(9);
    expect(addon.ioctlMany(fd, FIONREAD, new Uint8Array(structs.buffer), results)).toBe(3);
    expect([...structs]).toEqual([1234, -1, 1234, -1, 1234, -1]);
    expect([...results]).toEqual([0, 0, 0]);
    close(fd);
  });

  it('ends at the first that fails', async () => {
    const FIOSETOWN = 0x8901;
    const server = createServer().listen(path.join(folder, 'socket'));
    await once(server, 'listening');
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const results = new Int32Array(4).fill(9);
    const owners = new Int32Array([0, 0, -(2 ** 31), 0]);
    expect(addon.ioctlMany(fd, FIOSETOWN, new Uint8Array(owners.buffer), results)).toBe(2);
    expect([...results]).toEqual([0, 0, EINVAL, 9]);
    server.close();
    await once(server, 'close');
  });

  it('takes parts of arrays, and none at all', () => {
    const fd = scratchFile(77);
    const structs = new Uint8Array(64);
    const results = new Int32Array(4);
    expect(addon.ioctlMany(fd, FIONREAD, structs.subarray(8, 24), results.subarray(1, 3))).toBe(2);
    expect([...structs].flatMap((byte, index) => (byte === 77 ? [index] : []))).toEqual([8, 16]);
    expect(addon.ioctlMany(fd, FIONREAD, new Uint8Array(0), new Int32Array(0))).toBe(0);
    expect(addon.ioctlMany(fd, FIONREAD, new Uint8Array(0), results)).toBe(0);
    expect(results[0]).toBe(-14);
    close(fd);
  });

  it('what is no list of structs is misuse', () => {
    const refuses = (structs: unknown, results: unknown) => expect(() => addon.ioctlMany(NOT_OPEN, 1, structs, results));
    for (const wrong of [undefined, 5, [], new Uint16Array(2), new ArrayBuffer(8)])
      refuses(wrong, new Int32Array(1)).toThrow(/^Expected a Uint8Array for structs but received /);
    for (const wrong of [undefined, 5, [], new Uint32Array(2), new Uint8Array(8)])
      refuses(new Uint8Array(8), wrong).toThrow(/^Expected an Int32Array for results but received /);
    refuses(new Uint8Array(33), new Int32Array(2)).toThrow(new RangeError('Expected 2 structs of one size for structs but received 33'));
    refuses(new Uint8Array(8), new Int32Array(0)).toThrow(new RangeError('Expected 0 structs of one size for structs but received 8'));
  });
});

describe('eventfd', () => {
  it('counts', () => {
    const fd = addon.eventfd(3, EFD_NONBLOCK);
    const count = new BigUint64Array(1);
    const memory = new Uint8Array(count.buffer);
    expect(addon.read(fd, memory)).toBe(8);
    expect(count[0]).toBe(3n);
    expect(addon.read(fd, memory)).toBe(EAGAIN);
    expect(addon.read(fd, new Uint8Array(7))).toBe(EINVAL);
    addon.close(fd);
  });

  it('begins at 0 to 2^32 - 1', () => {
    const fd = addon.eventfd(2 ** 32 - 1, EFD_NONBLOCK);
    const count = new BigUint64Array(1);
    addon.read(fd, new Uint8Array(count.buffer));
    expect(count[0]).toBe(0xffff_ffffn);
    addon.close(fd);
    expect(() => addon.eventfd(2 ** 32, 0)).toThrow(RangeError);
    expect(addon.eventfd(0, 0x7fff_ffff)).toBe(EINVAL);
  });
});
