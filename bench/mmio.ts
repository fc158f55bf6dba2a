/** Register accesses: those of a mapping, and the same volatile accesses in C, on memory. */
import { native } from 'vfio';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';
import { beside, floor } from './floor.js';

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
for (const form of ['Read32', 'Write32', 'Read64', 'Write64']) c.set(`fast${form}`, c.get(form.toLowerCase()) ?? NaN);

const mapping = native().mmap(-1, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
if (typeof mapping === 'number') throw new Error(`mmap: ${mapping}`);
const { mmio, fastMmio } = mapping;
const single = {
  read32: () => void mmio.read32(4),
  write32: () => mmio.write32(4, 7),
  read64: () => void mmio.read64(8),
  write64: () => mmio.write64(8, 7n),
  fastRead32: () => void fastMmio.read32(4),
  fastWrite32: () => fastMmio.write32(4, 7),
  fastRead64: () => void fastMmio.read64(8),
  fastWrite64: () => fastMmio.write64(8, 7n),
};
await beside('A register access', c, single, 1000);

const values = new Uint32Array(16);
const offsets = values.map((_, index) => 4 * index);
const batch = {
  range16: () => mmio.readRange(0, values),
  list16: () => mmio.writeList(offsets, values),
  pollMatching: () => void mmio.poll32(32, { mask: 1, wanted: 0, timeoutMilliseconds: 1 }),
  poll10Microseconds: () => void mmio.poll32(32, { mask: 1, wanted: 1, timeoutMilliseconds: 0.01 }),
};
await beside('Many register accesses in one call', c, batch, 100);
mapping.unmap();
