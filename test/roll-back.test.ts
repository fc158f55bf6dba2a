/** Each way of setting something up, with each of its system calls failing once: nothing is left, and what is thrown is clear. */
import { describe, expect, it } from 'vitest';
import { IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, iommu_vevent_arm_smmuv3 } from '../lib/abi/index.js';
import {
  bindDriver,
  Cdev,
  Container,
  createMediatedDevice,
  findDevice,
  findDevices,
  Iommufd,
  MemoryFile,
  openDevice,
  Spapr,
  type Device,
  type Kernel,
  type OpenWay,
} from '../lib/index.js';
import { E1000e, Edu, failEach, Machine, type MachineOptions } from '../lib/sim/index.js';

const address = '0000:00:03.0';
const behindBridge = '0000:02:00.0';

/** What the driver does, and on which machine. */
type Scene = readonly [options: MachineOptions, driver: (kernel: Kernel) => unknown];

const withEdu = (options: MachineOptions = {}): MachineOptions => ({ ...options, devices: [{ model: new Edu(), address, group: 3 }] });
const express = (): MachineOptions => ({ devices: [{ model: new E1000e(), address: behindBridge, group: 7 }] });

function openedBy(by: OpenWay, use: (opened: ReturnType<typeof openDevice>) => unknown): (kernel: Kernel) => Promise<void> {
  return async (kernel) => {
    using opened = openDevice(kernel, address, { by });
    await use(opened);
  };
}

/** All of the edu device: registers, an interrupt, DMA out and in. */
async function edu({ device, dma }: ReturnType<typeof openDevice>): Promise<void> {
  const { mmio } = device.region(0);
  device.enableBusMaster();
  const [interrupt] = device.interrupt('msi').enable();
  const served = async (): Promise<void> => {
    await interrupt!.wait({ timeoutMilliseconds: 500 });
    mmio.write32(0x64, mmio.read32(0x24));
  };
  mmio.write32(0x20, 0x80);
  mmio.write32(0x08, 10);
  await served();
  const [sent, received] = [dma.allocate(2048, { below: 0xfff_ffffn, write: false }), dma.allocate(2048, { below: 0xfff_ffffn })];
  for (const [source, destination, command] of [
    [sent.iova, 0x4_0000n, 5n],
    [0x4_0000n, received.iova, 7n],
  ] as const) {
    mmio.write64(0x80, source);
    mmio.write64(0x88, destination);
    mmio.write64(0x90, 2048n);
    mmio.write64(0x98, command);
    await served();
  }
  sent.close();
  device.disableBusMaster();
}

function mediated(use: (device: Device) => unknown): (kernel: Kernel) => Promise<void> {
  return async (kernel) => {
    using made = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });
    using container = Container.open(kernel);
    const group = container.openGroup(made.group);
    container.setIommu();
    await use(group.openDevice(made.uuid));
  };
}

