/** What is not even a system call throws the same on the real kernel and on the simulated one. */
import { describe, expect, it } from 'vitest';
import { native } from '../../lib/kernel/native.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Machine } from '../../lib/sim/index.js';

const never = 0x3fff_ffff;
const bytes = new Uint8Array(8);
const anonymous = 0x22;

/** Good arguments of each call, none of which does anything: the fd is nobody's. */
const calls = {
  open: ['/dev/nothing', 2],
  close: [never],
  ioctl: [never, 0x3b64, 0],
  ioctlMany: [never, 0x3b64, bytes, new Int32Array(2)],
  ioctlAsync: [never, 0x3b64, bytes, never],
  read: [never, bytes],
  write: [never, bytes],
  pread: [never, bytes, 0],
  pwrite: [never, bytes, 0],
  mmap: [never, 4096, 3, 1, 0, 0],
  memfd: ['', 0, 0xffff_ffff],
  eventfd: [0, 0x7fff_ffff],
  addressOf: [new ArrayBuffer(8)],
  watch: [never, () => {}],
  watchCount: [never, () => {}],
} satisfies Partial<Record<keyof Kernel, readonly unknown[]>>;

const anything: readonly unknown[] = [
  ...[undefined, null, true, -1, -2, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 47 + 1, 2 ** 53],
  ...['', '12', 'a\0b', 'x'.repeat(100), 1n, 2n ** 300n, Symbol('s'), () => {}],
  ...[{}, [], { valueOf: () => 1 }, new Uint8Array(8), new Uint16Array(4), new DataView(new ArrayBuffer(8)), Buffer.alloc(8)],
  ...[new ArrayBuffer(0), new ArrayBuffer(8), new SharedArrayBuffer(8)],
  ...[0x10 | anonymous, 0x10_0000 | anonymous, 0x100 | anonymous],
];

/** The exception that misuse is; 'a call' otherwise, whatever its answer. */
async function outcome(kernel: Kernel, call: keyof typeof calls, given: readonly unknown[]): Promise<string> {
  try {
    const result = await (kernel[call] as (...values: readonly unknown[]) => unknown)(...given);
    if (typeof result === 'number' && result >= 0) kernel.close(result);
    return 'a call';
  } catch (error) {
    return String(error);
  }
}

describe.each(Object.keys(calls) as (keyof typeof calls)[])('%s', (call) => {
  const real = native();
  const simulated = new Machine().kernel;

  it.each(calls[call].map((_, index) => index))('argument %i', async (index) => {
    const outcomes = [];
    for (const value of anything) {
      const given = calls[call].with(index, value as never);
      outcomes.push({
        value: typeof value === 'bigint' ? 'bigint' : value,
        real: await outcome(real, call, given),
        simulated: await outcome(simulated, call, given),
      });
    }
    expect(outcomes.some(({ real }) => /^(Type|Range)Error: Expected .* but received /.test(real))).toBe(true);
    for (const { value, real, simulated } of outcomes) if (real !== simulated) expect.soft([value, simulated]).toEqual([value, real]);
  });
});
