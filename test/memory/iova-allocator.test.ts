import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KernelError } from '../../lib/kernel/error.js';
import type { IovaRange } from '../../lib/memory/address-space.js';
import { IovaAllocator, type IovaRequest } from '../../lib/memory/iova-allocator.js';

const page = 0x1000n;
const top = 0xffff_ffff_ffff_ffffn;
const everything: readonly IovaRange[] = [{ start: 0n, last: top }];
const anywhere = { size: page, alignment: page, ranges: everything, below: top };

/** What is taken, as a list that is searched from the start. */
class NaiveAllocator {
  #taken: IovaRange[] = [];

  lowest({ size, alignment, ranges, below, from = 0x1_0000n }: IovaRequest): bigint | undefined {
    const up = (value: bigint): bigint => (value + alignment - 1n) & -alignment;
    for (const range of ranges) {
      const last = range.last < below ? range.last : below;
      let start = up(range.start > from ? range.start : from);
      for (const taken of this.#taken) {
        if (taken.last < start) continue;
        if (start + size - 1n < taken.start) break;
        start = up(taken.last + 1n);
      }
      if (start + size - 1n <= last) return start;
    }
    return undefined;
  }

  /** Takes what is free, and where it may be. */
  take(iova: bigint, { size, alignment, ranges, below, from = 0x1_0000n }: IovaRequest): void {
    const last = iova + size - 1n;
    expect(this.#taken.filter((taken) => taken.start <= last && iova <= taken.last)).toEqual([]);
    expect(ranges.some((range) => range.start <= iova && last <= range.last)).toBe(true);
    expect([iova % alignment, iova >= from, last <= below]).toEqual([0n, true, true]);
    this.#taken.push({ start: iova, last });
    this.#taken.sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  release(iova: bigint, size: bigint): void {
    const last = iova + size - 1n;
    this.#taken = this.#taken.flatMap((taken) =>
      [
        { start: taken.start, last: taken.last < iova ? taken.last : iova - 1n },
        { start: taken.start > last ? taken.start : last + 1n, last: taken.last },
      ].filter((rest) => rest.start <= rest.last),
    );
  }
}

/** Few pages, so that they are often full, at both ends of the address space. */
const places: readonly (readonly IovaRange[])[] = [
  [{ start: 0n, last: 0x3_ffffn }],
  [
    { start: 0x1_2000n, last: 0x1_8fffn },
    { start: 0x2_0800n, last: 0x2_f7ffn },
  ],
  [{ start: top - 0x1_ffffn, last: top }],
  [
    { start: 0n, last: 0x2_0fffn },
    { start: 0xffff_ffff_0000_0000n, last: top },
  ],
];

const request = fc.record({
  kind: fc.constant('allocate' as const),
  size: fc.constantFrom(1, 1, 1, 2, 2, 3, 4, 9).map((count) => BigInt(count) * page),
  alignment: fc.constantFrom(page, page, page, 2n * page, 4n * page, 16n * page),
  ranges: fc.constantFrom(...places),
  below: fc.constantFrom(top, top, 0x1_ffffn, 0x2_27ffn, 0xffff_ffff_ffff_7fffn),
  from: fc.constantFrom(undefined, undefined, 0x1_5000n, 0x2_0001n),
});
const release = fc.record({
  kind: fc.constant('release' as const),
  which: fc.nat(),
  pages: fc.integer({ min: 1, max: 12 }),
  whole: fc.boolean(),
});

