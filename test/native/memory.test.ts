import { readFileSync, truncateSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import {
  addon,
  ANONYMOUS,
  close,
  collect,
  EBADF,
  EINVAL,
  expectNothingHeldSince,
  held,
  inWorker,
  MAP_SHARED,
  PAGE,
  PROT_READ,
  PROT_WRITE,
  READ_WRITE,
  scratchFile,
} from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const MAP_NORESERVE = 0x4000;
const MAP_POPULATE = 0x8000;
const MAP_PRIVATE = 2;
const MFD_ALLOW_SEALING = 2;
const EPERM = -1;

const anonymous = (length: number): any => addon.mmap(-1, length, READ_WRITE, ANONYMOUS, 0);

const lines = (): string[] => readFileSync('/proc/self/maps', 'latin1').trim().split('\n');
const areas = (): number => lines().length;

/** The area of this process's memory that holds `address`. */
function area(address: bigint): string | undefined {
  return lines().find((line) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    return BigInt(`0x${from}`) <= address && address < BigInt(`0x${to}`);
  });
}

describe('mmap', () => {
  it('a refusal is the negative errno', () => {
    expect(addon.mmap(-1, 0, READ_WRITE, ANONYMOUS, 0)).toBe(EINVAL);
    expect(addon.mmap(-1, PAGE, READ_WRITE, MAP_SHARED, 0)).toBe(EBADF);
    expect(addon.mmap(-1, 2 ** 47, READ_WRITE, ANONYMOUS, 0)).toBe(-12);
    const fd = scratchFile(PAGE);
    expect(addon.mmap(fd, PAGE, PROT_READ, MAP_SHARED, 1)).toBe(EINVAL);
    close(fd);
  });

  it('arguments have their ranges', () => {
    expect(() => addon.mmap(-2, PAGE, 3, ANONYMOUS, 0)).toThrow(
      new RangeError('Expected an integer from -1 to 2147483647 for fd but received -2'),
    );
    expect(() => addon.mmap(-1, 2 ** 47 + 1, 3, ANONYMOUS, 0)).toThrow(/for length but received 140737488355329$/);
    expect(() => addon.mmap(-1, -1, 3, ANONYMOUS, 0)).toThrow(RangeError);
    expect(() => addon.mmap(-1, PAGE, -1, ANONYMOUS, 0)).toThrow(RangeError);
    expect(() => addon.mmap(-1, PAGE, 3, ANONYMOUS, 0.5)).toThrow(RangeError);
    expect(() => addon.mmap(-1, PAGE, 3, ANONYMOUS)).toThrow(TypeError);
  });

  it('takes pages from the NUMA node it is told, if there is one', () => {
    const mapping = addon.mmap(-1, 4 * PAGE, READ_WRITE, ANONYMOUS | MAP_POPULATE, 0, 0);
    new Uint8Array(addon.mappingMemory(mapping)).fill(1);
    expect(addon.unmap(mapping)).toBe(0);
    expect(addon.mmap(-1, PAGE, READ_WRITE, ANONYMOUS, 0, 1023)).toBe(EINVAL);
    expect(() => addon.mmap(-1, PAGE, READ_WRITE, ANONYMOUS, 0, 1024)).toThrow(
      'Expected an integer from 0 to 1023 for node but received 1024',
    );
    expect(() => addon.mmap(-1, PAGE, READ_WRITE, ANONYMOUS, 0, null)).toThrow(TypeError);
  });

  it('never replaces memory in use: no fixed address', () => {
    for (const flag of [0x10, 0x10_0000, 0x100]) expect(() => addon.mmap(-1, PAGE, 3, ANONYMOUS | flag, 0)).toThrow(/MAP_FIXED/);
  });

  it('two mappings of a file are the same bytes', () => {
    const fd = scratchFile(2 * PAGE);
    const one = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, PAGE);
    const two = addon.mmap(fd, 2 * PAGE, PROT_READ, MAP_SHARED, 0);
    addon.mmioWrite32(one, 8, 0xdead_beef);
    expect(addon.mmioRead32(two, PAGE + 8)).toBe(0xdead_beef);
    close(fd);
    expect(addon.mmioRead32(two, PAGE + 8)).toBe(0xdead_beef);
    expect(addon.unmap(one)).toBe(0);
    expect(addon.unmap(two)).toBe(0);
  });
});

