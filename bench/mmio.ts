/**
 * Register accesses: those of a mapping, and the same volatile accesses in C, on memory. Those of others are not checked: one that is
 * outside the mapping, or that the hardware refuses, ends the process. They are made one by one.
 */
import { native } from 'vfio';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';
import { ffiNapi } from './ffi-napi.js';
import { beside, floor } from './floor.js';
import { koffi } from './koffi.js';
import type { Other } from './other.js';

const c = floor(`
  volatile uint32_t *r = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile uint64_t *q = (volatile uint64_t *)r; uint64_t sum = 0;
  MEASURE("read32", 100000000, sum += r[1]); MEASURE("write32", 100000000, r[1] = i);
  MEASURE("read64", 100000000, sum += q[1]); MEASURE("write64", 100000000, q[1] = i);
  uint32_t range[16];
  MEASURE("range16", 10000000, for (int k = 0; k < 16; k++) ((volatile uint32_t *)range)[k] = r[k]);
  MEASURE("list16", 10000000, for (int k = 0; k < 16; k++) r[k] = range[k]);
  r[8] = 0;
  MEASURE("pollMatching", 100000000, while ((r[8] & 1) != 0));
  MEASURE("poll10Microseconds", 10000, double end = now() + 1e4; while ((r[8] & 1) != 1 && now() < end));
  r[0] = sum;`);

/** Beside `mmio` and `fastMmio`: C and others have but one form for both. */
function besideBoth<Value>(single: Iterable<readonly [name: string, Value]>): [name: string, Value][] {
  return [...single].flatMap(([name, value]) => [
    [name, value],
    [`fast ${name}`, value],
  ]);
}

const mapping = native().mmap(-1, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
if (typeof mapping === 'number') throw new Error(`mmap: ${mapping}`);
const { mmio, fastMmio } = mapping;
const single = {
  read32: () => void mmio.read32(4),
  write32: () => mmio.write32(4, 7),
  read64: () => void mmio.read64(8),
  write64: () => mmio.write64(8, 7n),
  'fast read32': () => void fastMmio.read32(4),
  'fast write32': () => fastMmio.write32(4, 7),
  'fast read64': () => void fastMmio.read64(8),
  'fast write64': () => fastMmio.write64(8, 7n),
};
const register = koffi.register(8);
const byKoffi = {
  read32: () => void register.read32(),
  write32: () => register.write32(7),
  read64: () => void register.read64(),
  write64: () => register.write64(7),
};
function byFfiNapi(ffi: Other) {
  const register = ffi.register(8);
  return {
    read64: () => void register.read64(),
    write64: () => register.write64(7),
  };
}
await beside('A register access', new Map(besideBoth(c)), single, 1000, {
  others: {
    koffi: Object.fromEntries(besideBoth(Object.entries(byKoffi))),
    'ffi-napi': ffiNapi && Object.fromEntries(besideBoth(Object.entries(byFfiNapi(ffiNapi)))),
  },
  aims: {
    ...Object.fromEntries(['read32', 'write32', 'read64', 'write64'].map((name) => [name, { most: 35 }])),
    'fast read32': { most: 12 },
    'fast read64': { most: 12 },
    'fast write32': { most: 2 },
    'fast write64': { most: 2 },
  },
});

const values = new Uint32Array(16);
const offsets = values.map((_, index) => 4 * index);
const batch = {
  range16: () => mmio.readRange(0, values),
  list16: () => mmio.writeList(offsets, values),
  pollMatching: () => void mmio.poll32(32, { mask: 1, wanted: 0, timeoutMilliseconds: 1 }),
  poll10Microseconds: () => void mmio.poll32(32, { mask: 1, wanted: 1, timeoutMilliseconds: 0.01 }),
};
const registers = Array.from(offsets, (offset) => koffi.register(offset));
const polled = koffi.register(32);
function poll(wanted: number, timeoutMilliseconds: number): void {
  const end = performance.now() + timeoutMilliseconds;
  while ((polled.read32() & 1) !== wanted && performance.now() < end);
}
const batchByKoffi = {
  range16: () => registers.forEach((each, index) => (values[index] = each.read32())),
  list16: () => registers.forEach((each, index) => each.write32(values[index] ?? 0)),
  pollMatching: () => poll(0, 1),
  poll10Microseconds: () => poll(1, 0.01),
};
await beside('Many register accesses in one call', c, batch, 100, {
  others: { koffi: batchByKoffi },
  aims: { poll10Microseconds: { times: 1.1 } },
});
mapping.unmap();
