/** What a device has beyond registers and interrupts, through the typed interface. */
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import { bindDriver } from '../../lib/pci/driver.js';
import { Container } from '../../lib/vfio/container.js';
import type { Device } from '../../lib/vfio/device.js';
import type { Group } from '../../lib/vfio/group.js';
import type { Migration } from '../../lib/vfio/migration.js';
import { MediatedDevices } from '../support/mediated.js';
import { hasNodes, type Place, type Subject, type Variant } from '../support/subject.js';

const page = 4096n;

export function features(variant: Variant): void {
  let subject: Subject;
  let mediated: MediatedDevices;
  const containers: Container[] = [];

  beforeEach(() => {
    subject = variant.make();
    mediated = new MediatedDevices(subject.kernel);
  });
  afterEach(() => {
    for (const container of containers.splice(0)) container.close();
    mediated.removeAll();
  });

  const openGroup = ({ address, group: number }: Place): { container: Container; group: Group; device: Device } => {
    const container = Container.open(subject.kernel);
    containers.push(container);
    const group = container.openGroup(number);
    container.setIommu();
    return { container, group, device: group.openDevice(address) };
  };

  if (hasNodes(variant))
    describe('migration', () => {
      const serial = (): { device: Device; migration: Migration } => {
        const { device } = openGroup(mediated.make('mtty-1'));
        return { device, migration: device.migration! };
      };
      /** What was written to the UART's scratch register, which is part of its state. */
      const scratch = (device: Device): number => device.region(0).mmio.read8(7);

      it('is undefined for a device that has none', () => {
        expect(openGroup(subject.express).device.migration).toBeUndefined();
      });

      it('says what the device can, and where it is', () => {
        const { migration } = serial();
        expect([migration.stopCopy, migration.p2p, migration.preCopy, migration.state]).toEqual([true, true, true, 'running']);
        expect(Number(migration.dataSize)).toBeGreaterThan(24);
        expect(migration.setState('stop')).toBeUndefined();
        expect(migration.state).toBe('stop');
      });

      it('streams the state of one device into another, which then has it', async () => {
        const [source, target] = [serial(), serial()];
        source.device.region(0).mmio.write8(7, 0x5a);
        expect(scratch(target.device)).toBe(0);
        const saved = source.migration.save();
        await pipeline(saved.readable(), target.migration.restore().writable());
        expect(target.migration.setState('running')).toBeUndefined();
        expect([scratch(target.device), target.migration.state]).toEqual([0x5a, 'running']);
        source.migration.setState('stop');
        expect(saved.closed).toBe(true);
      });

      it('takes what it can while the device runs, and the rest from the same file when it is stopped', async () => {
        const [source, target] = [serial(), serial()];
        const data = source.migration.setState('pre-copy')!;
        const parts: Uint8Array[] = [];
        const take = async (): Promise<void> => {
          for await (const part of data.readable()) parts.push(part as Uint8Array);
        };
        expect(data.preCopyInfo()).toEqual({ initialBytes: 24n, dirtyBytes: 0n, newInitialData: false });
        await take();
        expect(data.preCopyInfo().initialBytes).toBe(0n);
        source.device.region(0).mmio.write8(7, 0x33);
        expect(source.migration.setState('stop-copy')).toBe(data);
        await take();
        const sink = target.migration.restore();
        for (const part of parts) sink.write(part);
        target.migration.setState('running');
        expect(scratch(target.device)).toBe(0x33);
      });

      it('passes on what the kernel refuses, from streams too', async () => {
        const { migration, device } = serial();
        const sink = migration.restore();
        await expect(pipeline([new Uint8Array(4096)], sink.writable())).rejects.toMatchObject({ code: 'ENOMEM', syscall: 'write' });
        expect(() => migration.setState('running')).toThrow(/^EINVAL/);
        expect(() => migration.setState('walking' as 'running')).toThrow('Expected one of error, stop');
        device.reset();
        expect(migration.state).toBe('running');
        expect(() => sink.read(new Uint8Array(8))).toThrow(/^(EINVAL|EBADF|ENODEV)/);
      });

      it('opts in to word of new initial data where the kernel has it', () => {
        const { migration } = serial();
        if (subject.version !== '7.3') expect(() => migration.reportNewInitialData()).toThrow(/^ENOTTY/);
        else migration.reportNewInitialData();
        expect(migration.setState('pre-copy')?.preCopyInfo().newInitialData).toBe(false);
      });
    });

  if (hasNodes(variant))
    describe('DMA log', () => {
      it('reports pages until it is closed', () => {
        const { device } = openGroup(mediated.make('mtty-1'));
        const log = device.logDma({
          ranges: [
            { iova: 0n, size: 64n * page },
            { iova: 128n * page, size: page },
          ],
        });
        expect(log.pageSize).toBe(page);
        expect(log.report({ iova: 0n, size: 64n * page }).count).toBe(0);
        log.close();
        expect(() => log.report({ iova: 0n, size: page })).toThrow('is closed');
      });

      it('refuses what is no page size or no range before the kernel sees it, and passes on the rest', () => {
        const { device } = openGroup(mediated.make('mtty-1'));
        expect(() => device.logDma({ ranges: [] })).toThrow('Expected at least one range for ranges');
        expect(() => device.logDma({ ranges: [{ iova: 0n, size: page }], pageSize: 512n })).toThrow('at least 4096, for pageSize');
        expect(() => device.logDma({ ranges: [{ iova: 1n, size: page }] })).toThrow(/^EINVAL.*VFIO_DEVICE_FEATURE/);
        expect(() => openGroup(subject.express).device.logDma({ ranges: [{ iova: 0n, size: page }] })).toThrow(/^ENOTTY/);
      });
    });

  describe('graphics', () => {
    it('tells the plane of a display that is a region', () => {
      const { graphics } = openGroup(mediated.make('mdpy-vga')).device;
      expect([graphics.gives('region'), graphics.gives('dma-buf')]).toEqual([true, false]);
      expect(graphics.plane('region')).toMatchObject({ width: 640, height: 480, stride: 2560, source: { region: 16 } });
    });

    it('is nothing on a device without a picture', () => {
      const { graphics } = openGroup(subject.express).device;
      expect([graphics.gives('region'), graphics.gives('dma-buf')]).toEqual([false, false]);
    });
  });

  describe('PCI Express', () => {
    let device: Device;
    let group: Group;
    beforeEach(() => {
      ({ device, group } = openGroup(subject.express));
    });

    it('knows which features there are', () => {
      expect([device.features.has(3, 'set'), device.features.has(3, 'get'), device.features.has(1, 'get')]).toEqual([true, false, false]);
      expect(() => device.features.has(0x1_0000)).toThrow('Expected an integer from 0 to 65535 for feature');
      expect(device.info).toMatchObject({ resettable: true, isPci: true, atomicCompletions: [] });
      expect([device.region(3).info.msixMappable, device.region(0).info.msixMappable]).toEqual([true, false]);
      expect(device.zpciError.bind(device)).toThrow(/^ENOTTY/);
    });

    it('is reset with its bus by whoever has all that is on it', () => {
      const { address, group: number } = subject.express;
      expect(device.hotResetInfo()).toEqual({
        devices: [{ address, group: number, id: undefined, owned: undefined }],
        allOwned: undefined,
      });
      device.hotReset([group]);
      expect(() => device.hotReset()).toThrow(/^EINVAL/);
      device.reset();
    });

    it('has a register written when an eventfd is signalled', async () => {
      const eventfd = device.interrupt('err').enable()[0]!.fd;
      const registers = device.region(0).mmio;
      registers.write32(0x28, 0);
      using _write = device.writeOnSignal({ bar: 0, offset: 0x28, width: 4, value: 0x99n, eventfd });
      device.interrupt('err').trigger();
      for (let waited = 0; waited < 2000 && registers.read32(0x28) !== 0x99; waited += 5) await delay(5);
      expect(registers.read32(0x28)).toBe(0x99);
      const options = { bar: 0, offset: 0x28, width: 4, value: 1n, eventfd } as const;
      expect(() => device.writeOnSignal({ ...options, width: 3 as 4 })).toThrow('Expected 1, 2, 4 or 8 for width');
      expect(() => device.writeOnSignal({ ...options, offset: 2 })).toThrow('Expected a multiple of 4 for offset');
      expect(() => device.writeOnSignal({ ...options, value: 1n << 32n })).toThrow('Expected an integer of 4 bytes for value');
      expect(() => device.writeOnSignal({ ...options, value: 0x99n })).toThrow(/^EEXIST/);
    });

    it('sleeps when it may, and tells when it wakes', async () => {
      device.allowSleep();
      expect(() => device.allowSleep()).toThrow(/^EINVAL/);
      device.keepAwake();
      using wakeup = device.allowSleepUntilWakeup();
      await subject.asleep(subject.express.address);
      device.config.read16(0);
      expect(await wakeup.wait({ timeoutMilliseconds: 5000 })).toBe(1);
    });

    it('gives its BAR away as a dma-buf where the kernel can', () => {
      if (subject.version !== '7.3') {
        expect(() => device.exportBar(0)).toThrow(/^ENOTTY/);
        return;
      }
      using whole = device.exportBar(0);
      expect(whole.fd).toBeGreaterThanOrEqual(0);
      expect(() => device.exportBar(0, [])).toThrow('Expected at least one range for ranges');
      expect(() => device.exportBar(0, [{ offset: 8n, size: page }])).toThrow(/^EINVAL/);
    });

    it('has no token that anybody could set, since it has no virtual functions', () => {
      expect(() => device.setVfToken('not a uuid')).toThrow("Expected a UUID like 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3' for uuid");
      expect(() => device.setVfToken('bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3')).toThrow(/^ENOTTY/);
      const options = { vfToken: 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3' };
      expect(() => group.openDevice(subject.express.address, options)).toThrow(/^EINVAL/);
    });
  });

  it('a request for the device comes as an event, and the host gets it when it is closed', async () => {
    const { address } = subject.express;
    const opened: OpenDevice = openDevice(subject.kernel, address);
    const asked = new Promise<number>((resolve) => opened.device.onRequest(resolve));
    const unbinding = subject.unbind(address);
    expect(await asked).toBeGreaterThan(0);
    opened.close();
    await unbinding;
    bindDriver(subject.kernel, address);
    openDevice(subject.kernel, address).close();
  }, 60_000);
}