describe('memory of a mapping', () => {
  it('is one ArrayBuffer, and the mapping itself', () => {
    const mapping = anonymous(2 * PAGE);
    const memory = addon.mappingMemory(mapping);
    expect(addon.mappingMemory(mapping)).toBe(memory);
    expect(memory).toBeInstanceOf(ArrayBuffer);
    expect(memory.byteLength).toBe(2 * PAGE);
    new Uint32Array(memory)[3] = 7;
    expect(addon.mmioRead32(mapping, 12)).toBe(7);
    addon.mmioWrite8(mapping, 0, 255);
    expect(new Uint8Array(memory)[0]).toBe(255);
    addon.unmap(mapping);
  });

  it('is given as registers of whatever can be both read and written', () => {
    const fd = scratchFile(PAGE);
    for (const protection of [0, PROT_READ, PROT_WRITE]) {
      const mapping = addon.mmap(fd, PAGE, protection, MAP_SHARED, 0);
      expect(() => addon.mappingRegisters(mapping)).toThrow(/^Expected memory to read and write for mapping /);
      addon.unmap(mapping);
    }
    const mapping = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    expect(addon.mappingMemory(mapping)).toBeUndefined();
    const registers = addon.mappingRegisters(mapping);
    expect(registers.byteLength).toBe(PAGE);
    expect(addon.mappingRegisters(mapping)).toBe(registers);
    addon.unmap(mapping);
    expect(registers.byteLength).toBe(0);
    close(fd);
  });

  it('is given for memory that stays only, to be read and written', () => {
    const fd = scratchFile(PAGE);
    const [plain, sealed] = [addon.memfd('plain', PAGE, 0), addon.memfd('sealed', PAGE, MFD_ALLOW_SEALING)];
    const mappings = [
      addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0),
      addon.mmap(-1, PAGE, PROT_READ, ANONYMOUS, 0),
      addon.mmap(plain, PAGE, READ_WRITE, MAP_SHARED, 0),
      addon.mmap(sealed, PAGE, PROT_READ, MAP_SHARED, 0),
      addon.mmap(sealed, PAGE, READ_WRITE, MAP_PRIVATE, 0),
      addon.mmap(sealed, 2 * PAGE, READ_WRITE, MAP_SHARED, 0),
      addon.mmap(sealed, PAGE, READ_WRITE, MAP_SHARED, PAGE),
    ];
    for (const mapping of mappings) {
      expect(addon.mappingMemory(mapping)).toBeUndefined();
      addon.unmap(mapping);
    }
    for (const each of [fd, plain, sealed]) close(each);
  });

  it('of a memory file whose size is sealed is the same in all its mappings, whatever becomes of the fd', async () => {
    const fd = addon.memfd('sealed', 2 * PAGE, MFD_ALLOW_SEALING);
    expect(() => truncateSync(`/proc/self/fd/${fd}`, PAGE)).toThrow(/EPERM/);
    expect(addon.pwrite(fd, new Uint8Array(8), 2 * PAGE)).toBe(EPERM);
    const [one, two] = [0, PAGE].map((offset) =>
      addon.mmap(fd, PAGE * (offset === 0 ? 2 : 1), READ_WRITE, MAP_SHARED | MAP_POPULATE, offset),
    );
    const [first, second] = [one, two].map((mapping) => new Uint32Array(addon.mappingMemory(mapping)));
    first![PAGE / 4 + 1] = 0xdead_beef;
    expect(second![1]).toBe(0xdead_beef);
    const seen = await inWorker(`
      const mapping = addon.mmap(${fd}, ${2 * PAGE}, 3, 1, 0);
      const words = new Uint32Array(addon.mappingMemory(mapping));
      words[0] = words[${PAGE / 4 + 1}];
      parentPort.postMessage(words.length);
    `);
    expect([seen, first![0]]).toEqual([(2 * PAGE) / 4, 0xdead_beef]);
    addon.unmap(one);
    addon.close(fd);
    expect([first!.length, second![1]]).toEqual([0, 0xdead_beef]);
    addon.unmap(two);
    expect(second!.length).toBe(0);
    await collect();
  });

  it('longer than the longest ArrayBuffer throws, and the mapping goes on', async () => {
    // Node 20 ends at 4 GiB; newer ones take this, and then it must work.
    const mapping = addon.mmap(-1, 2 ** 37, READ_WRITE, ANONYMOUS | MAP_NORESERVE, 0);
    try {
      expect(addon.mappingMemory(mapping).byteLength).toBe(2 ** 37);
    } catch (error) {
      expect(error).toHaveProperty('code', 'ERR_BUFFER_TOO_LARGE');
    }
    for (let i = 0; i < 2; i += 1) {
      expect(addon.mmioRead32(mapping, 2 ** 36)).toBe(0);
      await collect();
    }
    const maps = areas();
    expect(addon.unmap(mapping)).toBe(0);
    await collect();
    expect(areas()).toBeLessThanOrEqual(maps);
    expect(() => addon.mmioRead32(mapping, 0)).toThrow('The mapping is closed');
  });

  it('is not to be had of huge pages that nothing was set aside for: an access could fault', () => {
    const huge = 0x40000;
    // Where there are none of these pages either, with or without.
    const mapping = addon.mmap(-1, 2 << 20, READ_WRITE, ANONYMOUS | huge | MAP_NORESERVE, 0);
    expect(addon.mappingMemory(mapping)).toBeUndefined();
    expect(addon.unmap(mapping)).toBe(0);
    const fd = addon.memfd('sealed', PAGE, 2);
    const file = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED | MAP_NORESERVE, 0);
    expect(addon.mappingMemory(file)).toBeUndefined();
    expect(addon.unmap(file)).toBe(0);
    close(fd);
  });

  it('counts as external memory until it is unmapped', async () => {
    const length = 64 << 20;
    await collect();
    const start = process.memoryUsage().external;
    const mapping = anonymous(length);
    addon.mappingMemory(mapping);
    expect(process.memoryUsage().external - start).toBeGreaterThan(length / 2);
    addon.unmap(mapping);
    await collect();
    expect(process.memoryUsage().external - start).toBeLessThan(length / 2);
  });
});

