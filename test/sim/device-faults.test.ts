import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { findDevices, openDevice, type Interrupt, type OpenDevice } from '../../lib/index.js';
import { E1000e, Edu, Machine, type MachineDevice } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const status = 0x20;
const raise = 0x60;
const acknowledge = 0x64;

interface Scene extends Disposable {
  readonly machine: Machine;
  readonly opened: OpenDevice;
  readonly device: MachineDevice;
}

function scene(by: 'node' | 'group' = 'node'): Scene {
  const model = new Edu();
  const machine = new Machine({ time: 'virtual', devices: [{ model, address, group: 3 }] });
  const opened = openDevice(machine.kernel, address, { by });
  opened.device.enableBusMaster();
  const device = machine.device(model);
  return { machine, opened, device, [Symbol.dispose]: () => opened.close() };
}

/** How many interrupts come of one that the device raises now, and later. */
async function raised({ opened, machine }: Scene, kind: 'msi' | 'intx', later = 0): Promise<number> {
  const [vector] =
    opened.device.interrupt(kind).vectors.length > 0 ? opened.device.interrupt(kind).vectors : opened.device.interrupt(kind).enable();
  const { mmio } = opened.device.region(0);
  mmio.write32(raise, 1);
  machine.clock.advance(later);
  const count = await arrived(vector!);
  mmio.write32(acknowledge, 1);
  return count;
}

/** How many there are within a few turns of the event loop, which is when an interrupt that came is delivered. */
async function arrived(vector: Interrupt): Promise<number> {
  const stop = new AbortController();
  const waiting = vector.wait({ signal: stop.signal }).catch(() => 0);
  for (let turns = 0; turns < 5; turns += 1) await turn();
  stop.abort();
  return waiting;
}

describe.each(['msi', 'intx'] as const)('interrupts by %s', (kind) => {
  it('can be lost, the next or all', async () => {
    using here = scene();
    here.device.loseInterrupts(1);
    expect(await raised(here, kind)).toBe(0);
    expect(await raised(here, kind)).toBe(1);
    here.device.loseInterrupts();
    expect([await raised(here, kind), await raised(here, kind)]).toEqual([0, 0]);
    here.device.mend();
    expect(await raised(here, kind)).toBe(1);
  });

  it('can come twice; a line that is masked at delivery comes once all the same', async () => {
    using here = scene();
    here.device.doubleInterrupts(1);
    expect(await raised(here, kind)).toBe(kind === 'msi' ? 2 : 1);
    expect(await raised(here, kind)).toBe(1);
  });

  it('can be late', async () => {
    using here = scene();
    here.device.delayInterrupts(5, 1);
    expect(await raised(here, kind, 4.9)).toBe(0);
    if (kind === 'intx') return;
    here.machine.clock.advance(0.1);
    expect(await arrived(here.opened.device.interrupt(kind).vectors[0]!)).toBe(1);
  });

  it('a late line does not come if the device was served in between', async () => {
    using here = scene();
    here.device.delayInterrupts(5, 1);
    expect(await raised(here, kind, 1)).toBe(0);
    here.machine.clock.advance(10);
    expect(await arrived(here.opened.device.interrupt(kind).vectors[0]!)).toBe(kind === 'msi' ? 1 : 0);
  });
});

describe('DMA', () => {
  /** The device reads from there. */
  const read = ({ opened, machine }: Scene, iova: bigint): void => {
    const { mmio } = opened.device.region(0);
    mmio.write64(0x80, iova);
    mmio.write64(0x88, 0x4_0000n);
    mmio.write64(0x90, 16n);
    mmio.write64(0x98, 1n);
    machine.clock.advance(2);
  };

  it('can fail once, or in a range, and is recorded', () => {
    using here = scene();
    const { iova } = here.opened.dma.allocate(8192, { below: 0xfff_ffffn });
    here.device.failDma({ count: 1 });
    read(here, iova);
    read(here, iova);
    expect(here.machine.faults).toStrictEqual([{ device: address, iova, size: 16, direction: 'read', reason: 'failed on purpose' }]);
    here.device.failDma({ start: iova + 4096n, last: iova + 8191n });
    for (const at of [0n, 4080n, 4081n, 8191n - 15n]) read(here, iova + at);
    expect(here.machine.faults.slice(1).map((fault) => fault.iova - iova)).toEqual([4081n, 8176n]);
    here.device.failDma({ start: iova, last: iova + 15n });
    for (const at of [16n, 4096n]) read(here, iova + at);
    expect(here.machine.faults.length).toBe(3);
    here.device.mend();
    read(here, iova + 4096n);
    expect(here.machine.faults.length).toBe(3);
  });

  it('a range that ends before it begins is refused', () => {
    using here = scene();
    expect(() => here.device.failDma({ start: 2n, last: 1n })).toThrow(/for last but received 1/);
    expect(() => here.device.loseInterrupts(-1)).toThrow(/for count but received -1/);
  });
});

