/** The NVMe driver beside the kernel's own: what one writes, the other reads. */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Controller } from '../../examples/nvme/controller.js';
import { verify } from '../../examples/nvme/tools/verify.js';
import { native, openDevice, type OpenDevice } from 'vfio';
import { addressesOf, firstOf, withKernelDriver } from './devices.js';

const [address = ''] = addressesOf(0x1b36, 0x0010);
/** More than a command takes, and not at the disk's start only. */
const [size, places] = [3 << 20, [0, 17 << 20]];
const kernelDriver = {
  driver: 'nvme',
  find(device: string): string | undefined {
    const controller = firstOf(`${device}/nvme`);
    const disk = controller && firstOf(`${device}/nvme/${controller}`, /^nvme\d+(c\d+)?n\d+$/);
    const node = disk && firstOf('/dev', new RegExp(`^${disk.replace(/c\d+/, '')}$`));
    return node && `/dev/${node}`;
  },
};

/** Bytes that are others for each seed and place. */
function pattern(seed: number, place: number): Uint8Array {
  const words = new Uint32Array(size / 4);
  words.forEach((_, index) => (words[index] = Math.imul(index + place + 1, 0x9e37_79b1) ^ seed));
  return new Uint8Array(words.buffer);
}

async function withController<T>(use: (controller: Controller, opened: OpenDevice) => Promise<T>): Promise<T> {
  using opened = openDevice(native(), address);
  const controller = await Controller.open(opened);
  const result = await use(controller, opened);
  await controller.close();
  return result;
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

describe('NVMe', { timeout: 300_000 }, () => {
  it("the kernel's own driver reads what this one wrote", async () => {
    await withController(async ({ namespaces: [namespace] }, { dma }) => {
      using buffer = dma.allocate(size);
      for (const place of places) {
        buffer.bytes.set(pattern(1, place));
        await namespace!.write(BigInt(place / namespace!.blockSize), size / namespace!.blockSize, buffer);
      }
      await namespace!.flush();
    });
    await withKernelDriver(address, kernelDriver, (node) => {
      const file = openSync(node, 'r');
      const read = places.map((place) => {
        const bytes = new Uint8Array(size);
        expect(readSync(file, bytes, 0, size, place)).toBe(size);
        return same(bytes, pattern(1, place));
      });
      closeSync(file);
      expect(read).toEqual([true, true]);
    });
  });

  it("this driver reads what the kernel's own wrote", async () => {
    await withKernelDriver(address, kernelDriver, (node) => {
      const file = openSync(node, constants.O_WRONLY | constants.O_SYNC);
      for (const place of places) expect(writeSync(file, pattern(2, place), 0, size, place)).toBe(size);
      fsyncSync(file);
      closeSync(file);
    });
    await withController(async ({ namespaces: [namespace] }, { dma }) => {
      using buffer = dma.allocate(size);
      for (const place of places) {
        await namespace!.read(BigInt(place / namespace!.blockSize), size / namespace!.blockSize, buffer);
        expect(same(buffer.bytes.subarray(0, size), pattern(2, place))).toBe(true);
      }
    });
  });

  it('100,000 reads and writes anywhere, 32 at a time, and each block is what was written there last', async () => {
    const operations = 100_000;
    // It throws at the first block that is another.
    const { reads, writes, blocksRead } = await withController((controller, { dma }) =>
      verify(controller, controller.namespaces[0]!, dma, { operations, depth: 32, seed: 7 }),
    );
    expect(reads + writes).toBe(operations);
    expect(reads).toBeGreaterThan(operations / 4);
    expect(blocksRead).toBeGreaterThan(reads);
  });
});
