/** What of the simulated /dev/iommu no request of a machine without attached devices shows. */
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { IOMMU_DESTROY } from '../../lib/abi/iommufd/object.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Machine } from '../../lib/sim/index.js';
import { Ioas, top } from '../../lib/sim/iommufd/ioas.js';
import { IommufdObject, ObjectTable } from '../../lib/sim/iommufd/objects.js';
import { UserPages } from '../../lib/sim/iommufd/pages.js';
import { holes, mergeSorted, usedSpans } from '../../lib/sim/iommufd/spans.js';
import { LockedMemory, type Platform } from '../../lib/sim/platform.js';
import { UserMemory } from '../../lib/sim/user-memory.js';
import { IntervalMap } from '../../lib/sim/interval-map.js';

class Thing extends IommufdObject {
  readonly #needs: IommufdObject | undefined;
  readonly #log: string[];
  readonly #name: string;

  constructor(name: string, log: string[], needs?: IommufdObject) {
    super();
    this.#name = name;
    this.#log = log;
    this.#needs = needs;
    if (needs !== undefined) needs.users += 1;
  }

  override release(): void {
    this.#log.push(this.#name);
    if (this.#needs !== undefined) this.#needs.users -= 1;
  }
}

describe('objects', () => {
  it('that another needs are EBUSY, until it is gone', () => {
    const table = new ObjectTable();
    const log: string[] = [];
    const needed = new Thing('needed', log);
    expect([table.add(needed), table.add(new Thing('needing', log, needed))]).toEqual([1, 2]);
    expect(table.destroy(1)).toBe(-errno.EBUSY);
    expect([table.destroy(2), table.destroy(1), table.size]).toEqual([0, 0, 0]);
    expect(log).toEqual(['needing', 'needed']);
  });

  it('go in the order of who needs whom when the file is closed', () => {
    const table = new ObjectTable();
    const log: string[] = [];
    const first = new Thing('first', log);
    const second = new Thing('second', log, first);
    for (const thing of [first, second, new Thing('third', log, second)]) table.add(thing);
    table.releaseAll();
    expect(log).toEqual(['third', 'second', 'first']);
  });

  it('that need each other in a circle are a mistake of this simulation', () => {
    const table = new ObjectTable();
    const first = new Thing('first', []);
    const second = new Thing('second', [], first);
    second.users += 1;
    for (const thing of [first, second]) table.add(thing);
    expect(() => table.releaseAll()).toThrow('circle');
  });
});

describe('reserved IOVAs', () => {
  const owner = {};
  const pages = new UserPages(0x7000_0000_0000n, true);
  const platform = { memory: new UserMemory(), lockedMemory: new LockedMemory(undefined) } as Platform;
  const slice = { pages, offset: 0n, length: 0x1000n };
  const access = { readable: true, writable: true };

  it('are left out of the ranges, refused, and avoided', () => {
    const ioas = new Ioas(platform);
    expect(ioas.reserve({ start: 0x3000n, last: 0x4fffn }, owner)).toBe(0);
    expect(ioas.reserve({ start: 0n, last: 0x1fffn }, owner)).toBe(0);
    expect(ioas.reserve({ start: 0x4000n, last: 0x5fffn }, {})).toBe(0);
    expect(ioas.ranges()).toEqual([
      { start: 0x2000n, last: 0x2fffn },
      { start: 0x6000n, last: top },
    ]);
    expect(ioas.map([slice], 0x1000n, 0x1000n, access)).toBe(-errno.EINVAL);
    expect(ioas.map([slice], 0x1000n, undefined, access)).toBe(0x2000n);
    expect(ioas.map([slice], 0x1000n, undefined, access)).toBe(0x6000n);
    ioas.unreserve(owner);
    expect(ioas.map([slice], 0x1000n, undefined, access)).toBe(0x1000n);
    expect(ioas.ranges()).toEqual([
      { start: 0n, last: 0x3fffn },
      { start: 0x6000n, last: top },
    ]);
  });

  it('may hold no mapping and nothing that is allowed', () => {
    const ioas = new Ioas(platform);
    const allowed = new IntervalMap<{ start: bigint; last: bigint }>();
    allowed.insert({ start: 0x1_0000n, last: 0x1_ffffn });
    expect(ioas.allow(allowed)).toBe(0);
    expect(ioas.map([slice], 0x1000n, 0x9000n, access)).toBe(0x9000n);
    expect(ioas.reserve({ start: 0x9fffn, last: 0xa000n }, owner)).toBe(-errno.EADDRINUSE);
    expect(ioas.reserve({ start: 0x1_f000n, last: 0x2_0000n }, owner)).toBe(-errno.EADDRINUSE);
    expect(ioas.reserve({ start: 0x2_0000n, last: 0x2_0fffn }, owner)).toBe(0);
    allowed.insert({ start: 0x2_0fffn, last: 0x2_1fffn });
    expect(ioas.allow(allowed)).toBe(-errno.EADDRINUSE);
  });
});

it('spans join what touches, and holes are between them', () => {
  const range = (start: bigint, last: bigint): { start: bigint; last: bigint } => ({ start, last });
  const merged = [...mergeSorted([range(1n, 2n), range(8n, 9n)], [range(3n, 3n), range(5n, 8n)])];
  expect(merged.map(({ start }) => start)).toEqual([1n, 3n, 5n, 8n]);
  expect([...usedSpans(merged, 2n, 8n)]).toEqual([range(2n, 3n), range(5n, 8n)]);
  expect([...holes(merged, 0n, 12n)]).toEqual([range(0n, 0n), range(4n, 4n), range(10n, 12n)]);
});

it('a struct that runs past the end of its memory is EFAULT', () => {
  const { kernel } = new Machine();
  const fd = kernel.open('/dev/iommu', 2);
  const { memory } = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
  const at = (offset: number): number => kernel.ioctl(fd, IOMMU_DESTROY.number, Number(kernel.addressOf(memory)) + offset);
  new Uint32Array(memory).set([12, 8], 1022);
  expect([at(4088), at(4092), at(4096)]).toEqual([-errno.EFAULT, -errno.EFAULT, -errno.EFAULT]);
  kernel.close(fd);
});

it('a POWER machine has no /dev/iommu', () => {
  const { kernel } = new Machine({ iommu: 'spapr' });
  expect(kernel.open('/dev/iommu', 2)).toBe(-errno.ENOENT);
});
