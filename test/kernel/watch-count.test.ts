/** Counts of eventfds: the same from the real kernel, from the simulated one, and through a kernel that holds one. */
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { EFD_NONBLOCK } from '../../lib/abi/system.js';
import { Counter } from '../../lib/kernel/counter.js';
import { fail } from '../../lib/kernel/fail.js';
import type { Kernel, Watch } from '../../lib/kernel/kernel.js';
import { native } from '../../lib/kernel/native.js';
import { trace } from '../../lib/kernel/trace.js';
import { Machine } from '../../lib/sim/index.js';

const bytesOf = (count: bigint): Uint8Array => new Uint8Array(new BigUint64Array([count]).buffer);

function watchCount(kernel: Kernel, fd: number, ready: (count: number) => void): Watch {
  const watch = kernel.watchCount(fd, ready);
  if (typeof watch === 'number') throw new Error(`watchCount answered ${watch}`);
  return watch;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i += 1) await sleep(5);
  expect(condition()).toBe(true);
}

describe.each<[string, () => Kernel]>([
  ['the real kernel', native],
  ['the simulated kernel', () => new Machine().kernel],
  ['the real kernel, traced', () => trace(native(), () => {})],
  ['the simulated kernel, traced', () => trace(new Machine().kernel, () => {})],
])('%s', (_name, make) => {
  it('counts what came since the last call, and leaves nothing in the eventfd', async () => {
    const kernel = make();
    const fd = kernel.eventfd(2, EFD_NONBLOCK);
    const counts: number[] = [];
    const watch = watchCount(kernel, fd, (count) => counts.push(count));
    await until(() => counts.length === 1);
    kernel.write(fd, bytesOf(5n));
    kernel.write(fd, bytesOf(2n ** 33n));
    await until(() => counts.length === 2);
    expect(counts).toEqual([2, 2 ** 33 + 5]);
    expect(kernel.read(fd, bytesOf(0n))).toBe(-errno.EAGAIN);
    watch.stop();
    kernel.close(fd);
  });

  it('tells nobody what was read before, and nothing after stop()', async () => {
    const kernel = make();
    const fd = kernel.eventfd(1, EFD_NONBLOCK);
    const counts: number[] = [];
    const watch = watchCount(kernel, fd, (count) => counts.push(count));
    expect(kernel.read(fd, bytesOf(0n))).toBe(8);
    await sleep(20);
    kernel.write(fd, bytesOf(1n));
    watch.stop();
    await sleep(20);
    expect(counts).toEqual([]);
    kernel.close(fd);
  });

  it('an fd that is not open is EBADF', () => {
    expect(make().watchCount(0x3fff_fff0, () => {})).toBe(-errno.EBADF);
  });
});

it('whoever looks on sees the reads, and may refuse them: nothing is lost', async () => {
  const lines: string[] = [];
  const refusing = fail(new Machine().kernel, { on: 'read', errno: 'EIO', nth: 1 });
  const kernel = trace(refusing, ({ text }) => lines.push(text));
  const fd = kernel.eventfd(3, EFD_NONBLOCK);
  const counts: number[] = [];
  const watch = watchCount(kernel, fd, (count) => counts.push(count));
  await until(() => counts.length === 1);
  watch.stop();
  expect(counts).toEqual([3]);
  expect(lines.filter((line) => line.startsWith('read'))).toEqual([
    expect.stringMatching(/= -1 EIO$/),
    expect.stringMatching(/^read\(\d+, .*, 8\) = 8$/),
  ]);
});

it('a counter gives every 64-bit count as its number', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 2n }), (value) => {
      const counter = new Counter((bytes) => {
        bytes.set(bytesOf(value));
        return 8;
      });
      expect(counter.take()).toBe(Number(value));
    }),
  );
  expect(new Counter(() => -errno.EAGAIN).take()).toBe(-errno.EAGAIN);
});
