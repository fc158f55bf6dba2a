/** The typed API, on a simulated machine. What the kernel answers is conformance's business; this is what users see. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../../lib/abi/pci.js';
import { KernelError } from '../../lib/kernel/error.js';
import { Container } from '../../lib/vfio/container.js';
import { openDevice } from '../../lib/open.js';
import { findDevices } from '../../lib/pci/topology.js';
import { Edu, Machine, type MachineOptions } from '../../lib/sim/index.js';
import { thrown } from '../support/thrown.js';

const address = '0000:00:03.0';
const machine = (options: MachineOptions = {}): Machine => new Machine({ devices: [{ model: new Edu(), group: 7 }], ...options });

describe('openDevice', () => {
  it('opens container, group and device, and closes them', () => {
    const { kernel } = machine();
    const opened = openDevice(kernel, '00:03.0');
    expect(opened.device.address).toBe(address);
    expect(opened.device.info).toMatchObject({ isPci: true, resettable: false, regions: 9, interrupts: 5 });
    opened.close();
    opened.close();
    expect(opened.device.closed).toBe(true);
    openDevice(kernel, address).close();
  });

  it('says what is wrong with a device that is not ready', () => {
    const { kernel } = new Machine({ devices: [{ model: new Edu(), driver: null }] });
    expect(() => openDevice(kernel, address)).toThrow(
      expect.objectContaining({ code: 'ERR_VFIO_NOT_BOUND', message: expect.stringContaining('bindDriver') }),
    );
    expect(() => openDevice(kernel, '0000:00:1f.7')).toThrow(
      /^ENOENT: .*0000:00:1f\.7'\. There is no PCI device of that address: npx vfio list/,
    );
    expect(() => openDevice(kernel, 'nonsense')).toThrow("Expected a PCI address like '0000:01:00.0' for address but received 'nonsense'");
    expect(() => openDevice(kernel, findDevices(kernel)[0] as never)).toThrow('for address but received object');
    expect(() => openDevice(machine() as never, address)).toThrow("Expected a kernel, native() or a machine's `kernel`");
  });

  it('finds by ids, and by nothing that is none', () => {
    const { kernel } = machine();
    expect(findDevices(kernel, { vendor: 0x1234 }).map((found) => found.address)).toEqual([address]);
    expect(findDevices(kernel, { vendor: 0x1234, device: 1 })).toEqual([]);
    expect(() => findDevices(kernel, { vendor: '0x1234' as never })).toThrow("for vendor but received '0x1234'");
    expect(() => findDevices(kernel, { vendorId: 0x1234 } as never)).toThrow("Expected vendor or device for ids but received 'vendorId'");
    expect(() => findDevices(machine() as never)).toThrow('Expected a kernel');
  });

  it('passes the token on that a virtual function asks for, which no other function takes', () => {
    const { kernel } = machine();
    expect(() => openDevice(kernel, address, { vfToken: 'secret' })).toThrow('vfToken');
    const vfToken = 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3';
    expect(() => openDevice(kernel, address, { by: 'group', vfToken })).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('a device in use is refused with a hint by either way, and the first user is not disturbed', () => {
    const { kernel } = machine();
    using first = openDevice(kernel, address);
    expect(() => openDevice(kernel, address)).toThrow(/^EINVAL: .*VFIO_DEVICE_BIND_IOMMUFD '0000:00:03\.0'\. It is bound already/);
    expect(thrown(KernelError, () => openDevice(kernel, address)).checks).toEqual(['holder']);
    expect(() => openDevice(kernel, address, { by: 'group' })).toThrow(
      /^EBUSY: device or resource busy, open '\/dev\/vfio\/7'\. A group can be open once/,
    );
    expect(first.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
  });
});

describe('Container', () => {
  it('reports the IOMMU', () => {
    const { kernel } = machine();
    using container = Container.open(kernel);
    expect(container.apiVersion()).toBe(0);
    expect(container.checkExtension(3)).toBe(1);
    container.openGroup(7);
    container.setIommu();
    const info = container.info();
    expect(info.pageSize).toBe(4096n);
    expect(info.ranges).toEqual([
      { start: 0n, last: 0xfedf_ffffn },
      { start: 0xfef0_0000n, last: 0x7f_ffff_ffffn },
    ]);
    expect(info.mappingsAvailable).toBe(65535);
    expect(info.dirtyTracking?.pageSizes).toBe(4096n);
  });

  it('the group knows its state', () => {
    const { kernel } = machine();
    using container = Container.open(kernel);
    const group = container.openGroup(7);
    expect(group.status()).toEqual({ viable: true, inContainer: true });
    group.close();
    expect(() => group.status()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });

  it('allocates from the ranges, below the limit, never 0, and uses freed addresses again', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address, { by: 'group' });
    const first = opened.dma.allocate(1);
    expect(first.size).toBe(4096);
    expect(first.iova).toBe(0x1_0000n);
    const second = opened.dma.allocate(0x1_0000, { below: 0xfff_ffffn });
    expect(second.iova).toBe(0x1_1000n);
    first.close();
    expect(opened.dma.allocate(4096).iova).toBe(0x1_0000n);
    expect(() => opened.dma.allocate(0x2000, { below: 0x1_0fffn })).toThrow('for which an IOVA up to 0x10fff is free');
    for (const size of [0, -1, 1.5, Number.NaN, 2 ** 60]) expect(() => opened.dma.allocate(size)).toThrow(RangeError);
  });

  it('a closed buffer is detached, and its address free', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address, { by: 'group' });
    const buffer = opened.dma.allocate(4096);
    const { memory, bytes } = buffer;
    bytes[0] = 1;
    buffer.close();
    buffer.close();
    expect([memory.byteLength, bytes.length, bytes[0]]).toEqual([0, 0, undefined]);
    expect(() => buffer.bytes).toThrow('DMA buffer at IOVA 0x10000 is closed');
    expect(opened.dma.unmap({ iova: 0x1_0000n, size: 4096n })).toBe(0n);
  });

  it('an allocation that fails halfway leaves nothing', () => {
    const { kernel } = machine({ dmaEntryLimit: 1 });
    using opened = openDevice(kernel, address, { by: 'group' });
    const only = opened.dma.allocate(4096);
    expect(() => opened.dma.allocate(4096)).toThrow(
      expect.objectContaining({ code: 'ENOSPC', hint: expect.stringContaining('dma_entry_limit') }),
    );
    only.close();
    expect(opened.dma.allocate(4096).iova).toBe(0x1_0000n);
  });

  it('closing in any order is safe, and closes what is below', () => {
    for (const order of [
      ['container', 'group', 'device', 'buffer'],
      ['group', 'buffer', 'device', 'container'],
      ['buffer', 'device', 'group', 'container'],
      ['device', 'group', 'buffer', 'container'],
    ] as const) {
      const { kernel } = machine();
      const container = Container.open(kernel);
      const group = container.openGroup(7);
      container.setIommu();
      const device = group.openDevice(address);
      const buffer = container.allocate(4096);
      const all = { container, group, device, buffer };
      for (const name of order) all[name].close();
      expect(Object.values(all).map((each) => each.closed)).toEqual([true, true, true, true]);
      openDevice(kernel, address).close();
    }
  });
});

describe('Region', () => {
  it('reads and writes by bytes, and refuses what is outside', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    const bar = opened.device.region(0);
    expect(bar.info).toMatchObject({
      index: 0,
      size: 1 << 20,
      offset: 0,
      readable: true,
      writable: true,
      mappable: [{ offset: 0, size: 1 << 20 }],
    });
    const bytes = new Uint8Array(4);
    bar.read(0, bytes);
    expect(Buffer.from(bytes).readUInt32LE()).toBe(0x0100_00ed);
    expect(() => bar.read(bar.size - 2, bytes)).toThrow(RangeError);
    expect(() => bar.read(-4, bytes)).toThrow(RangeError);
    expect(opened.device.region(0)).toBe(bar);
    expect(opened.device.region(1).size).toBe(0);
    expect(() => opened.device.region(8)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('of a region that the device has not, there are no registers', () => {
    using opened = openDevice(machine().kernel, address);
    for (const kind of ['mmio', 'fastMmio'] as const)
      expect(() => opened.device.region(1)[kind]).toThrow(`Region 1 of ${address} is empty: the device has nothing there`);
  });

  it('mmio checks offset, alignment and value before the access', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    for (const mmio of [opened.device.region(0).mmio, opened.device.config]) {
      expect(() => mmio.read32(2)).toThrow('Expected a multiple of 4 from 0 to');
      expect(() => mmio.read32(1 << 20)).toThrow(RangeError);
      expect(() => mmio.write32(4, -1)).toThrow('Expected an integer from 0 to 4294967295 for value but received -1');
      expect(() => mmio.write16(4, 65536)).toThrow(RangeError);
      expect(() => mmio.write64(0, 1 as never)).toThrow(TypeError);
      expect(() => mmio.write64(0, -1n)).toThrow(RangeError);
    }
  });

  it('a closed region refuses, with its mmio', () => {
    const { kernel } = machine();
    const opened = openDevice(kernel, address);
    const bar = opened.device.region(0);
    const { mmio } = bar;
    opened.close();
    expect(() => mmio.read32(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    expect(() => bar.mmio).toThrow('Region 0 of 0000:00:03.0 is closed');
    expect(() => opened.device.region(0)).toThrow('Device 0000:00:03.0 is closed');
  });
});

describe('interrupts', () => {
  it('are refused by a name that is none, and where the device has none', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    expect(() => opened.device.interrupt('MSI' as never)).toThrow(
      "Expected one of intx, msi, msix, err, req, or an index, for which but received 'MSI'",
    );
    expect(() => opened.device.interrupt('toString' as never)).toThrow('for which');
    expect(() => opened.device.interrupt(-1)).toThrow('for which');
    expect(() => opened.device.interrupt('msix').enable()).toThrow(`Interrupt msix of ${address}: the device has none of this kind`);
  });

  it('are the same by name and by index', () => {
    using opened = openDevice(machine().kernel, address);
    expect(opened.device.interrupt(1)).toBe(opened.device.interrupt('msi'));
    expect(() => opened.device.interrupt(5)).toThrow(/^EINVAL/);
  });

  it('knows each kind', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    expect(opened.device.interrupt('intx').info).toMatchObject({ count: 1, maskable: true, automasked: true });
    expect(opened.device.interrupt('msi').info).toMatchObject({ count: 1, fixedSize: true });
    expect(opened.device.interrupt('msix').info.count).toBe(0);
    expect(() => opened.device.interrupt('msix').enable()).toThrow(RangeError);
  });

  it('waits, coalesces, times out, and is aborted', async () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    const msi = opened.device.interrupt('msi');
    const [vector] = msi.enable();
    const waiting = vector!.wait();
    msi.trigger();
    msi.trigger();
    expect(await waiting).toBe(2);
    msi.trigger();
    await turn();
    await turn();
    expect(await vector!.wait()).toBe(1);
    await expect(vector!.wait({ timeoutMilliseconds: 5 })).rejects.toMatchObject({ code: 'ERR_VFIO_TIMEOUT' });
    await expect(vector!.wait({ signal: AbortSignal.timeout(5) })).rejects.toMatchObject({ name: 'TimeoutError' });
    await expect(vector!.wait({ signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
    const ended = expect(vector!.wait()).rejects.toMatchObject({ code: 'ERR_VFIO_CLOSED' });
    msi.disable();
    await ended;
    expect(msi.enable().length).toBe(1);
    expect(() => msi.enable()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_ENABLED' }));
  });

  it('comes as an event and by for await', async () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    const msi = opened.device.interrupt('msi');
    const [vector] = msi.enable();
    const seen: number[] = [];
    const listener = (count: number): void => {
      seen.push(count);
    };
    vector!.ref().on('signal', listener);
    msi.trigger();
    while (seen.length === 0) await turn();
    vector!.off('signal', listener).unref();
    msi.triggerEach(0, [true]);
    for await (const count of vector!) {
      expect(count).toBe(1);
      break;
    }
    expect(seen).toEqual([1]);
  });

  it('INTx is unmasked by waiting for the next', async () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    const registers = opened.device.region(0).mmio;
    const [line] = opened.device.interrupt('intx').enable();
    for (const reason of [1, 2, 4]) {
      registers.write32(0x60, reason);
      expect(await line!.wait({ timeoutMilliseconds: 1000 })).toBe(1);
      expect(registers.read32(0x24)).toBe(reason);
      registers.write32(0x64, reason);
    }
  });

  it('one of INTx and MSI at a time, and what fails leaves nothing', () => {
    const { kernel } = machine();
    using opened = openDevice(kernel, address);
    opened.device.interrupt('msi').enable();
    expect(() => opened.device.interrupt('intx').enable()).toThrow(
      expect.objectContaining({ code: 'EINVAL', hint: expect.stringContaining('Only one of') }),
    );
    expect(() => opened.device.interrupt('msi').mask()).toThrow(expect.objectContaining({ code: 'ENOTTY' }));
  });
});

describe('DMA', () => {
  const transfer = async (opened: ReturnType<typeof openDevice>, source: bigint, destination: bigint, command: bigint): Promise<void> => {
    const registers = opened.device.region(0).mmio;
    registers.write64(0x80, source);
    registers.write64(0x88, destination);
    registers.write64(0x90, 64n);
    registers.write64(0x98, command);
    while ((registers.read32(0x98) & 1) !== 0) await turn();
  };
  const [into, out] = [0b001n, 0b011n];

  it('moves bytes both ways, and nothing without bus mastering', async () => {
    const simulated = machine();
    using opened = openDevice(simulated.kernel, address);
    const buffer = opened.dma.allocate(4096);
    buffer.bytes.fill(7);
    await transfer(opened, buffer.iova, 0x4_0000n, into);
    expect(simulated.faults).toEqual([{ device: address, iova: buffer.iova, size: 64, direction: 'read', reason: 'bus mastering is off' }]);
    opened.device.enableBusMaster();
    await transfer(opened, buffer.iova, 0x4_0000n, into);
    await transfer(opened, 0x4_0000n, buffer.iova + 128n, out);
    expect([...buffer.bytes.subarray(120, 200)]).toEqual(Array(80).fill(7));
    expect(simulated.faults.length).toBe(1);
  });

  it('to what is not mapped, not readable or not writable is a fault and moves no byte', async () => {
    const simulated = machine();
    using opened = openDevice(simulated.kernel, address);
    opened.device.enableBusMaster();
    const readOnly = opened.dma.allocate(4096, { write: false });
    const writeOnly = opened.dma.allocate(4096, { read: false });
    expect(writeOnly.iova).toBe(readOnly.iova + 4096n);
    await transfer(opened, 0x4_0000n, readOnly.iova, out);
    await transfer(opened, writeOnly.iova, 0x4_0000n, into);
    await transfer(opened, 0x4_0000n, 0x900_0000n, out);
    // The first half could be written; the fault keeps the whole access away.
    writeOnly.bytes.fill(9);
    await transfer(opened, 0x4_0000n, writeOnly.iova + 4096n - 32n, out);
    expect(simulated.faults.map(({ direction, reason }) => [direction, reason])).toEqual([
      ['write', 'not writable'],
      ['read', 'not readable'],
      ['write', 'not mapped'],
      ['write', 'not mapped'],
    ]);
    expect(readOnly.bytes.every((byte) => byte === 0) && writeOnly.bytes.every((byte) => byte === 9)).toBe(true);
  });

  it('after unmapping is a fault, though the device was told the address', async () => {
    const simulated = machine();
    using opened = openDevice(simulated.kernel, address);
    opened.device.enableBusMaster();
    const buffer = opened.dma.allocate(4096);
    const { iova } = buffer;
    buffer.close();
    await transfer(opened, 0x4_0000n, iova, out);
    expect(simulated.faults.map(({ reason }) => reason)).toEqual(['not mapped']);
  });

  it('is cut to the 28 bits the device drives', async () => {
    const simulated = machine();
    using opened = openDevice(simulated.kernel, address);
    opened.device.enableBusMaster();
    const buffer = opened.dma.allocate(4096);
    buffer.bytes.fill(5);
    await transfer(opened, buffer.iova + 0x1000_0000n, 0x4_0000n, into);
    expect(simulated.faults).toEqual([]);
  });

  it('bus mastering ends with the device', () => {
    const { kernel } = machine();
    const opened = openDevice(kernel, address);
    opened.device.enableBusMaster();
    expect(opened.device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
    opened.device.disableBusMaster();
    expect(opened.device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER).toBe(0);
    opened.close();
  });
});