describe('IovaAllocator', () => {
  it('picks what was as large when it was given back, or what a search from the lowest address on picks, as long as there is any', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(request, release, request), { maxLength: 120 }), (steps) => {
        const [allocator, naive] = [new IovaAllocator(), new NaiveAllocator()];
        const live: { iova: bigint; size: bigint }[] = [];
        const givenBack = new Set<string>();
        for (const step of steps) {
          if (step.kind === 'allocate') {
            const { kind: _, from, ...rest } = step;
            const asked: IovaRequest = from === undefined ? rest : { ...rest, from };
            const iova = allocator.allocate(asked);
            const lowest = naive.lowest(asked);
            if (iova === undefined || !givenBack.has(`${iova} ${asked.size}`)) expect(iova).toBe(lowest);
            if (iova === undefined) continue;
            naive.take(iova, asked);
            live.push({ iova, size: asked.size });
          } else if (live.length > 0) {
            const at = step.which % live.length;
            const { iova, size } = live[at]!;
            // More than what was picked, as an unmap of a range may be; and less.
            const length = step.whole ? size : BigInt(step.pages) * page;
            const most = top - iova + 1n;
            for (const each of [allocator, naive]) each.release(iova, length < most ? length : most);
            givenBack.add(`${iova} ${length < most ? length : most}`);
            // Some are given back once more later.
            if (step.which % 5 !== 0) live.splice(at, 1);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has all that was given back to pick from, when nothing else is left', () => {
    const size = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 100 }), size, (sizes, again) => {
        const allocator = new IovaAllocator();
        const all = BigInt(sizes.reduce((sum, count) => sum + count)) * page;
        const request = { ...anywhere, below: 0x1_0000n + all - 1n };
        const pieces = sizes.map((count) => ({ iova: allocator.allocate({ ...request, size: BigInt(count) * page })!, count }));
        expect(allocator.allocate(request)).toBeUndefined();
        for (const { iova, count } of pieces) allocator.release(iova, BigInt(count) * page);
        const piece = { ...request, size: BigInt(again) * page };
        if (piece.size <= all) allocator.release(allocator.allocate(piece)!, piece.size);
        expect(allocator.allocate({ ...request, size: all })).toBe(0x1_0000n);
      }),
    );
  });

  it('uses again what was given back last, before what is lower', () => {
    const allocator = new IovaAllocator();
    const [first, , third] = Array.from({ length: 4 }, () => allocator.allocate(anywhere)!);
    allocator.release(first!, page);
    expect(allocator.allocate({ ...anywhere, size: 2n * page })).toBe(0x1_4000n);
    allocator.release(third!, page);
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: 0x2_0000n, last: top }] })).toBe(0x2_0000n);
    allocator.release(0x2_0000n, page);
    expect([allocator.allocate(anywhere), allocator.allocate(anywhere)]).toEqual([0x2_0000n, first]);
  });

  it('uses nothing again that the next request does not allow', () => {
    const allocator = new IovaAllocator();
    for (const other of [
      { ...anywhere, alignment: 0x10_0000n },
      { ...anywhere, ranges: [{ start: 0x20_0000n, last: top }] },
      { ...anywhere, below: 0x1_0fffn },
      { ...anywhere, from: 0x30_0000n },
    ]) {
      expect(allocator.allocate(anywhere)).toBe(0x1_0000n);
      const next = allocator.allocate(anywhere)!;
      allocator.release(next, page);
      expect(allocator.allocate(other)).not.toBe(next);
      allocator.releaseAll();
    }
  });

  it('gives out once what was given back twice, or was never picked', () => {
    const allocator = new IovaAllocator();
    const iova = allocator.allocate(anywhere)!;
    allocator.release(iova, page);
    allocator.release(iova, page);
    allocator.release(iova + page, page);
    allocator.release(iova, 2n * page);
    expect(Array.from({ length: 3 }, () => allocator.allocate(anywhere))).toEqual([iova, iova + page, iova + 2n * page]);
  });

  it('starts at 64 KiB and ends at the last byte there is', () => {
    const allocator = new IovaAllocator();
    expect(allocator.allocate(anywhere)).toBe(0x1_0000n);
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: top - page + 1n, last: top }] })).toBe(top - page + 1n);
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: top - page + 1n, last: top }] })).toBeUndefined();
    allocator.release(top - page + 1n, page);
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: top - page + 1n, last: top }] })).toBe(top - page + 1n);
  });

  it('keeps below what a device drives, and to a multiple of large pages', () => {
    const allocator = new IovaAllocator();
    const edu = { ...anywhere, below: 0xfff_ffffn };
    expect(allocator.allocate({ ...edu, size: 0xfff_0000n })).toBe(0x1_0000n);
    expect(allocator.allocate(edu)).toBeUndefined();
    expect(allocator.allocate({ ...anywhere, size: 0x4000_0000n, alignment: 0x4000_0000n, below: 0xffff_ffffn })).toBe(0x4000_0000n);
    expect(allocator.allocate({ ...anywhere, size: 0x20_0000n, alignment: 0x20_0000n })).toBe(0x1000_0000n);
    expect(allocator.allocate(anywhere)).toBe(0x1020_0000n);
  });

  it('follows the ranges as they change', () => {
    const allocator = new IovaAllocator();
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: 0x10_0000n, last: top }] })).toBe(0x10_0000n);
    expect(allocator.allocate(anywhere)).toBe(0x1_0000n);
    expect(allocator.allocate({ ...anywhere, ranges: [{ start: 0x10_0000n, last: 0x10_0fffn }] })).toBeUndefined();
    expect(allocator.allocate({ ...anywhere, ranges: [] })).toBeUndefined();
  });

  it('gives everything back at once', () => {
    const allocator = new IovaAllocator();
    for (let count = 0; count < 100; count += 1) allocator.allocate({ ...anywhere, alignment: 4n * page });
    allocator.releaseAll();
    expect(allocator.allocate({ ...anywhere, size: 1n << 40n })).toBe(0x1_0000n);
  });

  it('keeps a hundred thousand apart, in holes between others too', () => {
    const allocator = new IovaAllocator();
    const count = 100_000;
    const iovas = Array.from({ length: count }, () => allocator.allocate(anywhere)!);
    for (let index = 0; index < count; index += 2) allocator.release(iovas[index]!, page);
    expect(allocator.allocate({ ...anywhere, size: 2n * page })).toBe(0x1_0000n + BigInt(count) * page);
    const again = Array.from({ length: count / 2 }, () => allocator.allocate(anywhere)!);
    expect(again).toEqual(iovas.filter((_, index) => index % 2 === 0));
  });

  it('refuses a size that is none', () => {
    const allocator = new IovaAllocator();
    expect(() => allocator.allocate({ ...anywhere, size: 0n })).toThrow('Expected a positive number of bytes for size but received 0');
    allocator.release(0x1_0000n, 0n);
  });

  describe('mapping', () => {
    const refuse = (errno: number): never => {
      throw new KernelError(errno, { syscall: 'ioctl' });
    };

    it('goes on behind what it does not know of, in steps that grow', () => {
      const allocator = new IovaAllocator();
      const tried: bigint[] = [];
      const iova = allocator.allocateMapped(anywhere, (free) => {
        tried.push(free);
        if (free < 0x2_0000n) refuse(-17);
      });
      expect(tried).toEqual([0x1_0000n, 0x1_1000n, 0x1_3000n, 0x1_7000n, 0x1_f000n, 0x2_f000n]);
      expect(iova).toBe(0x2_f000n);
      expect(allocator.allocate(anywhere)).toBe(0x1_0000n);
    });

    it('takes nothing when the kernel refuses, and says when nothing is free', () => {
      const allocator = new IovaAllocator();
      expect(() => allocator.allocateMapped(anywhere, () => refuse(-12))).toThrow(/^ENOMEM/);
      expect(() => allocator.allocateMapped({ ...anywhere, below: 0x1_1fffn }, () => refuse(-17))).toThrow(
        'Expected a size for which an IOVA up to 0x11fff is free for size but received 4096',
      );
      expect(allocator.allocate(anywhere)).toBe(0x1_0000n);
    });
  });
});
