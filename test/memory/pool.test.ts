import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { audit, DmaPool, openDevice, SharedBuffer, type AuditedKernel, type DmaBlock, type OpenDevice } from '../../lib/index.js';
import { DmaBlock as Block } from '../../lib/memory/pool.js';
import { Edu, Machine } from '../../lib/sim/index.js';

describe('DmaPool', () => {
  let opened: OpenDevice;
  let kernel: AuditedKernel;

  beforeEach(() => {
    kernel = audit(new Machine({ devices: [{ model: new Edu() }] }).kernel);
    opened = openDevice(kernel, '0000:00:03.0');
  });
  afterEach(() => opened.close());

  const create = (blockSize: number, count: number): DmaPool => DmaPool.create(opened.dma, { blockSize, count });

  it('has all its blocks in one mapping, apart from each other, where devices see them', () => {
    const before = kernel.held().length;
    const pool = create(100, 50);
    expect(kernel.held().length - before).toBe(2);
    const blocks = Array.from({ length: 50 }, () => pool.take()!);
    expect(pool.take()).toBeUndefined();
    expect(blocks.map(({ index }) => index)).toEqual(Array.from({ length: 50 }, (_, index) => index));
    for (const { index, offset, iova, bytes } of blocks) {
      expect([offset, iova, bytes.byteLength]).toEqual([index * 128, pool.buffer.iova + BigInt(offset), 100]);
      bytes.fill(index);
    }
    expect(blocks.every(({ index, bytes }) => bytes.every((byte) => byte === index))).toBe(true);
    expect(pool.buffer.bytes[128 * 7]).toBe(7);
    expect(pool.at(7)).toBe(blocks[7]);
    expect(() => pool.at(50)).toThrow('Expected an integer from 0 to 49 for index but received 50');
  });

  it('takes first what was given last', () => {
    const pool = create(64, 3);
    const [first, second] = [pool.take()!, pool.take()!];
    pool.give(second);
    pool.give(first);
    expect([pool.take(), pool.take()]).toEqual([first, second]);
  });

  it('takes and gives many by their numbers', () => {
    const pool = create(100, 5);
    const numbers = new Uint32Array(8).fill(99);
    expect([pool.takeMany(numbers, 1, 3), ...numbers]).toEqual([3, 99, 0, 1, 2, 99, 99, 99, 99]);
    expect(pool.at(2).offset).toBe(2 * pool.stride);
    expect(() => pool.give(pool.at(3))).toThrow('a block that is taken for block 3');
    expect(pool.take()!.index).toBe(3);
    expect([pool.takeMany(numbers, 4, 4), pool.takeMany(numbers, 0, 1), pool.free, numbers[4]]).toEqual([1, 0, 0, 4]);
    pool.giveMany(numbers, 1, 4);
    expect([pool.free, pool.take()!.index]).toEqual([4, 4]);
    numbers.set([3, 3]);
    expect(() => pool.giveMany(numbers, 0, 2)).toThrow('Expected a block that is taken for block 3 but received');
    expect(pool.free).toBe(4);
    numbers.set([5]);
    expect(() => pool.giveMany(numbers, 0, 1)).toThrow('Expected an integer from 0 to 4 for index but received 5');
    for (const [start, count] of [
      [-1, 1],
      [0, -1],
      [0, 9],
      [8, 1],
      [0.5, 1],
      [0, NaN],
    ] as const) {
      expect(() => pool.takeMany(numbers, start, count)).toThrow(`Expected a range of the 8 numbers for start and count`);
      expect(() => pool.giveMany(numbers, start, count)).toThrow(RangeError);
    }
    expect(pool.free).toBe(4);
    pool.close();
    expect(() => pool.takeMany(numbers, 0, 1)).toThrow('closed');
    expect(() => pool.giveMany(numbers, 0, 1)).toThrow('closed');
  });

  it('never has a block out twice, and always as many as there are', () => {
    const step = fc.oneof({ weight: 3, arbitrary: fc.constant('take' as const) }, { weight: 3, arbitrary: fc.nat() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 60 }), (count, steps) => {
        const pool = create(32, count);
        const out = new Set<DmaBlock>();
        for (const each of steps) {
          if (each === 'take') {
            const block = pool.take();
            expect(block === undefined).toBe(out.size === count);
            if (block !== undefined) {
              expect(out.has(block)).toBe(false);
              out.add(block);
            }
          } else {
            const block = pool.at(each % count);
            if (out.delete(block)) pool.give(block);
            else
              expect(() => pool.give(block)).toThrow(`Expected a block that is taken for block ${block.index} but received 'a free one'`);
          }
          expect(pool.free).toBe(count - out.size);
        }
        pool.close();
      }),
      { numRuns: 50 },
    );
  });

  it("refuses another pool's block, and an imitation", () => {
    const [pool, other] = [create(64, 2), create(64, 2)];
    pool.take();
    const foreign = other.take()!;
    expect(() => pool.give(foreign)).toThrow("Expected a block of this pool for block 0 but received 'one of another'");
    expect(() => pool.give(new Block(0, 0, foreign.iova, foreign.bytes))).toThrow(RangeError);
    expect(() => pool.give(new Block(-1, 0, 0n, foreign.bytes))).toThrow(RangeError);
    expect([pool.free, other.free]).toEqual([1, 1]);
  });

  it('refuses sizes that are none, and has nothing then', () => {
    const before = kernel.held().length;
    for (const wrong of [0, -1, 0.5, NaN]) {
      expect(() => create(wrong, 1)).toThrow('for blockSize');
      expect(() => create(1, wrong)).toThrow('for count');
    }
    expect(kernel.held().length).toBe(before);
  });

  it('ends with its address space, or before it', () => {
    const [pool, other] = [create(64, 2), create(64, 2)];
    const [block, otherBlock] = [pool.take()!, other.take()!];
    pool.close();
    expect(pool.buffer.closed).toBe(true);
    opened.close();
    for (const each of [pool, other]) expect(() => each.take()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(() => pool.give(block)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(() => other.give(otherBlock)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(block.bytes.byteLength).toBe(0);
    expect(kernel.held()).toEqual([]);
  });

  it('is over memory that another thread shares, whose end it has, and is', () => {
    const buffer = opened.dma.allocate(8192, { shared: true });
    const shared = SharedBuffer.open(kernel, buffer.share());
    const pool = DmaPool.over(shared, { blockSize: 3000 });
    expect([pool.count, pool.free, pool.buffer]).toEqual([2, 2, shared]);
    pool.take();
    const block = pool.take()!;
    block.bytes[0] = 7;
    expect([block.iova, buffer.bytes[3008]]).toEqual([buffer.iova + 3008n, 7]);
    expect(() => DmaPool.over(buffer, { blockSize: 8193 })).toThrow('at most 8192 bytes');
    for (const blockSize of [0, 0.5, NaN]) expect(() => DmaPool.over(buffer, { blockSize })).toThrow('for blockSize');
    expect(DmaPool.over(buffer, { blockSize: 8192 }).count).toBe(1);
    pool.close();
    expect([shared.closed, buffer.closed]).toEqual([true, false]);
    expect(() => pool.take()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    const other = SharedBuffer.open(kernel, buffer.share());
    const over = DmaPool.over(other, { blockSize: 64 });
    other.close();
    expect(() => over.take()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });
});
