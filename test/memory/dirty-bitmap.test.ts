import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DirtyBitmap } from '../../lib/memory/dirty-bitmap.js';

const page = 0x1000n;

function bitmap(bits: readonly boolean[], iova = 0x10_0000n): DirtyBitmap {
  const result = new DirtyBitmap({ iova, size: BigInt(bits.length) * page, pageSize: page });
  const words = new BigUint64Array(result.memory);
  bits.forEach((dirty, index) => {
    if (dirty) words[index >> 6] = (words[index >> 6] ?? 0n) | (1n << BigInt(index & 63));
  });
  return result;
}

describe('DirtyBitmap', () => {
  it('tells the same pages one by one, as ranges and as a count', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.boolean(), fc.constant(true), fc.constant(false)), { minLength: 1, maxLength: 400 }), (bits) => {
        const dirty = bitmap(bits);
        expect(bits.map((_, index) => dirty.isDirty(dirty.iova + BigInt(index) * page + 7n))).toEqual(bits);
        expect(dirty.count).toBe(bits.filter(Boolean).length);
        const covered = [...dirty.ranges()].flatMap(({ iova, size }) =>
          Array.from({ length: Number(size / page) }, (_, index) => Number((iova - dirty.iova) / page) + index),
        );
        expect(covered).toEqual(bits.flatMap((set, index) => (set ? [index] : [])));
      }),
    );
  });

  it('joins neighbours, and ignores bits past the last page', () => {
    const dirty = new DirtyBitmap({ iova: 0n, size: 70n * page, pageSize: page });
    new BigUint64Array(dirty.memory).fill(0xffff_ffff_ffff_ffffn);
    expect([...dirty.ranges()]).toEqual([{ iova: 0n, size: 70n * page }]);
  });

  it('finds a page among a hundred million without looking at each', () => {
    const dirty = new DirtyBitmap({ iova: 0n, size: (1n << 27n) * page, pageSize: page });
    new Uint32Array(dirty.memory)[(1 << 27) / 32 - 1] = 0x8000_0000;
    expect([...dirty.ranges()]).toEqual([{ iova: ((1n << 27n) - 1n) * page, size: page }]);
  });

  it('refuses what is no range of pages', () => {
    const make = (fields: object) => () => new DirtyBitmap({ iova: 0n, size: page, pageSize: page, ...fields });
    expect(make({ pageSize: 3000n })).toThrow('Expected a power of two for pageSize but received 3000');
    expect(make({ size: 0n })).toThrow('Expected a positive multiple of 4096 for size but received 0');
    expect(make({ size: 5000n })).toThrow(RangeError);
    expect(make({ size: (1n << 32n) * page })).toThrow('at most 2147483648 pages');
    expect(() => bitmap([true]).isDirty(0n)).toThrow(RangeError);
  });
});
