/** The typed API of the POWER IOMMU, with a device that does DMA, on a simulated machine. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeMemory } from '../../lib/memory/process-memory.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { Container } from '../../lib/vfio/container.js';
import type { Device } from '../../lib/vfio/device.js';
import type { Group } from '../../lib/vfio/group.js';
import { Spapr } from '../../lib/vfio/spapr.js';

const address = '0000:00:03.0';
const deviceMemory = 0x4_0000n;
const window64 = 1n << 59n;

let machine: Machine;
let container: Container;
let group: Group;

beforeEach(() => {
  machine = new Machine({ iommu: 'spapr', devices: [{ model: new Edu({ dmaMask: (1n << 64n) - 1n }), group: 7 }] });
  container = Container.open(machine.kernel);
  group = container.openGroup(7);
});
afterEach(() => container.close());

const open = (): Device => {
  const device = group.openDevice(address);
  device.enableBusMaster();
  return device;
};

/** Lets the device copy bytes to or from its own memory. */
async function transfer(device: Device, source: bigint, destination: bigint, out: boolean): Promise<void> {
  const { mmio } = device.region(0);
  mmio.write64(0x80, source);
  mmio.write64(0x88, destination);
  mmio.write64(0x90, 16n);
  mmio.write64(0x98, out ? 3n : 1n);
  for (let turn = 0; turn < 500 && (mmio.read32(0x98) & 1) !== 0; turn += 1) await delay(1);
}
const toMemory = (device: Device, iova: bigint): Promise<void> => transfer(device, deviceMemory, iova, true);
const fromMemory = (device: Device, iova: bigint): Promise<void> => transfer(device, iova, deviceMemory, false);