describe('a silent device', () => {
  it('reads as ones, takes no writes, sends no interrupt and does no DMA, until it is mended', async () => {
    using here = scene();
    const { device } = here.opened;
    const { mmio } = device.region(0);
    mmio.write32(4, 0);
    here.device.silence();
    expect([mmio.read8(0), mmio.read32(0), mmio.read64(0)]).toEqual([0xff, 0xffff_ffff, 0xffff_ffff_ffff_ffffn]);
    expect(await raised(here, 'msi')).toBe(0);
    mmio.write32(4, 0x1234);
    // The kernel keeps the vendor's number itself: it does not tell that a device is gone.
    expect([device.config.read16(0x00), device.config.read16(0x06)]).toEqual([0x1234, 0xffff]);
    here.device.mend();
    expect([mmio.read32(0), mmio.read32(4), mmio.read32(status)]).toEqual([0x0100_00ed, 0xffff_ffff, 0]);
    expect(await raised(here, 'msi')).toBe(1);
  });

  it('tells nobody of what it was doing', async () => {
    using here = scene();
    const [vector] = here.opened.device.interrupt('msi').enable();
    const { mmio } = here.opened.device.region(0);
    const compute = (): void => {
      mmio.write32(status, 0x80);
      mmio.write32(8, 5);
    };
    compute();
    here.device.silence();
    here.machine.clock.advance(1000);
    expect(await arrived(vector!)).toBe(0);
    here.device.mend();
    compute();
    here.machine.clock.advance(1000);
    expect(await arrived(vector!)).toBe(1);
  });

  it('cannot be reset', () => {
    const machine = new Machine({ devices: [{ model: new E1000e(), address: '0000:02:00.0' }] });
    using opened = openDevice(machine.kernel, '0000:02:00.0');
    const device = machine.device('0000:02:00.0');
    device.silence();
    expect(() => opened.device.reset()).toThrow(/^ENOTTY: .*VFIO_DEVICE_RESET '0000:02:00.0'/);
    device.mend();
    opened.device.reset();
  });
});

describe.each(['node', 'group'] as const)('a device that is unplugged while it is open by its %s', (by) => {
  it('is silent, asks to be let go, and is gone when it is closed', async () => {
    const here = scene(by);
    const { opened, machine } = here;
    const buffer = opened.dma.allocate(4096);
    const [vector] = opened.device.interrupt('msi').enable();
    const waiting = vector!.wait();
    const asked = new Promise<void>((resolve) => opened.device.onRequest(() => resolve()));
    const gone = here.device.unplug();
    await asked;
    expect(opened.device.region(0).mmio.read32(0)).toBe(0xffff_ffff);
    buffer.close();
    opened.device.interrupt('msi').disable();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_VFIO_CLOSED' });
    opened.close();
    await gone;
    expect(findDevices(machine.kernel, {})).toEqual([]);
    expect(() => openDevice(machine.kernel, address)).toThrow(/^ENOENT/);
    expect(machine.kernel.files.readdir('/sys/kernel/iommu_groups')).toEqual([]);
    expect(machine.kernel.files.access('/dev/vfio/3')).toBeLessThan(0);
    expect(() => machine.device(address)).toThrow(/for which/);
  });
});

it('a device that nobody has open goes at once, and takes no other with it', async () => {
  const [first, second] = [new Edu(), new Edu()];
  const machine = new Machine({
    devices: [
      { model: first, group: 1 },
      { model: second, group: 1 },
    ],
  });
  const device = machine.device(first);
  await Promise.all([device.unplug(), device.unplug()]);
  expect(findDevices(machine.kernel, {}).map(({ address, group }) => [address, group])).toEqual([['0000:00:04.0', 1]]);
  openDevice(machine.kernel, '0000:00:04.0').close();
  expect(machine.device(second).address).toBe('0000:00:04.0');
});

it('a reset behind the back of the driver clears its registers', () => {
  const machine = new Machine({ devices: [{ model: new E1000e(), address: '0000:02:00.0' }] });
  using opened = openDevice(machine.kernel, '0000:02:00.0');
  const { mmio } = opened.device.region(0);
  mmio.write32(0x28, 42);
  machine.device('0000:02:00.0').reset();
  expect(mmio.read32(0x28)).toBe(0);
});

it('an error of the bus comes as the ERR interrupt', async () => {
  using here = scene();
  const told = new Promise<number>((resolve) => here.opened.device.onError(resolve));
  here.device.reportError();
  expect(await told).toBe(1);
});

it('a device is known by its address and by its model', () => {
  const models = [new Edu(), new Edu()] as const;
  const machine = new Machine({ devices: models.map((model) => ({ model })) });
  for (const [index, known] of ['0000:00:03.0', '0000:00:04.0'].entries()) {
    const model = models[index]!;
    for (const which of [known, model]) {
      const device = machine.device(which);
      expect([device.address, device.model === model]).toEqual([known, true]);
    }
  }
});
