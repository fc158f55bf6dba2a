import { copyFileSync, ftruncateSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addon,
  addonPath,
  ANONYMOUS,
  close,
  expectNothingHeldSince,
  fault,
  held,
  inChild,
  inWorker,
  MAP_SHARED,
  PAGE,
  PROT_READ,
  PROT_WRITE,
  READ_WRITE,
  sanitized,
  scratchFile,
} from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const widths = [
  { bits: 8, bytes: 1, most: 0xff },
  { bits: 16, bytes: 2, most: 0xffff },
  { bits: 32, bytes: 4, most: 0xffff_ffff },
];

let fd: number;
let mapping: any;
beforeEach(() => {
  fd = scratchFile(PAGE);
  mapping = addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
});
afterEach(() => {
  addon.unmap(mapping);
  close(fd);
});

describe.each(widths)('$bits bits', ({ bits, bytes, most }) => {
  const read = addon[`mmioRead${bits}`]!;
  const write = addon[`mmioWrite${bits}`]!;

  it('read back what was written, there and nowhere else', () => {
    for (const offset of [0, bytes, PAGE / 2, PAGE - bytes]) {
      for (const value of [0, 1, most >>> 1, most]) {
        expect(write(mapping, offset, value)).toBeUndefined();
        expect(read(mapping, offset)).toBe(value);
      }
    }
    const all = new Uint8Array(PAGE);
    addon.pread(fd, all, 0);
    expect(all.reduce((sum, byte) => sum + byte, 0)).toBe(4 * bytes * 255);
  });

  it('offsets are multiples of the width inside the mapping', () => {
    const wrong = [-bytes, PAGE, PAGE + bytes, 0.5, NaN, Infinity, 2 ** 53, 2 ** 64, ...(bytes > 1 ? [1, bytes - 1, PAGE - 1] : [])];
    for (const offset of wrong) {
      const error = new RangeError(`Expected a multiple of ${bytes} from 0 to ${PAGE - bytes} for offset but received ${offset}`);
      expect(() => read(mapping, offset)).toThrow(error);
      expect(() => write(mapping, offset, 0)).toThrow(error);
    }
    for (const offset of [undefined, null, '0', 0n, {}, true]) expect(() => read(mapping, offset)).toThrow(TypeError);
  });

  it('values are unsigned integers of the width', () => {
    for (const value of [-1, most + 1, 0.5, NaN, -Infinity]) {
      expect(() => write(mapping, 0, value)).toThrow(
        new RangeError(`Expected an integer from 0 to ${most} for value but received ${value}`),
      );
    }
    for (const value of [undefined, null, '1', 1n, {}, true]) expect(() => write(mapping, 0, value)).toThrow(TypeError);
    expect(read(mapping, 0)).toBe(0);
  });
});

describe('64 bits', () => {
  it('are bigints, without loss', () => {
    for (const value of [0n, 1n, 0x0123_4567_89ab_cdefn, 2n ** 63n, 2n ** 64n - 1n]) {
      addon.mmioWrite64(mapping, PAGE - 8, value);
      expect(addon.mmioRead64(mapping, PAGE - 8)).toBe(value);
    }
  });

  it('values and offsets are checked', () => {
    const range = 'Expected an integer from 0 to 18446744073709551615 for value but received';
    expect(() => addon.mmioWrite64(mapping, 0, -1n)).toThrow(new RangeError(`${range} -1`));
    expect(() => addon.mmioWrite64(mapping, 0, 2n ** 64n)).toThrow(new RangeError(`${range} 18446744073709551616`));
    expect(() => addon.mmioWrite64(mapping, 0, 1n << 100_000n)).toThrow(new RangeError(`${range} a large bigint`));
    expect(() => addon.mmioWrite64(mapping, 0, 1)).toThrow(new TypeError('Expected a bigint for value but received 1'));
    expect(() => addon.mmioRead64(mapping, 4)).toThrow(RangeError);
    expect(() => addon.mmioRead64(mapping, PAGE - 4)).toThrow(RangeError);
    expect(addon.mmioRead64(mapping, 0)).toBe(0n);
  });
});

describe('protection', () => {
  it('is kept: neither a closed read nor a closed write reaches the processor', () => {
    const readable = addon.mmap(fd, PAGE, PROT_READ, MAP_SHARED, 0);
    const writable = addon.mmap(fd, PAGE, PROT_WRITE, MAP_SHARED, 0);
    const none = addon.mmap(-1, PAGE, 0, ANONYMOUS, 0);
    expect(addon.mmioRead8(readable, 0)).toBe(0);
    expect(() => addon.mmioWrite8(readable, 0, 0)).toThrow('The mapping is not writable');
    expect(() => addon.mmioRead8(writable, 0)).toThrow('The mapping is not readable');
    addon.mmioWrite8(writable, 0, 9);
    expect(addon.mmioRead8(mapping, 0)).toBe(9);
    expect(() => addon.mmioRead8(none, 0)).toThrow('The mapping is not readable');
    for (const each of [readable, writable, none]) addon.unmap(each);
  });

  it('a mapping shorter than a word has no place for one', () => {
    const short = addon.mmap(fd, 3, READ_WRITE, MAP_SHARED, 0);
    expect(addon.mmioRead16(short, 0)).toBe(0);
    expect(() => addon.mmioRead16(short, 2)).toThrow(RangeError);
    expect(() => addon.mmioRead32(short, 0)).toThrow('Expected a multiple of 4 from 0 to -1 for offset but received 0');
    addon.unmap(short);
  });
});