describe('unmap', () => {
  it('detaches the memory: every later access fails, none faults', () => {
    const mapping = anonymous(PAGE);
    const memory = addon.mappingMemory(mapping);
    const words = new Uint32Array(memory);
    expect(addon.unmap(mapping)).toBe(0);
    expect(memory.byteLength).toBe(0);
    expect(words.length).toBe(0);
    expect(words[0]).toBeUndefined();
    words[0] = 1;
    expect(() => Atomics.load(words, 0)).toThrow(TypeError);
    const closed = expect.objectContaining({ code: 'ERR_VFIO_CLOSED', message: 'The mapping is closed' });
    expect(() => addon.mmioRead8(mapping, 0)).toThrow(closed);
    expect(() => addon.mmioWrite64(mapping, 0, 0n)).toThrow(closed);
    expect(() => addon.mappingMemory(mapping)).toThrow(closed);
  });

  it('twice is once', async () => {
    const plain = anonymous(PAGE);
    const exposed = anonymous(PAGE);
    addon.mappingMemory(exposed);
    for (const mapping of [plain, exposed]) {
      expect(addon.unmap(mapping)).toBe(0);
      expect(addon.unmap(mapping)).toBe(0);
    }
    await collect();
    for (const mapping of [plain, exposed]) expect(addon.unmap(mapping)).toBe(0);
  });

  it('gives a file mapping back at once', () => {
    const fd = scratchFile(PAGE);
    const maps = held()['maps']!;
    const mapping = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    expect(held()['maps']).toBe(maps + 1);
    addon.unmap(mapping);
    expect(held()['maps']).toBe(maps);
    close(fd);
  });

  it('gives exposed memory of a file back at once', async () => {
    const fd = scratchFile(PAGE);
    const mapping = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    const words = new Uint32Array(addon.mappingRegisters(mapping));
    words[1] = 7;
    expect(addon.mmioRead32(mapping, 4)).toBe(7);
    const maps = held()['maps']!;
    expect(addon.unmap(mapping)).toBe(0);
    expect(held()['maps']).toBe(maps - 1);
    expect(words.length).toBe(0);
    words[1] = 8;
    const bytes = new Uint8Array(8);
    addon.pread(fd, bytes, 0);
    expect(new Uint32Array(bytes.buffer)[1]).toBe(7);
    close(fd);
    await collect();
  });

  it('gives the pages of exposed memory back at once, and the addresses after a turn', async () => {
    const length = 32 << 20;
    const mapping = anonymous(length);
    const memory = addon.mappingMemory(mapping);
    const address = addon.addressOf(memory);
    new Uint8Array(memory).fill(1);
    const resident = process.memoryUsage().rss;
    addon.unmap(mapping);
    expect(resident - process.memoryUsage().rss).toBeGreaterThan(length / 2);
    await collect();
    expect(area(address)).toBeUndefined();
  });

  it('takes mappings only', () => {
    const fd = addon.eventfd(0, 0);
    const watch = addon.watch(fd, () => {});
    for (const wrong of [undefined, null, 0, 'x', {}, [], watch, new ArrayBuffer(8), () => {}]) {
      expect(() => addon.unmap(wrong)).toThrow(/^Expected a mapping for mapping but received /);
      expect(() => addon.mmioRead8(wrong, 0)).toThrow(/^Expected a mapping for mapping but received /);
    }
    addon.watchStop(watch);
    addon.close(fd);
  });
});

