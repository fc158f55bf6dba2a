/** What buffers are made of: ordinary and huge pages, of a node, and shared. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAP_HUGETLB, MFD_HUGETLB } from '../../lib/abi/system.js';
import { audit, fail, native, openDevice, SharedBuffer, type AddressSpace, type OpenWay } from '../../lib/index.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { makeMemory } from '../../lib/memory/process-memory.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const ordinary = 0x1000n;
const large = 0x20_0000n;
const huge = 0x4000_0000n;

/** A kernel that has no huge pages reserved. */
const withoutHugePages = (kernel: Kernel): Kernel =>
  fail(kernel, { on: ({ name, flags = 0 }) => name === 'mmap' && (flags & MAP_HUGETLB) !== 0, errno: 'ENOMEM' });

describe.each<OpenWay>(['group', 'node'])('memory of an address space, by the %s', (by) => {
  let model: Edu;
  let machine: Machine;
  const closing: { close(): void }[] = [];

  beforeEach(() => {
    model = new Edu();
    machine = new Machine({ devices: [{ model }] });
  });
  afterEach(() => closing.splice(0).forEach((each) => each.close()));

  const open = (kernel: Kernel = machine.kernel): AddressSpace => {
    const opened = openDevice(kernel, '0000:00:03.0', { by });
    closing.push(opened);
    return opened.dma;
  };

  it('is of ordinary pages unless it is asked for others', () => {
    const space = open();
    expect(space.allocate(5000).pageSize).toBe(ordinary);
    expect(space.allocate(5000, { pageSize: ordinary })).toMatchObject({ pageSize: ordinary, size: 8192 });
  });

  it('is of huge pages, at a multiple of them, in whole ones', () => {
    const space = open();
    for (const shared of [false, true]) {
      space.allocate(4096);
      const buffer = space.allocate(Number(large) + 1, { pageSize: large, shared });
      expect([buffer.pageSize, buffer.size, buffer.iova % large]).toEqual([large, 2 * Number(large), 0n]);
      buffer.bytes[2 * Number(large) - 1] = 5;
      buffer.close();
    }
    const largest = space.allocate(1, { pageSize: huge });
    expect([largest.pageSize, largest.size, largest.iova % huge]).toEqual([huge, Number(huge), 0n]);
  });

  it('falls back to what the machine has, and says so', () => {
    const space = open(withoutHugePages(machine.kernel));
    expect(space.allocate(5000, { pageSize: [huge, large, ordinary] })).toMatchObject({ pageSize: ordinary, size: 8192 });
    const files = open(fail(new Machine({ devices: [{ model: new Edu() }] }).kernel, { on: 'memfd', nth: 1, errno: 'ENODEV' }));
    expect(files.allocate(5000, { pageSize: [huge, large], shared: true }).pageSize).toBe(large);
  });

  it('says how to have huge pages where there are none, and takes nothing', () => {
    const kernel = audit(withoutHugePages(machine.kernel));
    const space = open(kernel);
    const before = kernel.held().length;
    expect(() => space.allocate(5 << 20, { pageSize: [large] })).toThrow(
      expect.objectContaining({
        code: 'ERR_VFIO_NO_HUGE_PAGES',
        message:
          'The machine has not enough free pages of 2048 kB for 5242880 bytes (ENOMEM); reserve some: ' +
          'echo 3 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages, or let pageSize have ordinary ones as its last choice',
      }),
    );
    expect(() => space.allocate(1, { pageSize: 0x40_0000n, shared: true })).toThrow(/^The machine has .* 4096 kB for 1 bytes \(ENODEV\)/);
    expect(kernel.held().length).toBe(before);
  });

  it('is at a multiple of what it is told, and refuses what is none', () => {
    const space = open();
    space.allocate(4096);
    for (const alignment of [0x1_0000n, huge]) expect(space.allocate(4096, { alignment }).iova % alignment).toBe(0n);
    const [one, two] = [space.allocate(4096, { alignment: huge }), space.allocate(4096, { alignment: huge })];
    expect(two.iova - one.iova).toBe(huge);
    one.close();
    expect(space.allocate(4096, { alignment: huge }).iova).toBe(one.iova);
    expect(() => space.allocate(4096, { alignment: huge, below: 0xfff_ffffn })).toThrow(RangeError);
    for (const wrong of [0n, 0x3000n, -1n]) {
      expect(() => space.allocate(4096, { alignment: wrong })).toThrow(/for alignment/);
      expect(() => space.allocate(4096, { pageSize: wrong })).toThrow(/for pageSize/);
    }
  });

  it('is of a NUMA node that there is', () => {
    const space = open();
    expect(space.allocate(4096, { numaNode: 0, pageSize: [large, ordinary] }).pageSize).toBe(large);
    expect(() => space.allocate(4096, { numaNode: 7 })).toThrow('Expected a NUMA node of this machine for numaNode but received 7');
    expect(() => space.allocate(4096, { numaNode: 0.5 })).toThrow(RangeError);
  });

  it('is shared with whoever opens it, whom its end does not harm', () => {
    const kernel = audit(machine.kernel);
    const space = open(kernel);
    const before = kernel.held().length;
    const buffer = space.allocate(5000, { shared: true });
    const told = structuredClone(buffer.share());
    const shared = SharedBuffer.open(kernel, told);
    expect(shared.share()).toEqual(told);
    expect([shared.iova, shared.size]).toEqual([buffer.iova, 8192]);
    shared.bytes[4097] = 9;
    expect(buffer.bytes[4097]).toBe(9);
    buffer.close();
    expect(shared.bytes[4097]).toBe(9);
    shared.close();
    expect(() => shared.bytes).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(() => SharedBuffer.open(kernel, told)).toThrow(/^EBADF/);
    expect(() => buffer.share()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(() => space.allocate(1).share()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NOT_SHARED' }));
    expect(kernel.held().length).toBe(before + 2);
  });

  it('that is shared is what the device reaches', () => {
    const buffer = open().allocate(4096, { shared: true });
    const shared = SharedBuffer.open(machine.kernel, buffer.share());
    const other = SharedBuffer.open(machine.kernel, buffer.share());
    other.close();
    shared.bytes.set([1, 2, 3, 4]);
    expect(new Uint32Array(buffer.memory)[0]).toBe(0x0403_0201);
    shared.close();
    expect(buffer.bytes[3]).toBe(4);
  });
});

describe('memory that is a file, on the simulated kernel', () => {
  it('keeps its bytes from one mapping to the next, and its size', () => {
    const { kernel } = new Machine();
    const fd = kernel.memfd('x', 8192, 2);
    kernel.pwrite(fd, Uint8Array.of(7), 5000);
    const first = SharedBuffer.open(kernel, { fd, size: 8192, iova: 0n });
    expect(first.bytes[5000]).toBe(7);
    first.bytes[1] = 8;
    const bytes = new Uint8Array(2);
    expect([kernel.pread(fd, bytes, 0), bytes[1]]).toEqual([2, 8]);
    first.close();
    using second = SharedBuffer.open(kernel, { fd, size: 8192, iova: 0n });
    expect([second.bytes[1], second.bytes[5000]]).toEqual([8, 7]);
    expect(kernel.pwrite(fd, bytes, 8191)).toBe(-1);
    expect(kernel.memfd('x', 4096, MFD_HUGETLB)).toBe(-22);
    expect(kernel.memfd('x', 0, MFD_HUGETLB | (22 << 26))).toBe(-19);
  });
});

describe('memory of this process, on the real kernel', () => {
  const kernel = native();

  it.each([false, true])('is of huge pages where there are some, and of ordinary ones otherwise (shared: %s)', (shared) => {
    const made = makeMemory(kernel, 5000, ordinary, { pageSize: [huge, large, ordinary], shared });
    const bytes = new Uint8Array(made.mapping.memory);
    expect(bytes.length % Number(made.hugePage ?? ordinary)).toBe(0);
    bytes.fill(3);
    made.close();
    expect(bytes.length).toBe(0);
  });

  it('is of a node', () => {
    const made = makeMemory(kernel, 5000, ordinary, { numaNode: 0, shared: true });
    new Uint8Array(made.mapping.memory).fill(3);
    made.close();
    expect(() => makeMemory(kernel, 1, ordinary, { numaNode: 1000 })).toThrow('Expected a NUMA node of this machine');
  });

  it('is shared by its fd, and only memory that stays is opened', () => {
    const made = makeMemory(kernel, 5000, ordinary, { shared: true });
    const told = { fd: made.file!.fd, size: 8192, iova: 0x1_0000n };
    const shared = SharedBuffer.open(kernel, told);
    shared.bytes[8191] = 6;
    expect(new Uint8Array(made.mapping.memory)[8191]).toBe(6);
    expect(() => SharedBuffer.open(kernel, { ...told, size: 3 * 4096 })).toThrow(/^Expected memory whose size is sealed for fd/);
    made.close();
    expect(shared.bytes[8191]).toBe(6);
    shared.close();
    expect(() => SharedBuffer.open(kernel, { ...told, fd: 0x3fff_ffff })).toThrow(/^EBADF/);
    for (const wrong of [{ fd: -1 }, { size: 0 }, { iova: -1n }])
      expect(() => SharedBuffer.open(kernel, { ...told, ...wrong })).toThrow(RangeError);
  });
});