describe('a bus fault', () => {
  it('throws, and the mapping works again when the device does', () => {
    addon.mmioWrite32(mapping, 4, 7);
    ftruncateSync(fd, 0);
    for (const { bits } of widths) {
      expect(() => addon[`mmioRead${bits}`]!(mapping, 8)).toThrow(expect.objectContaining(fault(8)));
      expect(() => addon[`mmioWrite${bits}`]!(mapping, 8, 1)).toThrow(expect.objectContaining(fault(8)));
    }
    expect(() => addon.mmioRead64(mapping, 0)).toThrow(expect.objectContaining(fault(0)));
    expect(() => addon.mmioWrite64(mapping, 0, 0n)).toThrow(expect.objectContaining(fault(0)));
    ftruncateSync(fd, PAGE);
    expect(addon.mmioRead32(mapping, 4)).toBe(0);
    addon.mmioWrite32(mapping, 4, 8);
    expect(addon.mmioRead32(mapping, 4)).toBe(8);
  });

  it('is survived thousands of times, in the middle of optimized code', () => {
    let faults = 0;
    for (let i = 0; i < 4000; i += 1) {
      if (i % 4 === 0) ftruncateSync(fd, i % 8 === 0 ? 0 : PAGE);
      try {
        addon.mmioRead32(mapping, 0);
      } catch {
        faults += 1;
      }
    }
    expect(faults).toBe(2000);
    ftruncateSync(fd, PAGE);
  });

  it('throws in a worker too, while others go on', async () => {
    const source = `
      const fd = scratchFile(4096);
      const mapping = addon.mmap(fd, 4096, 3, 1, 0);
      const seen = [];
      for (let i = 0; i < 500; i += 1) {
        fs.ftruncateSync(fd, 0);
        try { addon.mmioRead32(mapping, 0); } catch (error) { seen.push(error.code); }
        fs.ftruncateSync(fd, 4096);
        addon.mmioWrite32(mapping, 0, i);
        if (addon.mmioRead32(mapping, 0) !== i) throw new Error('lost a write');
      }
      addon.unmap(mapping);
      fs.closeSync(fd);
      parentPort.postMessage([...new Set(seen), seen.length]);
    `;
    const results = await Promise.all([inWorker(source), inWorker(source), inWorker(source)]);
    for (const result of results) expect(result).toEqual(['ERR_VFIO_BUS_FAULT', 500]);
  });

  it('is survived after the worker that loaded the addon first has ended', () => {
    const { status, output } = inChild(`
      const { Worker } = require('node:worker_threads');
      const load = ${JSON.stringify(`const a = require(${JSON.stringify(addonPath)}); a.unmap(a.mmap(-1, 4096, 3, 0x22, 0));`)};
      new Worker(load, { eval: true }).on('exit', () => {
        const fd = scratchFile(4096);
        const mapping = addon.mmap(fd, 4096, 3, 1, 0);
        fs.ftruncateSync(fd, 0);
        try { addon.mmioRead8(mapping, 0); } catch (error) { console.log(error.code); }
      });
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'ERR_VFIO_BUS_FAULT\n' });
  });

  it('two copies of the addon in one process each catch their own', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'addon-'));
    const copy = path.join(folder, 'copy.node');
    copyFileSync(addonPath, copy);
    const second = createRequire(import.meta.url)(copy) as typeof addon;
    const other = second.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0);
    ftruncateSync(fd, 0);
    expect(() => second.mmioRead8(other, 1)).toThrow(expect.objectContaining(fault(1)));
    expect(() => addon.mmioRead8(mapping, 2)).toThrow(expect.objectContaining(fault(2)));
    expect(() => addon.mmioRead8(other, 2)).toThrow(/^Expected a mapping /);
    ftruncateSync(fd, PAGE);
    second.unmap(other);
    rmSync(folder, { recursive: true });
  });

  // The sanitizers' own handler would print a report first.
  it.skipIf(sanitized)('a SIGBUS from elsewhere ends the process, as it would without the addon', () => {
    const { signal } = inChild(`
      addon.mmap(-1, 4096, 3, 0x22, 0);
      process.kill(process.pid, 'SIGBUS');
      setTimeout(() => {}, 5000);
    `);
    expect(signal).toBe('SIGBUS');
  });
});