describe('what is forgotten', () => {
  it('a mapping without memory is unmapped', async () => {
    const fd = scratchFile(PAGE);
    const maps = held()['maps']!;
    (() => {
      for (let i = 0; i < 10; i += 1) addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    })();
    expect(held()['maps']).toBe(maps + 10);
    for (let i = 0; i < 50 && held()['maps'] !== maps; i += 1) await collect();
    expect(held()['maps']).toBe(maps);
    close(fd);
  });

  it('memory lives on when its mapping is forgotten, and goes with its last user', async () => {
    const { memory, address } = (() => {
      const kept = new Uint32Array(addon.mappingMemory(anonymous(PAGE * 64)));
      return { memory: [kept], address: addon.addressOf(kept.buffer) as bigint };
    })();
    await collect();
    memory[0]![0] = 5;
    expect(memory[0]![0]).toBe(5);
    expect(area(address)).toBeDefined();
    memory.length = 0;
    await collect();
  });

  it('memory and mapping may go in any order, at any time', async () => {
    for (let round = 0; round < 40; round += 1) {
      let mapping = anonymous(PAGE * (1 + (round % 5)));
      let memory = round & 1 ? addon.mappingMemory(mapping) : undefined;
      if (round & 2) addon.unmap(mapping);
      if (round & 4) mapping = undefined;
      if (round & 8) memory = undefined;
      if (round & 16) await collect();
      if (memory !== undefined && memory.byteLength > 0) new Uint8Array(memory)[0] = 1;
      if (mapping !== undefined && round & 32) addon.unmap(mapping);
    }
    await collect();
  });

  it('thousands of mappings leave nothing behind', async () => {
    await collect();
    const start = areas();
    for (let i = 0; i < 2000; i += 1) {
      // Every other page is closed to reading, so that neighbours never merge into one area.
      const mapping = i & 1 ? anonymous(PAGE) : addon.mmap(-1, PAGE, PROT_READ, ANONYMOUS, 0);
      if (i & 1) addon.mappingMemory(mapping);
      if (i % 3) addon.unmap(mapping);
      if (i % 200 === 0) await collect();
    }
    for (let i = 0; i < 50 && areas() > start + 100; i += 1) await collect();
    expect(areas()).toBeLessThan(start + 100);
  });
});

describe('memory that is transferred away', () => {
  it('cannot crash anything', async () => {
    const mapping = anonymous(PAGE);
    const memory = addon.mappingMemory(mapping);
    new Uint8Array(memory)[0] = 3;
    let moved: any;
    try {
      // Node 20 copies, and leaves the source; newer ones refuse; ArrayBuffer.prototype.transfer (Node 22) moves.
      moved = memory.transfer?.() ?? structuredClone(memory, { transfer: [memory] });
    } catch (error) {
      expect(error).toHaveProperty('name', 'DataCloneError');
    }
    expect(addon.unmap(mapping)).toBe(0);
    await collect();
    if (moved !== undefined) expect([0, 3]).toContain(new Uint8Array(moved)[0]);
    moved = undefined;
    await collect();
    expect(() => addon.mmioRead8(mapping, 0)).toThrow('The mapping is closed');
  });
});

