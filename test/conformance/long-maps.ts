/** Memory that is mapped on another thread, and what becomes of it when its owner is closed meanwhile. */
import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { audit, ClosedError, type AddressSpace } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import type { Subject, Variant } from '../support/subject.js';
import { ways } from './address-space.js';

const size = 64 * 2 ** 20;
const page = 4096n;

export function longMaps(variant: Variant): void {
  let subject: Subject;
  beforeEach(() => (subject = variant.make()));

  /** Turns of the event loop until it is done. */
  async function turnsDuring(work: Promise<unknown>): Promise<number> {
    let done = false;
    let turns = 0;
    void work.finally(() => (done = true));
    for (; !done; turns += 1) await turn();
    return turns;
  }

  describe.each(ways)('%s', (_name, open) => {
    it('the event loop goes on, and the memory is mapped in the end', async () => {
      const { space, close } = open(subject);
      const allocating = space.allocateAsync(size, { below: 0xfff_ffffn });
      expect(await turnsDuring(allocating)).toBeGreaterThan(0);
      const buffer = await allocating;
      expect([buffer.size, buffer.iova + BigInt(size) <= 0x1000_0000n]).toEqual([size, true]);
      expect(buffer.bytes[size - 1]).toBe(0);
      const at = { address: subject.kernel.addressOf(buffer.memory), size: page };
      await expect(space.mapAsync({ ...at, iova: buffer.iova + BigInt(size) - page })).rejects.toMatchObject({ code: 'EEXIST' });
      const alias = await space.mapAsync({ ...at, iova: buffer.iova + BigInt(size) });
      expect(space.unmap({ iova: alias, size: page })).toBe(page);
      buffer.close();
      close();
    });

    it('closed meanwhile, it rejects; then all is free again', async () => {
      const audited = audit(subject.kernel);
      const first = open({ kernel: audited, edu: subject.edu });
      const memory = subject.kernel.mmap(-1, size, 3, 0x22, 0) as Mapping & { memory: ArrayBuffer };
      const whole = { address: subject.kernel.addressOf(memory.memory), size: BigInt(size) };
      const late = [first.space.mapAsync(whole), first.space.mapAsync({ ...whole, below: 0xfff_ffffn }), first.space.allocateAsync(size)];
      first.close();
      for (const result of await Promise.allSettled(late)) expect(result).toMatchObject({ reason: expect.any(ClosedError) as unknown });
      expect(audited.held()).toEqual([]);
      memory.unmap();
      const again = open(subject);
      expect(mapsAndUnmaps(again.space)).toBe(page);
      again.close();
    });
  });

  function mapsAndUnmaps(space: AddressSpace): bigint {
    const buffer = space.allocate(4096);
    const alias = { iova: 0x800_0000n, address: subject.kernel.addressOf(buffer.memory), size: page };
    space.map(alias);
    return space.unmap(alias);
  }
}
