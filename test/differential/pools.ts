/** Small pools of interesting numbers, by what a field means. */
import type { Placed } from '../../lib/abi/struct.js';
import type { Value } from './operation.js';
import type { Random } from './random.js';
import type { World } from './world.js';

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const ones = (1n << 64n) - 1n;

/** Device addresses: on and off pages, around the windows of x86 and AMD, the ends of apertures, and of all addresses. */
export const iovas: readonly string[] = [
  ...[0n, 0x1000n, 0x2000n, 0x3000n, 0x4000n, 0x1_0000n, 0x1_1000n, 0x10_0000n, 0x20_0000n, 0x20_1000n, 0x40_0000n],
  ...[0x800n, 0x1_0001n],
  ...[0xfedf_f000n, 0xfee0_0000n, 0xfeef_f000n, 0xfef0_0000n, 0xffff_f000n, 1n << 32n],
  ...[0xfc_ffff_f000n, 0xfd_0000_0000n, 0x100_0000_0000n],
  ...[39n, 47n, 48n, 57n, 63n].flatMap((bits) => [(1n << bits) - 0x1000n, 1n << bits]),
  ...[ones - 0x1fffn, ones - 0xfffn, ones],
].map(hex);

/** Where most mappings go, so that they meet each other. */
export const usualIovas: readonly string[] = iovas.slice(0, 11);

/**
 * Sizes: nothing, parts of pages, a few pages, and more than there is. None in between: what lies behind the memory that is
 * given to devices is the process's own.
 */
export const usualSizes: readonly string[] = [0x1000n, 0x1000n, 0x1000n, 0x2000n, 0x3000n, 0x4000n, 0x1_0000n].map(hex);
export const sizes: readonly string[] = [
  ...usualSizes,
  ...[0n, 1n, 0x800n, 0x1001n, 0x10_0000n, 0x20_0000n, 1n << 40n, 1n << 63n, ones - 0xfffn, ones].map(hex),
];

/** Addresses of the process: memory it has, and ones that nobody can have. */
const memory = ['memory+0x0', 'memory+0x1000', 'memory+0x2000', 'memory+0x4000', 'memory+0x10000'];
const addresses: readonly string[] = [
  ...memory,
  ...['memory+0x800', 'scratch+0x0', 'scratch+0x100', 'scratch+0x800', 'scratch+0x4'],
  ...[0n, 0x1000n, 0x1800n, 1n << 47n, 0xffff_8000_0000_0000n, ones - 0xfffn, ones].map(hex),
];
export const usualAddresses: readonly string[] = memory;

const flagWords: readonly number[] = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x20, 0x8000_0000];
const numbers: readonly Value[] = [0, 0, 1, 2, 3, 4, 5, 8, 9, 16, 0x1000, 0x8000_0000, 0xffff_ffff];

/** Fields that kernels loop over or fill by: no more than there is room for in the memory for lists. */
const bounded: Readonly<Record<string, readonly Value[]>> = {
  num_iovas: [0, 1, 2, 3, 8],
  data_len: [0, 1, 8, 16, 24, 32, 40, 0x400],
  entry_len: [0, 16, 24, 32],
  entry_num: [0, 1, 2, 3],
  pgsize: [0, 1, 3, '0x1000', '0x2000', '0x200000'],
  page_size: [0, 1, 3, '0x1000', '0x2000', '0x200000'],
  offset: [0, 0x4, 0x80, 0xf_fffc, '0x10000000000', '0x70000000000', '0x90000000000', '0x7fffffffffffffff'],
  index: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xffff_ffff],
  start: [0, 0, 0, 1, 2, 0xffff_ffff],
  count: [0, 1, 1, 2, 3, 0xffff_ffff],
};

/** Any value for a field, by its name or by what its declaration says it means. */
export function anyValue(random: Random, world: World, { name, field }: Placed): Value {
  const known = bounded[name];
  if (known !== undefined) return random.pick(known) ?? 0;
  if (field.kind !== 'scalar') return 0;
  switch (field.meaning) {
    case 'flags':
      return random.pick(flagWords) ?? 0;
    case 'fd':
      return anyFd(random, world);
    case 'id':
      return anyId(random, world);
    case 'iova':
      return random.pick(iovas) ?? 0;
    case 'address':
      return random.pick(addresses) ?? 0;
    case 'reserved':
      return random.chance(0.8) ? 0 : 1;
    case 'argsz':
    case 'number':
      return (field.size === 8 ? random.pick(sizes) : random.pick(numbers)) ?? 0;
  }
}

export function anyFd(random: Random, world: World): Value {
  return random.chance(0.9) ? (random.pick(world.files)?.ref ?? -1) : -1;
}

export function anyId(random: Random, world: World): Value {
  return random.chance(0.85) ? (random.pick(world.objects)?.ref ?? 1) : random.pick([0, 1, 2, 3, 7, 0xffff_ffff, 0x7fff_ffff]);
}

/** Where a region begins in a device's file. No region is as far as 2^63. */
export function regionOffset(index: number, offset: number): string {
  return hex((BigInt(Math.min(index, 12)) << regionBits) + BigInt(offset));
}

export function regionOf(offset: Value): number {
  const number = typeof offset === 'string' && offset.startsWith('#') ? 0n : BigInt(offset);
  return Number(number >> regionBits);
}

/** Where in its region. */
export function placeIn(offset: Value): number {
  return Number(BigInt.asUintN(Number(regionBits), BigInt(offset)));
}
const regionBits = 40n;
