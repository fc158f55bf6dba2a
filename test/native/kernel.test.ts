import { ftruncateSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { VFIO_DEVICE_GET_INFO, VFIO_GROUP_SET_CONTAINER } from '../../lib/abi/index.js';
import type { Mapping, Watch } from '../../lib/kernel/kernel.js';
import { native } from '../../lib/kernel/native.js';
import {
  ANONYMOUS,
  close,
  EBADF,
  EFD_NONBLOCK,
  ENOENT,
  expectNothingHeldSince,
  held,
  MAP_SHARED,
  PAGE,
  PROT_READ,
  READ_WRITE,
  scratchFile,
} from './support.js';

const before = held();
const folder = mkdtempSync(path.join(tmpdir(), 'native-'));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await expectNothingHeldSince(before);
});

const kernel = native();
const map = (...values: Parameters<typeof kernel.mmap>): Mapping => {
  const mapping = kernel.mmap(...values);
  if (typeof mapping === 'number') throw new Error(`mmap answered ${mapping}`);
  return mapping;
};

describe('the real kernel', () => {
  it('is the same object each time', () => {
    expect(native()).toBe(kernel);
  });

  it('answers numbers', () => {
    expect(kernel.open('/nowhere', 0)).toBe(ENOENT);
    const fd = kernel.eventfd(5, EFD_NONBLOCK);
    const count = new BigUint64Array(1);
    expect(kernel.read(fd, new Uint8Array(count.buffer))).toBe(8);
    expect(count[0]).toBe(5n);
    expect(kernel.close(fd)).toBe(0);
    expect(kernel.close(fd)).toBe(EBADF);
  });
});

describe('ioctl', () => {
  const { number } = VFIO_DEVICE_GET_INFO;
  const argument = (length: number, argsz: number, offset = 0): Uint8Array => {
    const bytes = new Uint8Array(new ArrayBuffer(length + offset), offset);
    new DataView(bytes.buffer).setUint32(offset, argsz, true);
    return bytes;
  };

  it('an argsz larger than the buffer never reaches the kernel, which would write past its end', () => {
    const message = 'Expected an argsz of at most 24 bytes, the size of the buffer, for VFIO_DEVICE_GET_INFO but received';
    expect(() => kernel.ioctl(1_000_000, number, argument(24, 25))).toThrow(new RangeError(`${message} 25`));
    expect(() => kernel.ioctl(1_000_000, number, argument(24, 0xffff_ffff, 3))).toThrow(new RangeError(`${message} 4294967295`));
    const elsewhere = runInNewContext('new Uint8Array(24).fill(255)') as Uint8Array;
    expect(() => kernel.ioctl(1_000_000, number, elsewhere)).toThrow(RangeError);
  });

  it('any other one does', () => {
    expect(kernel.ioctl(1_000_000, number, argument(24, 24))).toBe(EBADF);
    expect(kernel.ioctl(1_000_000, number, argument(24, 0, 1))).toBe(EBADF);
    // The first word is an fd here.
    expect(kernel.ioctl(1_000_000, VFIO_GROUP_SET_CONTAINER.number, argument(4, 100))).toBe(EBADF);
  });
});

