/** Many mappings at once. What they cost is the benchmark's to say, `npm run bench`. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Cdev, type Container, findDevice, Iommufd, openDevice, type Ioas } from '../../lib/index.js';
import { Edu, Machine, type MachineOptions } from '../../lib/sim/index.js';
import { PinCounts } from '../../lib/sim/iommufd/pin-counts.js';
import { Runs } from '../../lib/sim/iommufd/spans.js';

const page = 4096n;
const many = 100_000;
const address = '0000:00:03.0';

class Reader extends Edu {
  byteAt(iova: bigint): number | undefined {
    const byte = new Uint8Array(1);
    return this.dma.read(iova, byte) ? byte[0] : undefined;
  }

  write(iova: bigint): boolean {
    return this.dma.write(iova, Uint8Array.of(1));
  }
}

function machineOf(options: MachineOptions): { machine: Machine; model: Reader } {
  const model = new Reader();
  return { model, machine: new Machine({ ...options, devices: [{ model }] }) };
}

describe('a hundred thousand mappings', { timeout: 60_000 }, () => {
  it('of a container, up to the entry limit, each of them reached', () => {
    const { machine, model } = machineOf({ dmaEntryLimit: many });
    using opened = openDevice(machine.kernel, address, { by: 'group' });
    opened.device.enableBusMaster();
    const container = opened.dma as Container;
    const memory = machine.kernel.mmap(-1, 8192, 3, 0x22, 0);
    if (typeof memory === 'number') throw new Error(`mmap: ${memory}`);
    new Uint8Array(memory.memory!)[0] = 1;
    new Uint8Array(memory.memory!)[4096] = 7;
    const start = machine.kernel.addressOf(memory.memory!);
    const iova = (index: number): bigint => 0x1_0000_0000n + BigInt(index) * 2n * page;
    for (let index = 0; index < many; index += 1)
      container.map({ iova: iova(index), address: start + BigInt(index % 2) * page, size: page });
    expect(container.info().mappingsAvailable).toBe(0);
    expect(() => container.map({ iova: iova(many), address: start, size: page })).toThrow(/^ENOSPC/);
    for (const index of [0, 1, many / 2, many / 2 + 1, many - 1]) {
      expect(model.byteAt(iova(index))).toBe(index % 2 === 0 ? 1 : 7);
      expect(model.byteAt(iova(index) + page)).toBeUndefined();
    }
    expect(container.unmap({ iova: iova(many / 2), size: 20n * page })).toBe(10n * page);
    expect(model.byteAt(iova(many / 2 + 9))).toBeUndefined();
    expect(model.byteAt(iova(many / 2 + 10))).toBe(1);
    expect(container.unmapAll()).toBe(BigInt(many - 10) * page);
    expect(container.info().mappingsAvailable).toBe(many);
    memory.unmap();
  });

  it('of an address space, where the kernel chooses, up to what may be locked', () => {
    const { machine, model } = machineOf({ lockedMemoryLimit: many * 4096, iommuFeatures: ['dirtyTracking'] });
    using iommufd = Iommufd.open(machine.kernel);
    const device = Cdev.open(iommufd, findDevice(machine.kernel, address));
    const space: Ioas = iommufd.createIoas();
    const table = space.createPageTable(device, { dirtyTracking: true });
    device.attach(table);
    device.enableBusMaster();
    const memory = machine.kernel.mmap(-1, 4096, 3, 0x22, 0);
    if (typeof memory === 'number') throw new Error(`mmap: ${memory}`);
    const start = machine.kernel.addressOf(memory.memory!);
    const iovas = Array.from({ length: many }, () => space.map({ address: start, size: page }));
    expect(new Set(iovas).size).toBe(many);
    expect(() => space.map({ address: start, size: page })).toThrow(/^ENOMEM/);

    using tracking = table.trackDirtyPages();
    const [first, some, last] = [iovas[0]!, iovas[many / 2]!, iovas.at(-1)!];
    for (const iova of [first, some, last]) expect(model.write(iova)).toBe(true);
    expect(tracking.read({ iova: some, size: page }).isDirty(some)).toBe(true);
    const rest = tracking.read({ iova: first, size: BigInt(many) * page });
    expect([rest.count, rest.isDirty(first), rest.isDirty(some), rest.isDirty(last)]).toEqual([2, true, false, true]);

    // Each tenth goes, and the next that are mapped take just those places.
    const gone = iovas.filter((_, index) => index % 10 === 0);
    for (const iova of gone) space.unmap({ iova, size: page });
    expect(gone.map(() => space.map({ address: start, size: page }))).toEqual(gone);
    expect(space.unmapAll()).toBe(BigInt(many) * page);
    memory.unmap();
  });

  it('or a tenth as many copies of one, which count as locked once', () => {
    const { machine } = machineOf({ lockedMemoryLimit: 16 * 4096 });
    using iommufd = Iommufd.open(machine.kernel);
    const device = Cdev.open(iommufd, findDevice(machine.kernel, address));
    const space = iommufd.createIoas();
    device.attach(space);
    const memory = machine.kernel.mmap(-1, 16 * 4096, 3, 0x22, 0);
    if (typeof memory === 'number') throw new Error(`mmap: ${memory}`);
    const from = space.map({ address: machine.kernel.addressOf(memory.memory!), size: 16n * page });
    for (let index = 0; index < many / 10; index += 1)
      space.copyFrom(space, { from: from + BigInt(index % 16) * page, size: page, iova: 0x1_0000_0000n + BigInt(index) * page });
    const other = { address: machine.kernel.addressOf(memory.memory!), size: page };
    expect(() => space.map(other)).toThrow(/^ENOMEM/);
    space.unmap({ iova: from, size: 16n * page });
    expect(() => space.map(other)).toThrow(/^ENOMEM/);
    space.unmapAll();
    space.map(other);
    memory.unmap();
  });
});

describe('what is kept beside them', () => {
  const span = fc
    .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 8 }))
    .map(([start, size]) => ({ start, end: start + size }));

  it('counts each page once, however pins overlap', () => {
    fc.assert(
      fc.property(span, fc.array(fc.tuple(span, fc.boolean()), { maxLength: 30 }), (first, steps) => {
        const bytes = ({ start, end }: { start: number; end: number }): { start: bigint; end: bigint } => ({
          start: BigInt(start) * page,
          end: BigInt(end) * page,
        });
        const counts = new PinCounts(bytes(first));
        const pinned = [first];
        const covered = (): Set<number> =>
          new Set(pinned.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at)));
        for (const [wanted, add] of steps) {
          const before = covered().size;
          if (add || pinned.length === 0) {
            pinned.push(wanted);
            expect(counts.add(bytes(wanted))).toBe(BigInt(covered().size - before) * page);
          } else {
            const [gone] = pinned.splice(wanted.start % pinned.length, 1);
            expect(counts.remove(bytes(gone!))).toBe(BigInt(before - covered().size) * page);
          }
          for (let at = 0; at < 40; at += 1) expect(counts.has(BigInt(at) * page)).toBe(covered().has(at));
        }
      }),
    );
  });

  it('joins what touches, and parts it again', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 30 }), fc.array(fc.nat(), { maxLength: 30 }), (added, removed) => {
        const runs = new Runs();
        const used = new Set<number>();
        const kept: { start: number; end: number }[] = [];
        const intervalOf = ({ start, end }: { start: number; end: number }): { start: bigint; last: bigint } => ({
          start: BigInt(start),
          last: BigInt(end) - 1n,
        });
        const expected = (): { start: bigint; last: bigint }[] => {
          const found: { start: bigint; last: bigint }[] = [];
          for (const at of [...used].sort((a, b) => a - b)) {
            const run = found.at(-1);
            if (run !== undefined && run.last === BigInt(at) - 1n) run.last = BigInt(at);
            else found.push({ start: BigInt(at), last: BigInt(at) });
          }
          return found;
        };
        const pages = ({ start, end }: { start: number; end: number }): number[] =>
          Array.from({ length: end - start }, (_, at) => start + at);
        for (const each of added) {
          if (pages(each).some((at) => used.has(at))) continue;
          runs.add(intervalOf(each));
          kept.push(each);
          for (const at of pages(each)) used.add(at);
        }
        expect([...runs.within(0n, 100n)]).toEqual(expected());
        for (const choice of removed) {
          const [gone] = kept.splice(choice % (kept.length || 1), 1);
          if (gone === undefined) break;
          runs.remove(intervalOf(gone));
          for (const at of pages(gone)) used.delete(at);
          expect([...runs.within(0n, 100n)]).toEqual(expected());
        }
      }),
    );
  });
});
