/** Registers of a region of which only parts can be mapped: an access of any width goes to where its register is. */
import { describe, expect, it } from 'vitest';
import { DescribedMmio, makeAccess, type RegisterAccess } from '../../lib/kernel/register-access.js';
import { SparseMmio } from '../../lib/vfio/mmio.js';

const page = 4096;

/** Of five pages the second and the fourth are mapped; the others are reached through the file. */
function sparse(): { mmio: SparseMmio; made: [place: string, access: RegisterAccess][] } {
  const made: [string, RegisterAccess][] = [];
  const place = (name: string): DescribedMmio =>
    new DescribedMmio((access) => {
      made.push([name, access]);
      return access.name === 'read64' ? 7n : 7;
    });
  const areas = [1, 3].map((index) => ({ offset: index * page, size: page, mmio: place(`page ${index}`) }));
  return { mmio: new SparseMmio(areas, place('file'), 5 * page), made };
}

/** Where an access belongs, and at which offset there. */
const places = [
  { offset: 0, place: 'file', within: 0 },
  { offset: page - 8, place: 'file', within: page - 8 },
  { offset: page, place: 'page 1', within: 0 },
  { offset: 2 * page - 8, place: 'page 1', within: page - 8 },
  { offset: 2 * page, place: 'file', within: 2 * page },
  { offset: 3 * page + 16, place: 'page 3', within: 16 },
  { offset: 4 * page, place: 'file', within: 4 * page },
];

describe.each(places)('at $offset', ({ offset, place, within }) => {
  it.each(['read8', 'read16', 'read32', 'read64'] as const)('%s', (name) => {
    const { mmio, made } = sparse();
    expect(makeAccess(mmio, { name, offset })).toBe(name === 'read64' ? 7n : 7);
    expect(made).toEqual([[place, { name, offset: within }]]);
  });

  it.each(['write8', 'write16', 'write32', 'write64'] as const)('%s', (name) => {
    const { mmio, made } = sparse();
    const value = name === 'write64' ? 9n : 9;
    makeAccess(mmio, { name, offset, value });
    expect(made).toEqual([[place, { name, offset: within, value }]]);
  });
});

it('a range goes over from a mapping to the file, register by register', () => {
  const { mmio, made } = sparse();
  mmio.readRange(2 * page - 4, new Uint32Array(2));
  expect(made).toEqual([
    ['page 1', { name: 'read32', offset: page - 4 }],
    ['file', { name: 'read32', offset: 2 * page }],
  ]);
});

it('what lies outside of the region is refused before anything is accessed', () => {
  const { mmio, made } = sparse();
  expect(() => mmio.readRange(5 * page - 4, new Uint32Array(2))).toThrow(RangeError);
  expect(() => mmio.writeList(Uint32Array.of(0, 5 * page), Uint32Array.of(1, 1))).toThrow(`for offsets[1] but received ${5 * page}`);
  expect(made).toEqual([]);
});