describe('mmap', () => {
  it('memory of this process is an ArrayBuffer, which unmap detaches', () => {
    const mapping = map(-1, PAGE, READ_WRITE, ANONYMOUS, 0);
    const { memory, mmio } = mapping;
    expect(memory?.byteLength).toBe(PAGE);
    expect(mapping.memory).toBe(memory);
    mmio.write32(8, 0x1234_5678);
    expect(new Uint32Array(memory!)[2]).toBe(0x1234_5678);
    mapping.unmap();
    mapping.unmap();
    expect(mapping.memory).toBe(memory);
    expect(memory?.byteLength).toBe(0);
    expect(() => mmio.read8(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });

  it('a file, or memory with less than both protections, has registers only', () => {
    const fd = scratchFile(PAGE);
    for (const mapping of [map(fd, PAGE, READ_WRITE, MAP_SHARED, 0), map(-1, PAGE, PROT_READ, ANONYMOUS, 0)]) {
      expect(mapping.memory).toBeUndefined();
      expect(mapping.length).toBe(PAGE);
      expect(mapping.mmio.read64(PAGE - 8)).toBe(0n);
      mapping.unmap();
    }
    close(fd);
  });

  it('every width reaches its own bytes', () => {
    const fd = scratchFile(PAGE);
    const mapping = map(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    const { mmio } = mapping;
    mmio.write64(0, 0x8877_6655_4433_2211n);
    expect([mmio.read8(7), mmio.read16(2), mmio.read32(4), mmio.read64(0)]).toEqual([0x88, 0x4433, 0x8877_6655, 0x8877_6655_4433_2211n]);
    mmio.write8(0, 1);
    mmio.write16(2, 2);
    mmio.write32(4, 3);
    expect(mmio.read64(0)).toBe(0x0000_0003_0002_2201n);
    mapping.unmap();
    close(fd);
  });

  it('printing one reads nothing', () => {
    const fd = scratchFile(PAGE);
    const mapping = map(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    ftruncateSync(fd, 0); // reading would fault
    const text = inspect([mapping, mapping.mmio], { depth: 9, showHidden: true });
    expect(text).toMatch(/length: 4096/);
    expect(text).not.toMatch(/ArrayBuffer|Uint8/);
    expect(() => mapping.mmio.read8(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' }));
    mapping.unmap();
    close(fd);
    const memory = map(-1, PAGE, READ_WRITE, ANONYMOUS, 0);
    expect(inspect(memory)).not.toMatch(/ArrayBuffer/);
    memory.unmap();
  });
});

describe('watch', () => {
  it('calls until stopped', async () => {
    const fd = kernel.eventfd(1, EFD_NONBLOCK);
    let calls = 0;
    const watch = kernel.watch(fd, () => (calls += 1)) as Watch;
    watch.ref();
    watch.unref();
    await vi.waitFor(() => expect(calls).toBeGreaterThan(2));
    watch.stop();
    watch.stop();
    const stopped = calls;
    await sleep(10);
    expect(calls).toBe(stopped);
    kernel.close(fd);
    expect(kernel.watch(fd, () => {})).toBe(EBADF);
  });
});

describe('files', () => {
  const { files } = kernel;
  const file = path.join(folder, 'file');

  it('are read, also those whose size is not what they say', () => {
    expect(Buffer.from(files.readFile('/proc/self/stat') as Uint8Array).toString()).toContain(String(process.pid));
    expect(Buffer.from(files.readFile('/sys/kernel/mm/transparent_hugepage/enabled') as Uint8Array).toString()).toMatch(/\[\w+\]/);
    expect(files.readFile(path.join(folder, 'absent'))).toBe(ENOENT);
    expect(files.readFile(folder)).toBe(-21);
  });

  it('are written if they exist, and neither created nor truncated', () => {
    expect(files.writeFile(file, Buffer.from('x'))).toBe(ENOENT);
    writeFileSync(file, 'hello');
    expect(files.writeFile(file, Buffer.from('j'))).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe('jello');
    expect(files.writeFile(folder, Buffer.from('x'))).toBe(-21);
  });

  it('folders, links and existence', () => {
    symlinkSync('file', path.join(folder, 'a-link'));
    expect(files.readdir(folder)).toEqual(['a-link', 'file']);
    expect(files.readdir(file)).toBe(-20);
    expect(files.readlink(path.join(folder, 'a-link'))).toBe('file');
    expect(files.readlink(file)).toBe(-22);
    expect(files.access(file)).toBe(0);
    expect(files.access(`${file}s`)).toBe(ENOENT);
  });

  it('what is no path at all throws', () => {
    expect(() => files.readFile('a\0b')).toThrow(TypeError);
    expect(() => files.access(undefined as unknown as string)).toThrow(TypeError);
  });
});

describe('where the addon cannot be had', () => {
  const platform = Object.getOwnPropertyDescriptor(process, 'platform')!;
  afterEach(() => {
    vi.unstubAllEnvs();
    Object.defineProperty(process, 'platform', platform);
  });
  const fresh = async (): Promise<() => unknown> => {
    vi.resetModules();
    return (await import('../../lib/kernel/native.js')).native;
  };

  it('importing says nothing; the first use says what was tried and what to type', async () => {
    vi.stubEnv('VFIO_ADDON', path.join(folder, 'absent.node'));
    const unbuilt = await fresh();
    expect(unbuilt).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_ADDON', cause: expect.objectContaining({ code: 'MODULE_NOT_FOUND' }) }),
    );
    expect(unbuilt).toThrow(
      /absent\.node[\s\S]*npm rebuild vfio[\s\S]*build-essential[\s\S]*npm install-scripts approve vfio[\s\S]*vfio\/sim/,
    );
    writeFileSync(path.join(folder, 'broken.node'), 'not a library');
    vi.stubEnv('VFIO_ADDON', path.join(folder, 'broken.node'));
    expect(await fresh()).toThrow(/broken\.node/);
  });

  it('another system is told about the simulated kernel', async () => {
    const elsewhere = await fresh();
    Object.defineProperty(process, 'platform', { ...platform, value: 'darwin' });
    expect(elsewhere).toThrow(
      expect.objectContaining({
        code: 'ERR_VFIO_PLATFORM',
        message: "The real kernel is Linux's; this is darwin. The simulated one works here: import { Machine } from 'vfio/sim'.",
      }),
    );
  });
});