describe('Spapr', () => {
  it('tells what the IOMMU has', () => {
    const spapr = Spapr.use(container);
    expect(spapr.version).toBe(2);
    expect(spapr.info()).toEqual({
      window: { start: 0n, size: 0x8000_0000n },
      dynamicWindows: { pageSizes: 0x4021_1000n, most: 2, levels: 5 },
    });
    expect(spapr.ranges()).toEqual([{ start: 0n, last: 0x7fff_ffffn }]);
    expect(container.groups).toEqual([group]);
  });

  it('version 1 has no dynamic windows, and is enabled first', () => {
    const spapr = Spapr.use(container, { version: 1 });
    expect(spapr.info().dynamicWindows).toBeUndefined();
    expect(() => spapr.allocate(4096)).toThrow(expect.objectContaining({ code: 'EPERM', hint: expect.stringContaining('enabled') }));
    spapr.enable();
    const buffer = spapr.allocate(4096);
    expect(buffer.iova).toBe(0x1_0000n);
    buffer.close();
    spapr.disable();
  });

  it.each([1, 2] as const)('version %i: a device reaches what is mapped, and nothing else', async (version) => {
    const spapr = Spapr.use(container, { version });
    if (version === 1) spapr.enable();
    const device = open();
    const [source, target] = [spapr.allocate(100), spapr.allocate(100)];
    source.bytes.set(Array.from({ length: 16 }, (_, index) => index + 1));
    await fromMemory(device, source.iova);
    await toMemory(device, target.iova);
    expect(target.bytes.slice(0, 17)).toEqual(Uint8Array.from({ length: 17 }, (_, index) => (index < 16 ? index + 1 : 0)));
    expect(machine.faults).toEqual([]);
    source.close();
    await fromMemory(device, source.iova);
    expect(machine.faults).toEqual([{ device: address, iova: source.iova, size: 16, direction: 'read', reason: 'not mapped' }]);
  });

  it('permission is enforced: who may write may read, who may read may not write', async () => {
    const spapr = Spapr.use(container);
    const device = open();
    const readable = spapr.allocate(100, { write: false });
    await toMemory(device, readable.iova);
    expect(machine.faults.map(({ reason }) => reason)).toEqual(['not writable']);
    const writable = spapr.allocate(100, { read: false });
    await toMemory(device, writable.iova);
    await fromMemory(device, writable.iova);
    expect(machine.faults.length).toBe(1);
  });

  it('a second window has large pages, and is reached through 64 bits', async () => {
    const spapr = Spapr.use(container);
    const device = open();
    const window = spapr.createWindow({ pageShift: 16, size: 1n << 30n, levels: 2 });
    expect(window).toEqual({ start: window64, size: 1n << 30n, pageSize: 0x1_0000n });
    expect(spapr.windows.length).toBe(2);
    const { mapping } = makeMemory(machine.kernel, 0x2_0000, 4096n);
    const memory = { address: machine.kernel.addressOf(mapping.memory), size: 0x2_0000n };
    spapr.registerMemory(memory);
    spapr.map({ iova: window64, ...memory });
    new Uint8Array(mapping.memory).fill(9, 0x1_0000, 0x1_0010);
    await fromMemory(device, window64 + 0x1_0000n);
    await toMemory(device, window64);
    expect([...new Uint8Array(mapping.memory, 0, 17)]).toEqual([...Array<number>(16).fill(9), 0]);
    expect(spapr.unmap({ iova: window64, size: 0x1_0000n })).toBe(0x1_0000n);
    await toMemory(device, window64);
    expect(machine.faults.length).toBe(1);
    spapr.removeWindow(window64);
    await toMemory(device, window64 + 0x1_0000n);
    expect(machine.faults.length).toBe(2);
    spapr.unregisterMemory(memory);
    mapping.unmap();
  });

  it('allocates in whatever window there is, and survives its removal', () => {
    const spapr = Spapr.use(container);
    spapr.removeWindow(0n);
    expect(() => spapr.allocate(4096)).toThrow(RangeError);
    spapr.createWindow({ pageShift: 16, size: 1n << 30n });
    const buffer = spapr.allocate(4096);
    expect([buffer.size, buffer.iova]).toEqual([0x1_0000, 0x1_0000n]);
    spapr.removeWindow(0n);
    buffer.close();
    expect(() => spapr.allocate(0)).toThrow('for size');
    expect(() => spapr.allocate(4096, { below: 0xffffn })).toThrow('for size');
  });

  it('leaves nothing when an allocation fails, or the last group is gone', () => {
    const spapr = Spapr.use(container);
    const buffer = spapr.allocate(4096);
    group.close();
    buffer.close();
    expect(buffer.closed).toBe(true);
  });

  it('refuses misuse before the kernel sees it', () => {
    const spapr = Spapr.use(container);
    expect(() => Spapr.use(container, { version: 3 as never })).toThrow('Expected 1 or 2 for version but received 3');
    expect(() => spapr.map({ iova: 0x7fff_0000n, address: 0n, size: 0x2_0000n })).toThrow('a range inside one window');
    expect(() => spapr.unmap({ iova: 0x8000_0000n, size: 0x1000n })).toThrow('a range inside one window');
    expect(() => spapr.map({ iova: 0x800n, address: 0n, size: 0x1000n })).toThrow("multiples of the window's page, 4096 bytes,");
    expect(() => spapr.map({ iova: 0n, address: 0n, size: 0n })).toThrow('a positive number of bytes for size');
    expect(() => spapr.registerMemory({ address: 0n, size: 0n })).toThrow('a positive number of bytes for size');
    expect(() => spapr.createWindow({ pageShift: 11, size: 4096n })).toThrow('for pageShift');
    expect(() => spapr.createWindow({ pageShift: 16, size: 4096n })).toThrow('for size');
    expect(() => spapr.createWindow({ pageShift: 16, size: 3n << 20n })).toThrow('for size');
    expect(() => spapr.createWindow({ pageShift: 16, size: 1n << 20n, levels: 0 })).toThrow('for levels');
    expect(() => spapr.removeWindow(4096n)).toThrow('the start of a window for start');
  });

  it('passes on what the kernel refuses, with a hint', () => {
    const spapr = Spapr.use(container);
    expect(() => spapr.enable()).toThrow(expect.objectContaining({ code: 'ENOTTY', hint: expect.stringContaining('version 1') }));
    spapr.createWindow({ pageShift: 12, size: 1n << 30n });
    expect(() => spapr.createWindow({ pageShift: 12, size: 1n << 30n })).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(() => spapr.unregisterMemory({ address: 0x1_0000n, size: 0x1_0000n })).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it("the container's own methods do not mistake it for type1", () => {
    const spapr = Spapr.use(container);
    const buffer = spapr.allocate(4096);
    expect(() => container.info()).toThrow('ask its Spapr instead');
    expect(() => container.allocate(4096)).toThrow('ask its Spapr instead');
    expect(() => container.unmap({ iova: buffer.iova + 1n, size: 0x1000n })).toThrow('a multiple of the page of the window');
    expect(() => container.map({ iova: 1n, address: 0n, size: 0x1000n })).toThrow('a multiple of the page of the window');
  });
});

describe('Eeh', () => {
  it('a frozen device reaches no memory, answers all ones and interrupts nobody, until it is thawed', async () => {
    const spapr = Spapr.use(container);
    const { eeh } = spapr;
    const device = open();
    const buffer = spapr.allocate(100);
    const { mmio } = device.region(0);
    const [vector] = device.interrupt('msi').enable();
    eeh.injectError({ error: 'dma-write-address', bits: 64, address: buffer.iova, mask: (1n << 64n) - 1n });
    expect(eeh.state()).toBe('stopped');
    mmio.write32(4, 0);
    expect(mmio.read32(4)).toBe(0xffff_ffff);
    eeh.unfreezeIo();
    expect(eeh.state()).toBe('dma-stopped');
    // What was written while frozen went nowhere.
    expect(mmio.read32(4)).toBe(0);
    await toMemory(device, buffer.iova);
    expect(machine.faults.map(({ reason }) => reason)).toEqual(['frozen after an error']);
    mmio.write32(0x60, 1);
    await expect(vector!.wait({ timeoutMilliseconds: 5 })).rejects.toThrow(expect.objectContaining({ code: 'ERR_VFIO_TIMEOUT' }));
    mmio.write32(0x64, 1);
    eeh.unfreezeDma();
    expect(eeh.state()).toBe('normal');
    mmio.write32(0x60, 1);
    expect(await vector!.wait({ timeoutMilliseconds: 1000 })).toBe(1);
    await toMemory(device, buffer.iova);
    expect(machine.faults.length).toBe(1);
  });

  it('a reset stops everything until it is deactivated, and takes bus mastering', async () => {
    const spapr = Spapr.use(container);
    const device = open();
    const buffer = spapr.allocate(100);
    spapr.eeh.reset('hot');
    expect(spapr.eeh.state()).toBe('reset');
    expect(device.region(0).mmio.read32(0)).toBe(0xffff_ffff);
    expect(() => spapr.eeh.unfreezeIo()).toThrow(expect.objectContaining({ code: 'EIO', hint: expect.stringContaining('deactivated') }));
    spapr.eeh.reset('deactivate');
    spapr.eeh.configure();
    expect(spapr.eeh.state()).toBe('normal');
    await toMemory(device, buffer.iova);
    expect(machine.faults.map(({ reason }) => reason)).toEqual(['bus mastering is off']);
    spapr.eeh.reset('fundamental');
    spapr.eeh.reset('deactivate');
    expect(spapr.eeh.state()).toBe('normal');
  });

  it('enable thaws, and registers frozen alone have no name', () => {
    const { eeh } = Spapr.use(container);
    eeh.injectError({ error: 'load-memory-data' });
    eeh.disable();
    eeh.unfreezeDma();
    expect(eeh.state()).toBe('unavailable');
    eeh.enable();
    expect(eeh.state()).toBe('normal');
  });

  it('refuses misuse before the kernel sees it', () => {
    const { eeh } = Spapr.use(container);
    expect(() => eeh.reset('cold' as never)).toThrow("Expected one of hot, fundamental, deactivate for kind but received 'cold'");
    expect(() => eeh.injectError({ error: 'nothing' as never })).toThrow('for error');
    expect(() => eeh.injectError({ error: 'load-io-data', bits: 16 as never })).toThrow('Expected 32 or 64 for bits but received 16');
    expect(() => eeh.injectError({ error: 'load-io-data', address: -1n })).toThrow(RangeError);
    expect(eeh.state()).toBe('normal');
  });
});
