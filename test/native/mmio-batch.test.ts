import { once } from 'node:events';
import { ftruncateSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addon,
  close,
  expectNothingHeldSince,
  fault,
  held,
  MAP_SHARED,
  PAGE,
  PROT_READ,
  PROT_WRITE,
  READ_WRITE,
  scratchFile,
  worker,
} from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const arrays = [Uint8Array, Uint16Array, Uint32Array, BigUint64Array] as const;

let fd: number;
let mapping: any;
beforeEach(() => {
  fd = scratchFile(2 * PAGE);
  mapping = addon.mmap(fd, 2 * PAGE, READ_WRITE, MAP_SHARED, 0);
});
afterEach(() => {
  addon.unmap(mapping);
  close(fd);
});

describe.each(arrays)('$name', (array) => {
  const width = array.BYTES_PER_ELEMENT;
  const value = (number: number): any => (width === 8 ? BigInt(number) : number);
  const filled = (...numbers: number[]): any => (array as any).from(numbers.map(value));

  it('a list is written in order, a range read back', () => {
    const offsets = Uint32Array.of(8 * width, 0, width, 0);
    expect(addon.mmioWriteList(mapping, offsets, filled(1, 2, 3, 4))).toBeUndefined();
    const into = new array(10);
    expect(addon.mmioReadRange(mapping, 0, into)).toBeUndefined();
    expect(into).toEqual(filled(4, 3, 0, 0, 0, 0, 0, 0, 1, 0));
    addon.mmioReadRange(mapping, 2 * PAGE - width, into.subarray(0, 1));
    expect(into[0]).toBe(value(0));
  });

  it('nothing is read if one register is outside', () => {
    const into = filled(7, 7, 7, 7);
    const most = 2 * PAGE - 4 * width;
    for (const offset of [-width, most + width, 2 * PAGE, 0.5, NaN, 2 ** 53, ...(width > 1 ? [1] : [])]) {
      const error = new RangeError(`Expected a multiple of ${width} from 0 to ${most} for offset but received ${offset}`);
      expect(() => addon.mmioReadRange(mapping, offset, into)).toThrow(error);
    }
    expect(into).toEqual(filled(7, 7, 7, 7));
    expect(() => addon.mmioReadRange(mapping, 0, new array(2 * PAGE + 1))).toThrow(RangeError);
    addon.mmioReadRange(mapping, most, into);
    addon.mmioReadRange(mapping, 2 * PAGE, new array(0));
  });

  it('nothing is written if one register is outside', () => {
    const values = filled(1, 2, 3);
    for (const wrong of [2 * PAGE, 2 ** 32 - width, ...(width > 1 ? [width + 1] : [])]) {
      const error = `Expected a multiple of ${width} from 0 to ${2 * PAGE - width} for offsets[2] but received ${wrong}`;
      expect(() => addon.mmioWriteList(mapping, Uint32Array.of(0, width, wrong), values)).toThrow(new RangeError(error));
    }
    expect(() => addon.mmioWriteList(mapping, Uint32Array.of(0), values)).toThrow(
      new RangeError('Expected as many as the 1 offsets for values but received 3'),
    );
    expect(addon.mmioRead64(mapping, 0)).toBe(0n);
  });

  it('a fault tells where, and what came before it stays', () => {
    addon.mmioWriteList(mapping, Uint32Array.of(PAGE - width), filled(5));
    ftruncateSync(fd, PAGE);
    const into = filled(9, 9, 9);
    expect(() => addon.mmioReadRange(mapping, PAGE - width, into)).toThrow(expect.objectContaining(fault(PAGE)));
    expect(into).toEqual(filled(5, 9, 9));
    const write = (): void => addon.mmioWriteList(mapping, Uint32Array.of(0, PAGE + width, width), filled(1, 2, 3));
    expect(write).toThrow(expect.objectContaining(fault(PAGE + width)));
    addon.mmioReadRange(mapping, 0, into);
    expect(into).toEqual(filled(1, 0, 0));
  });

  describe('a poll', () => {
    const poll = addon[`mmioPoll${8 * width}`]!;

    it('answers the value that matched, at once or after other looks', () => {
      addon.mmioWriteList(mapping, Uint32Array.of(8), filled(0x5a));
      expect(poll(mapping, 8, value(0x0f), value(0x0a), 0)).toBe(value(0x5a));
      expect(poll(mapping, 0, value(0), value(0), 0)).toBe(value(0));
      const highest = width === 8 ? 2n ** 63n : 2 ** (8 * width - 1);
      addon.mmioWriteList(mapping, Uint32Array.of(8), (array as any).of(highest));
      expect(poll(mapping, 8, highest, highest, 0)).toBe(highest);
    });

    it('answers nothing when time runs out', () => {
      const start = performance.now();
      expect(poll(mapping, 0, value(1), value(1), 3)).toBeUndefined();
      expect(performance.now() - start).toBeGreaterThanOrEqual(3);
      expect(poll(mapping, 0, value(1), value(1), 0)).toBeUndefined();
    });

    it('throws at a fault, also one that comes while it waits', () => {
      ftruncateSync(fd, 0);
      expect(() => poll(mapping, 8, value(1), value(1), 1000)).toThrow(expect.objectContaining(fault(8)));
    });

    it('checks everything first', () => {
      const call =
        (...given: unknown[]) =>
        () =>
          poll(mapping, ...given);
      expect(call(2 * PAGE, value(1), value(1), 0)).toThrow(/ for offset but received 8192$/);
      for (const wrong of [width === 8 ? -1n : -1, width === 8 ? 2n ** 64n : 2 ** (8 * width)]) {
        expect(call(0, wrong, value(0), 0)).toThrow(/^Expected an integer from 0 to \d+ for mask but received /);
        expect(call(0, value(0), wrong, 0)).toThrow(/^Expected an integer from 0 to \d+ for wanted but received /);
      }
      expect(call(0, value(1), value(3), 0)).toThrow(new RangeError('Expected only bits of mask for wanted but received 3'));
      for (const wrong of [-1, 1000.5, NaN, Infinity])
        expect(call(0, value(1), value(1), wrong)).toThrow(
          new RangeError(`Expected a number from 0 to 1000 for timeoutMilliseconds but received ${wrong}`),
        );
      expect(call(0, value(1), value(1))).toThrow(TypeError);
      expect(call(0, width === 8 ? 1 : 1n, value(1), 0)).toThrow(TypeError);
    });
  });
});

