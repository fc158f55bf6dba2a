/** What can be done with an NVMe drive: files to blocks and back, measuring, verifying. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Controller, type ControllerOptions } from '../../examples/nvme/controller.js';
import type { Namespace } from '../../examples/nvme/namespace.js';
import { perf, type PerfOptions } from '../../examples/nvme/tools/perf.js';
import { readToFile, writeFromFile } from '../../examples/nvme/tools/transfer.js';
import { verify } from '../../examples/nvme/tools/verify.js';
import { openDevice, type OpenDevice } from 'vfio';
import { Machine, Nvme } from 'vfio/sim';

const size = 2 << 20;

/** One that loses half of what it holds, after so many writes of registers. */
class Drive extends Nvme {
  writesLeft = Infinity;

  protected override writeBar(...values: Parameters<Nvme['writeBar']>): void {
    this.writesLeft -= 1;
    if (this.writesLeft === 0) this.disk.clear(0, size / 2);
    super.writeBar(...values);
  }
}

let folder: string;
const closing: OpenDevice[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nvme-'));
});
afterEach(() => {
  closing.splice(0).forEach((opened) => opened.close());
  rmSync(folder, { recursive: true });
});

interface Bench {
  readonly drive: Drive;
  readonly controller: Controller;
  readonly namespace: Namespace;
  readonly dma: OpenDevice['dma'];
}

async function open(options: ControllerOptions = {}, blockSize: 512 | 4096 = 512): Promise<Bench> {
  const drive = new Drive({ size, blockSize });
  const opened = openDevice(new Machine({ devices: [{ model: drive }] }).kernel, '0000:00:03.0');
  closing.push(opened);
  const controller = await Controller.open(opened, options);
  return { drive, controller, namespace: controller.namespaces[0]!, dma: opened.dma };
}

const file = (name: string, bytes: number): { readonly path: string; readonly contents: Buffer } => {
  const contents = Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 7) ^ (index >> 9)));
  const path = join(folder, name);
  writeFileSync(path, contents);
  return { path, contents };
};

it('writes a file and reads it back, in many parts, and says how far it is', async () => {
  const { namespace, dma, drive } = await open();
  const { path, contents } = file('from', 2001 * 512);
  let moved = 0;
  expect(await writeFromFile(namespace, dma, { block: 3n, path }, (blocks) => (moved += blocks))).toBe(2001);
  expect(moved).toBe(2001);
  const held = new Uint8Array(contents.byteLength);
  drive.disk.read(3 * 512, held);
  expect(Buffer.compare(held, contents)).toBe(0);
  const to = join(folder, 'to');
  await readToFile(namespace, dma, { block: 3n, count: 2001, path: to }, (blocks) => (moved -= blocks));
  expect(moved).toBe(0);
  expect(Buffer.compare(readFileSync(to), contents)).toBe(0);
});

it('fills the last block up with zeros where it is told to, and else refuses the file', async () => {
  const { namespace, dma, drive } = await open({}, 4096);
  drive.disk.write(0, new Uint8Array(8192).fill(0xff));
  const { path, contents } = file('short', 1000);
  await expect(writeFromFile(namespace, dma, { block: 0n, path })).rejects.toThrow('no multiple of the block of 4096');
  const held = new Uint8Array(8192);
  drive.disk.read(0, held);
  expect(held.every((byte) => byte === 0xff)).toBe(true);
  expect(await writeFromFile(namespace, dma, { block: 0n, path, pad: true })).toBe(1);
  drive.disk.read(0, held);
  expect(Buffer.compare(held.subarray(0, 1000), contents)).toBe(0);
  expect(held.subarray(1000, 4096).every((byte) => byte === 0)).toBe(true);
  expect(held.subarray(4096).every((byte) => byte === 0xff)).toBe(true);
});