const scenes: Record<string, () => Scene> = {
  ...Object.fromEntries(
    (['node', 'group', 'compatibility'] as const).map((by) => [`the whole edu device by its ${by}`, () => [withEdu(), openedBy(by, edu)]]),
  ),
  'the way that openDevice chooses': () => [withEdu(), (kernel) => openDevice(kernel, address).close()],
  'a device without an IOMMU': () => [
    { ...withEdu(), devices: [{ model: new Edu(), address }], iommu: 'none', unsafeNoIommu: true },
    (kernel) => {
      using opened = openDevice(kernel, address, { unsafeNoIommu: true });
      opened.dma.allocate(8192);
    },
  ],
  'a line interrupt, and the host asking': () => [
    withEdu(),
    openedBy('group', async ({ device }) => {
      const [line] = device.interrupt('intx').enable();
      const forget = device.onRequest(() => {});
      const { mmio } = device.region(0);
      for (let round = 0; round < 2; round += 1) {
        mmio.write32(0x60, 1);
        await line!.wait({ timeoutMilliseconds: 500 });
        mmio.write32(0x64, 1);
      }
      forget();
      device.interrupt('intx').disable();
    }),
  ],
  'many vectors': () => [
    express(),
    (kernel) => {
      using opened = openDevice(kernel, behindBridge, { by: 'node' });
      const vectors = opened.device.interrupt('msix').enable(5);
      vectors[0]!.on('signal', () => {});
      opened.device.interrupt('msix').setEventfds(1, [-1]);
      opened.device.interrupt('msix').disable();
    },
  ],
  'mappings of a container, and which pages were written': () => [
    withEdu(),
    openedBy('group', ({ dma }) => {
      const buffer = dma.allocate(3 * 4096);
      using tracking = dma.trackDirtyPages!();
      tracking.read({ iova: buffer.iova, size: BigInt(buffer.size) });
    }),
  ],
  ...Object.fromEntries(
    (['node', 'group'] as const).map((by) => [
      `lists of mappings by its ${by}`,
      (): Scene => [
        withEdu(),
        (kernel) => {
          using opened = openDevice(kernel, address, { by });
          const from = kernel.addressOf(opened.dma.allocate(4096).memory);
          const iovas = opened.dma.mapMany(Array.from({ length: 3 }, () => ({ address: from, size: 4096n })));
          opened.dma.unmapMany(iovas.map((iova) => ({ iova, size: 4096n })));
        },
      ],
    ]),
  ),
  'address spaces of /dev/iommu': () => [
    withEdu(),
    (kernel) => {
      using iommufd = Iommufd.open(kernel);
      const [space, other] = [iommufd.createIoas(), iommufd.createIoas()];
      const buffer = space.allocate(8192);
      using file = MemoryFile.create(kernel, 8192);
      space.mapFile({ fd: file.fd, size: 8192n });
      other.copyFrom(space, { from: buffer.iova, size: 8192n });
      other.unmapAll();
      other.close();
      space.allowRanges([{ start: 0n, last: 0xffff_ffffn }]);
    },
  ],
  'page tables': () => [
    withEdu({ iommuFeatures: ['dirtyTracking', 'nesting'] }),
    (kernel) => {
      using iommufd = Iommufd.open(kernel);
      const device = Cdev.open(iommufd, findDevice(kernel, address));
      iommufd.hardwareInformation(device);
      const space = iommufd.createIoas();
      const table = space.createPageTable(device, { dirtyTracking: true, nestParent: true });
      device.attach(table);
      const buffer = space.allocate(8192);
      const tracking = table.trackDirtyPages();
      tracking.read({ iova: buffer.iova, size: 8192n });
      tracking.close();
      const nested = table.createNested(device, { kind: 'vtd', root: buffer.iova, addressWidth: 48 });
      device.attach(nested);
      nested.invalidate([{ iova: 0n, size: 4096n }]);
      device.detach();
    },
  ],
  'a queue of page requests': () => [
    withEdu({ iommuFeatures: ['pasids'] }),
    (kernel) => {
      using iommufd = Iommufd.open(kernel);
      const device = Cdev.open(iommufd, findDevice(kernel, address));
      const queue = iommufd.createFaultQueue();
      queue.ref();
      device.attach(iommufd.createIoas().createPageTable(device, { pasids: true, faultQueue: queue }), { pasid: 7 });
      device.detach({ pasid: 7 });
    },
  ],
  'a virtual IOMMU': () => [
    withEdu({ iommu: 'smmuv3', iommuFeatures: ['nesting'] }),
    (kernel) => {
      using iommufd = Iommufd.open(kernel);
      const device = Cdev.open(iommufd, findDevice(kernel, address));
      const memory = iommufd.createIoas();
      const guest = memory.allocate(0x1_0000);
      const viommu = memory
        .createPageTable(device, { nestParent: true })
        .createVirtualIommu(device, { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3 });
      viommu.addDevice(device, 0x20n);
      viommu.createEventQueue({ type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, layout: iommu_vevent_arm_smmuv3 }).ref();
      device.attach(viommu.createPageTable(device, { kind: 'smmuv3', streamTableEntry: [1n | (5n << 1n) | guest.iova, 0n] }));
      device.detach();
    },
  ],
  'a mediated device, and its state': () => [
    { mediated: ['mtty'] },
    mediated(async ({ migration }) => {
      // A device that does not answer looks like one that cannot migrate.
      if (migration === undefined) throw new Error('The device cannot migrate');
      migration.setState('pre-copy')!.preCopyInfo();
      for await (const part of migration.save().readable()) void part;
      migration.setState('running');
      migration.restore();
    }),
  ],
  'a log of what the device wrote': () => [
    { mediated: ['mtty'] },
    mediated((device) => {
      using log = device.logDma({ ranges: [{ iova: 0n, size: 0x10_0000n }] });
      log.report({ iova: 0n, size: 0x1_0000n });
    }),
  ],
  'resets, of the function and of the bus': () => [
    express(),
    (kernel) => {
      using container = Container.open(kernel);
      const group = container.openGroup(7);
      container.setIommu();
      const device = group.openDevice(behindBridge);
      device.reset();
      device.hotResetInfo();
      device.hotReset([group]);
    },
  ],
  'sleep, registers written by an eventfd, and a BAR for others': () => [
    express(),
    (kernel) => {
      using opened = openDevice(kernel, behindBridge, { by: 'node' });
      const { device } = opened;
      device.allowSleepUntilWakeup();
      device.keepAwake();
      device.allowSleep();
      device.keepAwake();
      const [vector] = device.interrupt('msix').enable();
      using write = device.writeOnSignal({ bar: 0, offset: 0x28, width: 4, value: 1n, eventfd: vector!.fd });
      device.exportBar(0).close();
      void write;
    },
  ],
  'the IOMMU of a POWER machine': () => [
    withEdu({ iommu: 'spapr' }),
    (kernel) => {
      using container = Container.open(kernel);
      container.openGroup(3);
      const spapr = Spapr.use(container);
      const buffer = spapr.allocate(0x1_0000);
      const { start } = spapr.createWindow({ pageShift: 16, size: 1n << 30n });
      spapr.removeWindow(start);
      buffer.close();
    },
  ],
  'another driver': () => [
    { devices: [{ model: new Edu(), address, driver: 'edu', hostDriver: 'edu' }] },
    (kernel) => {
      using bound = bindDriver(kernel, address);
      void bound;
      findDevices(kernel, {});
    },
  ],
};

describe.each(Object.entries(scenes))('%s', (_name, scene) => {
  it('leaves nothing and throws what is clear, whichever call fails', { timeout: 60_000 }, async () => {
    const [, driver] = scene();
    const { runs, problems } = await failEach({ machine: () => new Machine(scene()[0]), driver });
    expect(problems.map(({ what, call, errno, text }) => `${what} when ${call} is ${errno}: ${text}`)).toEqual([]);
    expect(runs.length).toBeGreaterThan(5);
  });
});