describe('in a worker', () => {
  it('mappings work, and whatever it leaves is given back at its end', async () => {
    const maps = held();
    const seen = await inWorker(`
      const fd = scratchFile(4096);
      const kept = [addon.mmap(fd, 4096, 3, 1, 0), addon.mmap(-1, 4096, 3, 0x22, 0)];
      const memory = addon.mappingMemory(kept[1]);
      addon.mmioWrite16(kept[0], 2, 0x1234);
      const closed = addon.mmap(-1, 4096, 3, 0x22, 0);
      addon.mappingMemory(closed);
      addon.unmap(closed);
      parentPort.postMessage([addon.mmioRead16(kept[0], 2), memory.byteLength]);
      fs.closeSync(fd);
      globalThis.kept = [kept, memory];
    `);
    expect(seen).toEqual([0x1234, 4096]);
    await expectNothingHeldSince(maps);
  });
});

describe('memfd', () => {
  it('is a file of zeros, of its size, that can be mapped more than once', () => {
    const fd = addon.memfd('shared', 2 * PAGE, 0);
    const [first, second] = [addon.mmap(fd, 2 * PAGE, READ_WRITE, MAP_SHARED, 0), addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, PAGE)];
    expect(addon.mmioRead64(first, 2 * PAGE - 8)).toBe(0n);
    addon.mmioWrite32(first, PAGE + 4, 0x1234_5678);
    expect(addon.mmioRead32(second, 4)).toBe(0x1234_5678);
    const bytes = new Uint8Array(8);
    expect(addon.pread(fd, bytes, PAGE)).toBe(8);
    expect(new Uint32Array(bytes.buffer)[1]).toBe(0x1234_5678);
    expect(addon.pread(fd, bytes, 2 * PAGE)).toBe(0);
    addon.unmap(first);
    addon.unmap(second);
    addon.close(fd);
  });

  it('leaves no fd behind when it cannot be that large', () => {
    const fd = addon.memfd('', 0, 0);
    addon.close(fd);
    // Of huge pages there is no half.
    expect(addon.memfd('x', 1, 4)).toBe(EINVAL);
    expect(addon.memfd('x', 0, 0x0800_0000)).toBe(EINVAL);
    expect(addon.memfd('x'.repeat(300), 0, 0)).toBe(EINVAL);
    const next = addon.memfd('', 2 ** 53 - 1, 0);
    expect(next).toBe(fd);
    addon.close(next);
  });

  it('takes a name, a size and flags', () => {
    expect(() => addon.memfd(5, 0, 0)).toThrow(new TypeError('Expected a string for name but received 5'));
    expect(() => addon.memfd('a\0b', 0, 0)).toThrow(/^Expected a string without zero bytes for name/);
    expect(() => addon.memfd('x', -1, 0)).toThrow(
      new RangeError('Expected an integer from 0 to 9007199254740991 for size but received -1'),
    );
    expect(() => addon.memfd('x', 0, 2 ** 32)).toThrow(RangeError);
    expect(() => addon.memfd('x')).toThrow(TypeError);
  });
});

describe('addressOf', () => {
  it('is where the kernel finds the first byte', () => {
    const memory = new ArrayBuffer(8);
    const address = addon.addressOf(memory);
    expect(typeof address).toBe('bigint');
    expect(addon.addressOf(memory)).toBe(address);
    const fd = scratchFile(77);
    expect(addon.ioctl(fd, 0x541b, Number(address))).toBe(0);
    expect(new Int32Array(memory)[0]).toBe(77);
    close(fd);
  });

  it('needs an ArrayBuffer that has bytes', () => {
    const gone = new ArrayBuffer(8);
    structuredClone(gone, { transfer: [gone] });
    for (const empty of [new ArrayBuffer(0), gone]) expect(() => addon.addressOf(empty)).toThrow(RangeError);
    for (const wrong of [undefined, null, 1, 'x', {}, new Uint8Array(8), new SharedArrayBuffer(8)]) {
      expect(() => addon.addressOf(wrong)).toThrow(/^Expected an ArrayBuffer for memory but received /);
    }
  });
});
