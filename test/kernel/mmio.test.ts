/** Every accessor of both kernels, on memory that is a file: the same accesses have the same answers. */
import fc from 'fast-check';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../lib/abi/system.js';
import { fail, trace, type Kernel, type Mapping, type Mmio, type RegisterValues } from '../../lib/index.js';
import { native } from '../../lib/kernel/native.js';
import { Machine } from '../../lib/sim/index.js';

const length = 256;

function map(kernel: Kernel, protection = PROT_READ | PROT_WRITE, bytes = length): Mapping {
  const fd = kernel.memfd('registers', 4096, 0);
  const mapping = kernel.mmap(fd, bytes, protection, MAP_SHARED, 0);
  kernel.close(fd);
  if (typeof mapping === 'number') throw new Error(`mmap answered ${mapping}`);
  return mapping;
}

const kernels: Record<string, () => Kernel> = {
  'the real kernel': native,
  'the simulated kernel': () => new Machine().kernel,
  'a traced kernel that fails elsewhere': () => trace(fail(native(), { on: 'eventfd', errno: 'EMFILE' }), () => {}),
};
const accessors = Object.entries(kernels).flatMap(([name, kernel]) =>
  (['mmio', 'fastMmio'] as const).map((accessor) => ({ name: `${accessor} of ${name}`, kernel, accessor })),
);

/** What is done, as its answer or what it throws. */
type Step = (mmio: Mmio) => unknown;
function answer(step: Step, mmio: Mmio): unknown {
  try {
    return step(mmio) ?? 'done';
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

const offsets = fc.oneof(fc.nat(length + 8), fc.constantFrom(-1, -8, 0.5, NaN, Infinity, 2 ** 32, 2 ** 32 + 4, 2 ** 53, -0));
const number = (bits: number): fc.Arbitrary<number> =>
  fc.oneof(fc.nat(2 ** bits - 1), fc.constantFrom(-1, 0.5, NaN, 2 ** bits, -0, 2 ** bits - 1));
const long = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(-1n, 2n ** 64n, 2n ** 64n - 1n));
const values: fc.Arbitrary<RegisterValues> = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.uint16Array({ maxLength: 6 }),
  fc.uint32Array({ maxLength: 6 }),
  fc.bigUint64Array({ maxLength: 6 }),
);
const aligned = fc.nat(length / 8).map((index) => index * 8);
const steps: fc.Arbitrary<{ said: string; step: Step }> = fc.oneof(
  fc.constantFrom(8, 16, 32, 64).chain((bits) => {
    const value = bits === 64 ? long : number(bits);
    return fc.oneof(
      offsets.map((offset) => ({ said: `read${bits}(${offset})`, step: (mmio: any) => mmio[`read${bits}`](offset) })),
      fc.tuple(offsets, value).map(([offset, written]) => ({
        said: `write${bits}(${offset}, ${written})`,
        step: (mmio: any) => mmio[`write${bits}`](offset, written),
      })),
      fc.tuple(aligned, value, value).map(([offset, mask, wanted]) => ({
        said: `poll${bits}(${offset}, ${mask}, ${wanted})`,
        step: (mmio: any) => mmio[`poll${bits}`](offset, { mask, wanted, timeoutMilliseconds: 0 }),
      })),
    );
  }),
  fc.tuple(offsets, values).map(([offset, into]) => ({
    said: `readRange(${offset}, ${into.constructor.name} of ${into.length})`,
    step: (mmio: Mmio) => {
      const own = into.slice();
      mmio.readRange(offset, own);
      return String(own);
    },
  })),
  fc.tuple(values, fc.array(fc.oneof(aligned, fc.nat(length)), { maxLength: 6 }), fc.boolean()).map(([written, at, fit]) => ({
    said: `writeList(${at}, ${written.constructor.name}.of(${written}))`,
    step: (mmio: Mmio) =>
      mmio.writeList(Uint32Array.from(fit ? Array.from({ length: written.length }, (_, index) => at[index] ?? 0) : at), written),
  })),
);

it('all of them answer alike, whatever is done', () => {
  const mappings = accessors.map(({ name, kernel, accessor }) => ({ name, mapping: map(kernel()), accessor }));
  const everything: Step = (mmio) => {
    const all = new Uint8Array(length);
    mmio.readRange(0, all);
    return String(all);
  };
  const property = fc.property(fc.array(steps, { maxLength: 10 }), (list) => {
    for (const { said, step } of [...list, { said: 'everything', step: everything }]) {
      const answers = mappings.map(({ name, mapping, accessor }) => [said, name, answer(step, mapping[accessor])] as const);
      for (const [, name, given] of answers) expect([said, name, given]).toEqual([said, name, answers[0]?.[2]]);
    }
  });
  fc.assert(property, { numRuns: 200 });
  for (const { mapping } of mappings) mapping.unmap();
});

