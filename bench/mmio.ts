/** One register access: the accessor of a mapping, and the same volatile access in C, on memory. */
import { native } from 'vfio';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from 'vfio/abi';
import { beside, floor } from './floor.js';

const c = floor(`
  volatile uint32_t *r = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile uint64_t *q = (volatile uint64_t *)r; uint64_t sum = 0;
  MEASURE("read32", 100000000, sum += r[1]); MEASURE("write32", 100000000, r[1] = i);
  MEASURE("read64", 100000000, sum += q[1]); MEASURE("write64", 100000000, q[1] = i);
  r[0] = sum;`);

const mapping = native().mmap(-1, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
if (typeof mapping === 'number') throw new Error(`mmap: ${mapping}`);
const { mmio } = mapping;
const tasks = {
  read32: () => void mmio.read32(4),
  write32: () => mmio.write32(4, 7),
  read64: () => void mmio.read64(8),
  write64: () => mmio.write64(8, 7n),
};
await beside('A register access', c, tasks, 1000);
mapping.unmap();
