import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import {
  addon,
  addonPath,
  ANONYMOUS,
  close,
  collect,
  expectNothingHeldSince,
  held,
  inChild,
  MAP_SHARED,
  PAGE,
  PROT_READ,
  READ_WRITE,
  scratchFile,
} from './support.js';

const before = held();
afterAll(() => expectNothingHeldSince(before));

const MFD_ALLOW_SEALING = 2;
const size = 64 * 2 ** 20;
const anonymous = (length = size): unknown => addon.mmap(-1, length, READ_WRITE, ANONYMOUS, 0);

/** Kilobytes of this process that are in memory. */
const resident = (): number => Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);

describe('populateAsync', () => {
  it('brings in every page, with what was written meanwhile', async () => {
    const mapping = anonymous();
    const bytes = new Uint8Array(addon.mappingMemory(mapping));
    const start = resident();
    const populating = addon.populateAsync(mapping);
    bytes[size - 1] = 7;
    expect(await populating).toBe(0);
    expect(resident() - start).toBeGreaterThan((0.9 * size) / 1024);
    expect([bytes[0], bytes[size - 1]]).toEqual([0, 7]);
    addon.unmap(mapping);
  });

  it('of a memory file too, and several times at once', async () => {
    const fd = addon.memfd('populate', size, MFD_ALLOW_SEALING);
    const mapping = addon.mmap(fd, size, READ_WRITE, MAP_SHARED, 0);
    close(fd);
    expect(await Promise.all([addon.populateAsync(mapping), addon.populateAsync(mapping)])).toEqual([0, 0]);
    addon.unmap(mapping);
  });

  it.each(['shown', 'not shown'])('ends when the mapping does, %s', async (shown) => {
    const mapping = anonymous();
    const memory = shown === 'shown' ? addon.mappingMemory(mapping) : undefined;
    const populating = addon.populateAsync(mapping);
    expect(addon.unmap(mapping)).toBe(0);
    expect(memory?.byteLength ?? 0).toBe(0);
    expect(await populating).toBe(0);
    await expect(async () => addon.populateAsync(mapping)).rejects.toThrow('Expected memory for mapping');
  });

  it('memory that nobody holds any more stays until the end', async () => {
    let mapping: unknown = anonymous();
    addon.mappingMemory(mapping);
    const populating = addon.populateAsync(mapping);
    mapping = undefined;
    await collect();
    expect(await populating).toBe(0);
    await collect();
  });

  it('only of memory to read and write', () => {
    const fd = scratchFile(PAGE);
    for (const mapping of [addon.mmap(fd, PAGE, READ_WRITE, MAP_SHARED, 0), addon.mmap(-1, PAGE, PROT_READ, ANONYMOUS, 0)]) {
      expect(() => addon.populateAsync(mapping)).toThrow('Expected memory for mapping');
      addon.unmap(mapping);
    }
    close(fd);
    expect(() => addon.populateAsync({})).toThrow('Expected a mapping for mapping');
  });

  it('a worker may end meanwhile', () => {
    const { status, output } = inChild(`
      const { Worker } = require('node:worker_threads');
      const source = ${JSON.stringify(`
        const { parentPort, workerData } = require('node:worker_threads');
        const addon = require(workerData);
        const mapping = addon.mmap(-1, ${size}, 3, 0x22, 0);
        addon.mappingMemory(mapping);
        addon.populateAsync(mapping);
        parentPort.postMessage('under way');
      `)};
      const worker = new Worker(source, { eval: true, workerData: ${JSON.stringify(addonPath)} });
      worker.once('message', () => worker.terminate());
      worker.once('exit', () => console.log('over'));
    `);
    expect({ status, output }).toEqual({ status: 0, output: 'over\n' });
  });
});