describe.each(accessors)('$name', ({ kernel, accessor }) => {
  let mapping: Mapping;
  let mmio: Mmio;
  beforeEach(() => {
    mapping = map(kernel());
    mmio = mapping[accessor];
  });
  afterEach(() => mapping.unmap());

  it('is the same one each time, and shows nothing of itself', () => {
    expect(mapping[accessor]).toBe(mmio);
    mmio.write32(0, 0x1234_5678);
    expect(inspect(mmio, { showHidden: true, depth: 5 })).not.toMatch(/ArrayBuffer|\b120\b|Uint32Array/);
  });

  it('throws once it is unmapped, for every form', () => {
    mapping.unmap();
    const poll = { mask: 0, wanted: 0, timeoutMilliseconds: 0 };
    const forms: Step[] = [
      () => mmio.read8(0),
      () => mmio.read16(0),
      () => mmio.read32(0),
      () => mmio.read64(0),
      () => mmio.write8(0, 0),
      () => mmio.write16(0, 0),
      () => mmio.write32(0, 0),
      () => mmio.write64(0, 0n),
      () => mmio.readRange(0, new Uint8Array(1)),
      () => mmio.writeList(Uint32Array.of(0), Uint8Array.of(0)),
      () => mmio.poll8(0, poll),
      () => mmio.poll16(0, poll),
      () => mmio.poll32(0, poll),
      () => mmio.poll64(0, { mask: 0n, wanted: 0n, timeoutMilliseconds: 0 }),
      () => mapping[accessor].read8(0),
    ];
    for (const form of forms)
      expect(() => form(mmio)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED', message: 'The mapping is closed' }));
  });

  it('keeps the protection', () => {
    const readable = map(kernel(), PROT_READ);
    const writable = map(kernel(), PROT_WRITE);
    expect(readable[accessor].read32(0)).toBe(0);
    expect(() => readable[accessor].write32(0, 1)).toThrow('writable');
    expect(() => readable[accessor].writeList(Uint32Array.of(0), Uint8Array.of(0))).toThrow('writable');
    writable[accessor].write32(0, 1);
    expect(() => writable[accessor].read32(0)).toThrow('readable');
    expect(() => writable[accessor].readRange(0, new Uint8Array(1))).toThrow('readable');
    readable.unmap();
    writable.unmap();
  });

  it('a mapping that ends in the middle of a word has no such word', () => {
    const short = map(kernel(), PROT_READ | PROT_WRITE, 7);
    short[accessor].write16(4, 0xffff);
    expect([short[accessor].read8(6), short[accessor].read32(0), short[accessor].read16(4)]).toEqual([0, 0, 0xffff]);
    expect(() => short[accessor].read16(6)).toThrow('Expected a multiple of 2 from 0 to 5 for offset but received 6');
    expect(() => short[accessor].read64(0)).toThrow('Expected a multiple of 8 from 0 to -1 for offset but received 0');
    short.unmap();
  });

  it('refuses what is no number, before anything is done', () => {
    for (const wrong of ['4', 4n, null, undefined, {}, true, Symbol('4')] as never[]) {
      expect(() => mmio.read32(wrong)).toThrow(/^Expected a multiple of 4 from 0 to 252 for offset but received /);
      expect(() => mmio.write32(0, wrong)).toThrow(/^Expected an integer from 0 to 4294967295 for value but received /);
    }
    expect(() => mmio.write64(0, 1 as never)).toThrow('Expected a bigint for value but received 1');
    const lists = (wrong: never): Step[] => [() => mmio.readRange(0, wrong), () => mmio.writeList(Uint32Array.of(0), wrong)];
    for (const wrong of [[1], new Int32Array(1), new DataView(new ArrayBuffer(4)), undefined] as never[])
      for (const form of lists(wrong))
        expect(() => form(mmio)).toThrow(/^Expected a Uint8Array, Uint16Array, Uint32Array or BigUint64Array for /);
    expect(() => mmio.writeList([0] as never, Uint8Array.of(0))).toThrow(/^Expected a Uint32Array for offsets but received /);
    for (const timeoutMilliseconds of [-1, 1001, NaN])
      expect(() => mmio.poll32(0, { mask: 0, wanted: 0, timeoutMilliseconds })).toThrow(
        `Expected a number from 0 to 1000 for timeoutMilliseconds but received ${timeoutMilliseconds}`,
      );
    expect(mmio.read64(0)).toBe(0n);
  });

  it('a poll ends when its time has run out', () => {
    const start = performance.now();
    expect(mmio.poll32(0, { mask: 1, wanted: 1, timeoutMilliseconds: 2 })).toBeUndefined();
    expect(performance.now() - start).toBeGreaterThanOrEqual(2);
  });
});

it('memory of this process has a fast accessor too, over the same bytes', () => {
  const mapping = native().mmap(-1, 4096, PROT_READ | PROT_WRITE, 0x22, 0) as Mapping;
  mapping.fastMmio.write32(8, 7);
  expect(new Uint32Array(mapping.memory as ArrayBuffer)[2]).toBe(7);
  mapping.unmap();
  expect(() => mapping.fastMmio.read8(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
});