it('moves nothing where not all of the blocks are there', async () => {
  const { namespace, dma } = await open();
  const { path } = file('from', 1024);
  const beyond = 'Expected blocks from 0 to 4095';
  await expect(writeFromFile(namespace, dma, { block: namespace.blocks - 1n, path })).rejects.toThrow(beyond);
  const to = join(folder, 'to');
  await expect(readToFile(namespace, dma, { block: namespace.blocks, count: 1, path: to })).rejects.toThrow(beyond);
  expect(() => readFileSync(to)).toThrow('ENOENT');
  await expect(writeFromFile(namespace, dma, { block: 0n, path: file('empty', 0).path })).rejects.toThrow('is empty');
});

it('ends at the first part that fails, when none is in flight any more', async () => {
  const { namespace, dma, controller } = await open();
  const { path } = file('from', size);
  let parts = 0;
  const failing = (): void => {
    parts += 1;
    throw new Error('The terminal is gone');
  };
  await expect(writeFromFile(namespace, dma, { block: 0n, path }, failing)).rejects.toThrow('The terminal is gone');
  expect(parts).toBeLessThanOrEqual(8);
  expect(controller.io.queue.inFlight).toBe(0);
});

it.each(['interrupts', 'polling'] as const)('measures and verifies with %s', async (completion) => {
  const { controller, namespace, dma } = await open({ completion });
  for (const options of [
    { kind: 'read', random: true, depth: 127, size: 512 },
    { kind: 'mixed', random: false, depth: 4, size: 12288 },
    { kind: 'write', random: true, depth: 1, size: 4096 },
  ] as const) {
    const { operations, seconds, latencies } = await perf(controller, namespace, dma, { ...options, seconds: 0.03 });
    expect(operations).toBeGreaterThanOrEqual(options.depth);
    expect(seconds).toBeGreaterThanOrEqual(0.03);
    expect(latencies.percentile(0.5)).toBeLessThanOrEqual(latencies.percentile(0.999));
    expect(latencies.histogram()).toContain('µs');
  }
  const { reads, writes, blocksRead, blocksWritten } = await verify(controller, namespace, dma, { operations: 3000, depth: 32, seed: 7 });
  expect(reads + writes).toBe(3000);
  expect(reads).toBeGreaterThan(500);
  expect(blocksRead).toBeGreaterThan(reads);
  expect(blocksWritten).toBeGreaterThan(writes);
});

it('finds a block that does not hold what was written last', async () => {
  const { drive, controller, namespace, dma } = await open({ completion: 'polling' });
  drive.writesLeft = 500;
  const verified = verify(controller, namespace, dma, { operations: 100_000, depth: 8, seed: 1, blocks: 1024 });
  await expect(verified).rejects.toThrow(/Block \d+, generation \d+, is wrong from byte [04] on: it says that it is block 0, generation 0/);
});

it('refuses to measure or verify what it cannot', async () => {
  const { controller, namespace, dma } = await open({ depth: 8 });
  const measure = (changed: Partial<PerfOptions>): Promise<unknown> =>
    perf(controller, namespace, dma, { kind: 'read', random: true, depth: 4, size: 4096, seconds: 0.01, ...changed });
  await expect(measure({ depth: 8 })).rejects.toThrow('Expected an integer from 1 to 7 for depth but received 8');
  await expect(measure({ size: 1000 })).rejects.toThrow('Expected a multiple of 512 for size but received 1000');
  await expect(measure({ size: 1 << 20 })).rejects.toThrow('for size but received 1048576');
  await expect(measure({ seconds: NaN })).rejects.toThrow('for seconds but received NaN');
  const check = (changed: object): Promise<unknown> => verify(controller, namespace, dma, { operations: 1, depth: 4, seed: 1, ...changed });
  await expect(check({ operations: 0 })).rejects.toThrow('for operations but received 0');
  await expect(check({ depth: 0 })).rejects.toThrow('for depth but received 0');
  await expect(check({ seed: -1 })).rejects.toThrow('for seed but received -1');
  await expect(check({ blocks: 10 })).rejects.toThrow('for blocks but received 10');
});
