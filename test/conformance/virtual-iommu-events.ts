/** Event queues of virtual IOMMUs at the seam, filled by the kernel's mock. */
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, IOMMU_VEVENTQ_TYPE_DEFAULT } from '../../lib/abi/iommufd/viommu.js';
import type { Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { answer } from '../support/seam.js';
import type { Variant } from '../support/subject.js';
import { ViommuStage } from '../support/viommu-stage.js';

/** Of a kernel that has them. */
export function virtualIommuEvents(variant: Variant): void {
  let stage: ViommuStage;
  let viommu: number;

  beforeEach(() => {
    stage = new ViommuStage(variant);
    viommu = stage.viommu();
  });
  afterEach(() => stage.close());

  const trigger = (device = stage.device.device): string =>
    stage.mocks.run(mock.IOMMU_TEST_OP_TRIGGER_VEVENT, 0, 'trigger_vevent', { dev_id: device });
  const times = (count: number): string => Array.from({ length: count }, () => trigger()).join(' ');

  describe('VEVENTQ_ALLOC', () => {
    const alloc = (fields: Fields = {}): string => {
      const made = stage.viommus.eventQueue(viommu, fields);
      return typeof made === 'string' ? made : String(stage.seam.close(made.fd));
    };

    it('takes a depth, a type of event, and nothing else', () => {
      expect([alloc({ flags: 1 }), alloc({ __reserved: 1 }), alloc({ type: IOMMU_VEVENTQ_TYPE_DEFAULT })]).toEqual([
        'EOPNOTSUPP',
        'EOPNOTSUPP',
        'EOPNOTSUPP',
      ]);
      expect([alloc({ veventq_depth: 0 }), alloc({ veventq_depth: (1 << 19) + 1 })]).toEqual(['EINVAL', 'EINVAL']);
      expect([alloc({ viommu_id: 99 }), alloc({ viommu_id: stage.parent })]).toEqual(['ENOENT', 'ENOENT']);
      expect(alloc({ veventq_depth: 1 << 19 })).toBe('0');
    });

    it('makes one for each type, be it one that the IOMMU has or not', () => {
      expect(alloc()).toBe('0');
      expect(alloc()).toBe('EEXIST');
      expect(alloc({ type: IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 })).toBe('0');
    });

    it('keeps the virtual IOMMU, and its fd keeps it', () => {
      const queue = stage.viommus.eventQueue(viommu);
      if (typeof queue === 'string') throw new Error(queue);
      expect([stage.calls.destroy(queue.id), stage.calls.destroy(viommu)]).toEqual(['EBUSY', 'EBUSY']);
      expect(stage.seam.kernel.close(queue.fd)).toBe(0);
      expect(stage.calls.destroy(viommu)).toBe('EBUSY');
      expect([stage.calls.destroy(queue.id), stage.calls.destroy(viommu)]).toEqual(['0', '0']);
    });
  });

  describe('events', () => {
    let fd: number;
    let id: number;
    let vdevice: number;

    beforeEach(() => {
      const queue = stage.viommus.eventQueue(viommu);
      if (typeof queue === 'string') throw new Error(queue);
      ({ fd, id } = queue);
      vdevice = Number(stage.viommus.device(viommu, stage.device.device, 0x99n));
      stage.mocks.replace(stage.device.selftest, Number(stage.viommus.nested(stage.device.device, viommu)));
    });
    afterEach(() => stage.seam.kernel.close(fd));

    const read = (length = 4096): string => stage.viommus.read(fd, length);

    it('the file is read, and nothing else', () => {
      const { kernel } = stage.seam;
      const bytes = new Uint8Array(64);
      expect(answer(kernel.write(fd, bytes))).toBe('EINVAL');
      expect([answer(kernel.pread(fd, bytes, 0)), answer(kernel.pwrite(fd, bytes, 8))]).toEqual(['ESPIPE', 'ESPIPE']);
      expect([answer(kernel.ioctl(fd, 1, 0)), answer(kernel.mmap(fd, 4096, 3, 1, 0) as number)]).toEqual(['ENOTTY', 'ENODEV']);
    });

    it('without an event there is nothing to be read, and room for a header is needed', () => {
      expect([read(0), read(7), read(8), read()]).toEqual(['EINVAL', 'EINVAL', '', '']);
    });

    it('come with a sequence number and what the guest calls the device', () => {
      expect(times(2)).toBe('0 0');
      expect(read()).toBe('0: 0x99, 1: 0x99');
      expect(read()).toBe('');
      expect(times(1)).toBe('0');
      expect(read()).toBe('2: 0x99');
    });

    it('are read whole', () => {
      times(2);
      expect([read(8), read(11), read(23), read(8), read(12), read(12)]).toEqual(['EINVAL', 'EINVAL', '0: 0x99', 'EINVAL', '1: 0x99', '']);
    });

    it('a full queue counts what is lost, and says so behind the last', () => {
      expect(times(5)).toBe('0 0 0 0 0');
      expect(read()).toBe('0: 0x99, 1: 0x99, 4: lost');
      times(3);
      expect([read(24), read(8), read()]).toEqual(['5: 0x99, 6: 0x99', '7: lost', '']);
    });

    it('an event that finds room again shows by its number that others were lost', () => {
      times(4);
      expect(read(12)).toBe('0: 0x99');
      times(1);
      expect(read()).toBe('1: 0x99, 4: 0x99');
      times(3);
      expect(read(31)).toBe('5: 0x99, 6: 0x99');
      times(1);
      expect(read()).toBe('8: 0x99');
    });

    it('are of devices attached to a page table on the virtual IOMMU', () => {
      const other = stage.mocks.device(stage.ioas).device;
      expect([trigger(99), trigger(other), trigger(stage.parent)]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
      stage.viommus.device(viommu, other, 7n);
      expect(trigger(other)).toBe('ENOENT');
      expect(stage.mocks.replace(stage.device.selftest, stage.parent)).toBe(String(stage.parent));
      expect(trigger()).toBe('ENOENT');
    });

    it('the mock keeps the name that a device was attached with', () => {
      expect(stage.calls.destroy(vdevice)).toBe('0');
      expect(trigger()).toBe('0');
      expect(read()).toBe('0: 0x99');
    });

    it('find a queue, or are refused', () => {
      stage.seam.kernel.close(fd);
      expect(trigger()).toBe('0');
      expect(stage.calls.destroy(id)).toBe('0');
      expect(trigger()).toBe('EOPNOTSUPP');
    });

    it('make the fd readable until they are read', async () => {
      let calls = 0;
      const watch = stage.seam.kernel.watch(fd, () => (calls += 1));
      if (typeof watch === 'number') throw new Error(answer(watch));
      await turn();
      expect(calls).toBe(0);
      times(3);
      watch.ref();
      await expect.poll(() => calls).toBeGreaterThan(1);
      expect(read(24)).toBe('0: 0x99, 1: 0x99');
      const before = calls;
      await expect.poll(() => calls).toBeGreaterThan(before);
      expect(read()).toBe('2: lost');
      const after = calls;
      await turn();
      await turn();
      expect(calls).toBe(after);
      watch.stop();
    });
  });

  it('a name of which the lower half is zero is one', () => {
    const queue = stage.viommus.eventQueue(viommu);
    if (typeof queue === 'string') throw new Error(queue);
    const { device, selftest } = stage.device;
    const table = Number(stage.viommus.nested(device, viommu));
    const zero = Number(stage.viommus.device(viommu, device, 0n));
    stage.mocks.replace(selftest, table);
    expect(trigger()).toBe('ENOENT');
    stage.mocks.replace(selftest, stage.parent);
    stage.calls.destroy(zero);
    stage.viommus.device(viommu, device, 0x1_0000_0000n);
    stage.mocks.replace(selftest, table);
    expect([trigger(), stage.viommus.read(queue.fd, 64)]).toEqual(['0', '0: 0x0']);
    stage.seam.kernel.close(queue.fd);
  });
}
