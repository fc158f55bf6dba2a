/** Virtual IOMMUs in the API, on the kernel's mock. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  InvalidationError,
  Iommufd,
  type Ioas,
  type PageTable,
  type VirtualDevice,
  type VirtualEventQueue,
  type VirtualIommu,
} from '../../lib/index.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam, type MockDevice } from '../support/mock/seam.js';
import type { Variant } from '../support/subject.js';

const type = mock.IOMMU_VIOMMU_TYPE_SELFTEST;
const page = 4096n;

export function virtualIommuApi(variant: Variant): void {
  let iommufd: Iommufd;
  let ioas: Ioas;
  let mocks: MockSeam;
  let made: MockDevice;
  let device: { readonly id: number };
  let parent: PageTable;

  beforeEach(() => {
    const { kernel } = variant.make();
    iommufd = Iommufd.open(kernel);
    ioas = iommufd.createIoas();
    mocks = new MockSeam(kernel, iommufd.fd);
    made = mocks.device(ioas.id);
    device = { id: made.device };
    parent = ioas.createPageTable(device, { nestParent: true });
  });
  afterEach(() => {
    mocks.destroy(made);
    iommufd.close();
  });

  if (variant.version === '6.12') {
    it('the error says which Linux has them', () => {
      expect(() => parent.createVirtualIommu(device, { type })).toThrow(/^ENOTTY: .*IOMMU_VIOMMU_ALLOC.*need Linux 6\.13/);
    });
    return;
  }

  describe('with a virtual IOMMU', () => {
    let viommu: VirtualIommu;
    let virtual: VirtualDevice;

    beforeEach(() => {
      viommu = parent.createVirtualIommu(device, { type });
      virtual = viommu.addDevice(device, 0x99n);
    });

    const attach = (id: number): string => mocks.replace(made.selftest, id);
    const trigger = (): string => mocks.run(mock.IOMMU_TEST_OP_TRIGGER_VEVENT, 0, 'trigger_vevent', { dev_id: device.id });
    const nest = (): number => {
      const data = mock.iommu_hwpt_selftest.create();
      return viommu.createPageTable(device, { kind: 'other', type: mock.IOMMU_HWPT_DATA_SELFTEST, data }).id;
    };
    const queue = (depth = 2): VirtualEventQueue<{ readonly virt_id: number }> =>
      viommu.createEventQueue({ type: mock.IOMMU_VEVENTQ_TYPE_SELFTEST, layout: mock.iommu_viommu_event_selftest, depth });

    it('it and the devices on it have ids and names', () => {
      expect([viommu.type, viommu.fd, virtual.virtualId]).toEqual([type, iommufd.fd, 0x99n]);
      expect(virtual.id).toBe(viommu.id + 1);
      expect(() => viommu.addDevice(device, 1n)).toThrow(/^EEXIST: .*IOMMU_VDEVICE_ALLOC.*is on a virtual IOMMU already/);
      expect(() => viommu.addDevice(device, -1n)).toThrow(/for virtualId but received -1/);
      virtual.close();
      virtual.close();
      expect(viommu.addDevice(device, 1n).id).toBe(virtual.id);
    });

    it('closing it closes what is on it, and the device first is as well', () => {
      queue();
      nest();
      viommu.close();
      expect(virtual.closed).toBe(true);
      expect(() => viommu.addDevice(device, 1n)).toThrow(/is closed/);
      const another = parent.createVirtualIommu(device, { type });
      const kept = another.addDevice(device, 1n);
      mocks.destroy(made);
      kept.close();
      another.close();
      made = mocks.device(ioas.id);
    });

    it('data goes to the driver and back, and what it shows is mapped', () => {
      const data = mock.iommu_viommu_selftest.create();
      data.in_data = 0x1234;
      const shown = parent.createVirtualIommu(device, { type, data });
      expect([data.out_data, data.out_mmap_length]).toEqual([0x1234, 8192n]);
      const registers = shown.mapRegisters(data.out_mmap_offset, data.out_mmap_length);
      expect([registers.length, registers.mmio.read32(0)]).toEqual([8192, 0x1234]);
      registers.mmio.write32(4, 5);
      expect(registers.mmio.read32(4)).toBe(5);
      expect(() => shown.mapRegisters(0n, page)).toThrow(/^ENXIO/);
      const { mmio } = registers;
      shown.close();
      expect(() => mmio.read32(0)).toThrow();
      expect(() => parent.createVirtualIommu(device, { type, data: { bytes: new Uint8Array(7) } })).toThrow(/^EINVAL: .*VIOMMU_ALLOC/);
      expect(() => parent.createVirtualIommu(device, { type: 1 })).toThrow(/^EOPNOTSUPP: .*has no virtual ones of this type/);
    });

    it('entries are invalidated in order, and the error says how many were', () => {
      const entry = (vdev_id: number, cache_id: number, flags = 0): { bytes: Uint8Array } => {
        const made = mock.iommu_viommu_invalidate_selftest.create();
        Object.assign(made, { vdev_id, cache_id, flags });
        return made;
      };
      const known = mock.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST;
      const cache = (id: number): string => mocks.run(mock.IOMMU_TEST_OP_DEV_CHECK_CACHE, device.id, 'check_dev_cache', { id, cache: 0 });
      viommu.invalidate(known, [entry(0x99, 0), entry(0x99, 2)]);
      expect([cache(0), cache(1), cache(2)]).toEqual(['0', 'EINVAL', '0']);
      const failure = ((): unknown => {
        try {
          viommu.invalidate(known, [entry(0x99, 1), entry(0x98, 1), entry(0x99, 3)]);
        } catch (error) {
          return error;
        }
        return undefined;
      })();
      expect(failure).toBeInstanceOf(InvalidationError);
      expect([(failure as InvalidationError).code, (failure as InvalidationError).handled]).toEqual(['EINVAL', 1]);
      viommu.invalidate(known, []);
      expect(() => viommu.invalidate(1, [])).toThrow(/^EINVAL: .*IOMMU_HWPT_INVALIDATE/);
      expect(() => viommu.invalidate(known, [entry(0x99, 0), { bytes: new Uint8Array(4) }])).toThrow(/entries of 12 bytes each/);
      expect(() => viommu.invalidate(-1, [])).toThrow(/for type but received -1/);
    });

    it('events are read without waiting, with how many were lost', () => {
      const events = queue();
      expect(events.read()).toEqual([]);
      expect(attach(nest())).toMatch(/^\d+$/);
      expect([trigger(), trigger(), trigger(), trigger()]).toEqual(['0', '0', '0', '0']);
      const words = events.read().map(({ sequence, lost, data }) => [sequence, lost, data?.virt_id]);
      expect(words).toEqual([
        [0, 0, 0x99],
        [1, 0, 0x99],
        [3, 2, undefined],
      ]);
      trigger();
      expect(events.read().map(({ sequence, lost }) => [sequence, lost])).toEqual([[4, 0]]);
      attach(parent.id);
    });

    it('events are awaited, one by one', async () => {
      const events = queue(8);
      attach(nest());
      const waited = events.wait({ timeoutMilliseconds: 5000 });
      trigger();
      expect((await waited).data?.virt_id).toBe(0x99);
      await expect(events.wait({ timeoutMilliseconds: 1 })).rejects.toMatchObject({ code: 'ERR_VFIO_TIMEOUT' });
      trigger();
      trigger();
      const sequences: number[] = [];
      for await (const { sequence } of events) {
        sequences.push(sequence);
        if (sequences.length === 2) break;
      }
      expect(sequences).toEqual([1, 2]);
      attach(parent.id);
    });

    it('queues for events take a depth and a type, once', () => {
      const events = queue();
      expect(() => queue()).toThrow(/^EEXIST: .*IOMMU_VEVENTQ_ALLOC.*a queue for this type/);
      events.close();
      expect(() => queue(0)).toThrow(/^EINVAL: .*from 1 to 524288/);
      expect(() => queue(1.5)).toThrow(/for depth but received 1.5/);
      queue().close();
    });

    it('queues of the hardware hold their memory', () => {
      const buffer = ioas.allocate(4096);
      const make = (index: number): { close(): void; readonly id: number } =>
        viommu.createHardwareQueue({ type: mock.IOMMU_HW_QUEUE_TYPE_SELFTEST, index, iova: buffer.iova, size: page });
      const [first, second] = [make(0), make(1)];
      expect(() => make(0)).toThrow(/^EEXIST: .*IOMMU_HW_QUEUE_ALLOC/);
      expect(() => ioas.unmap({ iova: buffer.iova, size: page })).toThrow(/^EBUSY: .*IOAS_UNMAP/);
      expect(second.id).toBeGreaterThan(first.id);
      viommu.close();
      expect(ioas.unmap({ iova: buffer.iova, size: page })).toBe(page);
      expect(() => make(0)).toThrow(/is closed/);
    });

    it('closing the file closes all of it, in an order that the kernel takes', () => {
      queue();
      attach(nest());
      mocks.destroy(made);
      iommufd.close();
      expect([viommu.closed, virtual.closed, parent.closed]).toEqual([true, true, true]);
      iommufd = Iommufd.open(iommufd.kernel);
      ioas = iommufd.createIoas();
      mocks = new MockSeam(iommufd.kernel, iommufd.fd);
      made = mocks.device(ioas.id);
    });
  });
}
