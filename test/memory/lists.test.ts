import { describe, expect, it } from 'vitest';
import { mapEach, unmapEach } from '../../lib/memory/lists.js';

/** An address space that has what was mapped, and refuses size 0. */
function space(): { mapped: bigint[]; map: Parameters<typeof mapEach>[0]['map']; unmap: Parameters<typeof unmapEach>[0]['unmap'] } {
  const mapped: bigint[] = [];
  const checked = (size: bigint): void => {
    if (size === 0n) throw new RangeError('Expected a positive size');
  };
  return {
    mapped,
    map({ iova = 0n, size }) {
      checked(size);
      mapped.push(iova);
      return iova;
    },
    unmap({ iova, size }) {
      checked(size);
      mapped.splice(mapped.indexOf(iova), 1);
      return size;
    },
  };
}

const of = (...sizes: bigint[]): { iova: bigint; address: bigint; size: bigint }[] =>
  sizes.map((size, index) => ({ iova: BigInt(index) * 4096n, address: 0n, size }));

describe('an address space that takes one after the other', () => {
  it('maps and unmaps a list', () => {
    const one = space();
    expect(mapEach(one, of(1n, 2n, 3n))).toEqual([0n, 4096n, 8192n]);
    expect(unmapEach(one, of(1n, 2n, 3n))).toBe(6n);
    expect(one.mapped).toEqual([]);
  });

  it('maps all or none, and says which could not be', () => {
    const one = space();
    expect(() => mapEach(one, of(1n, 2n, 0n, 3n))).toThrow('list[2]: Expected a positive size');
    expect(one.mapped).toEqual([]);
  });

  it('unmaps up to the one that could not be', () => {
    const one = space();
    mapEach(one, of(1n, 2n, 3n));
    expect(() => unmapEach(one, of(1n, 0n, 3n))).toThrow('list[1]: Expected a positive size');
    expect(one.mapped).toEqual([4096n, 8192n]);
  });
});
