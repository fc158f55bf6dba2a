/**
 * DMA memory: a block of a pool taken and given back, beside the same stack of pointers in C; and an IOVA given back and allocated,
 * among a thousand and a million, all in one piece or with a hole beside each.
 */
import { Container, DmaPool } from 'vfio';
import { Edu, Machine } from 'vfio/sim';
import { IovaAllocator } from '../lib/memory/iova-allocator.js';
import { beside, floor, medians } from './floor.js';
import { report } from './report.js';

const count = 1024;
const c = floor(`
  static struct { uint64_t iova; uint32_t index; } blocks[${count}]; static void *stack[${count}]; static uint8_t taken[${count}];
  for (int i = 0; i < ${count}; i++) { blocks[i].index = i; stack[i] = &blocks[i]; }
  volatile uint32_t top = ${count};
  MEASURE("take+give", 100000000,
    typeof(&blocks[0]) block = stack[--top]; taken[block->index] = 1;
    if (taken[block->index] != 1 || block != &blocks[block->index]) return 1;
    taken[block->index] = 0; stack[top++] = block);`);

const { kernel } = new Machine({ devices: [{ model: new Edu(), group: 0 }] });
using container = Container.open(kernel);
container.openGroup(0);
container.setIommu();
const pool = DmaPool.create(container, { blockSize: 2048, count });
const tasks = {
  'take+give': () => {
    const block = pool.take();
    if (block !== undefined) pool.give(block);
  },
};
await beside('A block of a pool', c, tasks, 1000, { aims: { 'take+give': { most: 20 } } });

const page = 4096n;
const request = { size: page, alignment: page, ranges: [{ start: 0n, last: (1n << 57n) - 1n }], below: (1n << 57n) - 1n };

/** Gives one of so many back, in no order, and allocates one. */
function exchange(live: number, holes: boolean): () => void {
  const allocator = new IovaAllocator();
  const iovas = Array.from({ length: holes ? 2 * live : live }, () => allocator.allocate(request) ?? 0n);
  if (holes) for (let index = 1; index < iovas.length; index += 2) allocator.release(iovas[index] ?? 0n, page);
  const kept = holes ? iovas.filter((_, index) => index % 2 === 0) : iovas;
  let step = 0;
  return () => {
    step += 1;
    const at = Math.floor(((step * 0.618_033_988_7) % 1) * live);
    allocator.release(kept[at] ?? 0n, page);
    kept[at] = allocator.allocate(request) ?? 0n;
  };
}

const lives = [1000, 10_000, 100_000, 1_000_000];
const rows: Record<string, Record<string, number>> = {};
for (const holes of [false, true]) {
  const exchanges = Object.fromEntries(lives.map((live) => [`${live} live`, exchange(live, holes)]));
  rows[holes ? 'a hole beside each' : 'without holes'] = Object.fromEntries(await medians(exchanges, 100));
}
report({
  title: 'An IOVA given back and allocated',
  unit: 'nanoseconds',
  rows,
  floor: `${lives[0]} live`,
  compared: `${lives.at(-1)} live`,
  aims: Object.fromEntries(Object.keys(rows).map((name) => [name, { times: 3 }])),
});