it('arrays of other elements are refused', () => {
  for (const wrong of [
    undefined,
    null,
    1,
    'x',
    {},
    [1],
    new Int32Array(1),
    new Float64Array(1),
    new BigInt64Array(1),
    new DataView(new ArrayBuffer(8)),
  ]) {
    const array = 'a Uint8Array, Uint16Array, Uint32Array or BigUint64Array';
    expect(() => addon.mmioReadRange(mapping, 0, wrong)).toThrow(new RegExp(`^Expected ${array} for into but received `));
    expect(() => addon.mmioWriteList(mapping, Uint32Array.of(0), wrong)).toThrow(new RegExp(`^Expected ${array} for values but received `));
    expect(() => addon.mmioWriteList(mapping, wrong, Uint8Array.of(0))).toThrow(/^Expected a Uint32Array for offsets but received /);
  }
});

it('protection and the end of the mapping are kept', () => {
  const readable = addon.mmap(fd, PAGE, PROT_READ, MAP_SHARED, 0);
  const writable = addon.mmap(fd, PAGE, PROT_WRITE, MAP_SHARED, 0);
  const [offsets, values] = [Uint32Array.of(0), Uint32Array.of(1)];
  expect(() => addon.mmioWriteList(readable, offsets, values)).toThrow('The mapping is not writable');
  expect(() => addon.mmioReadRange(writable, 0, values)).toThrow('The mapping is not readable');
  expect(() => addon.mmioPoll32(writable, 0, 0, 0, 0)).toThrow('The mapping is not readable');
  addon.unmap(readable);
  addon.unmap(writable);
  for (const call of [
    () => addon.mmioWriteList(readable, offsets, values),
    () => addon.mmioReadRange(readable, 0, values),
    () => addon.mmioPoll32(readable, 0, 0, 0, 0),
  ])
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
});

it('a poll sees what another thread writes meanwhile', async () => {
  const writer = worker(`
    const file = fs.openSync('/proc/self/fd/${fd}', 'r+');
    const mapping = addon.mmap(file, 4096, 3, 1, 0);
    fs.closeSync(file);
    parentPort.postMessage('ready');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    addon.mmioWrite32(mapping, 4, 0xf00d);
  `);
  const ended = once(writer, 'exit');
  await once(writer, 'message');
  let seen: unknown;
  for (let polls = 0; polls < 10 && seen === undefined; polls += 1) seen = addon.mmioPoll32(mapping, 4, 0xff, 0x0d, 1000);
  expect(seen).toBe(0xf00d);
  await ended;
});
