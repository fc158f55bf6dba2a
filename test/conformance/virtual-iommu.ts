/** Virtual IOMMUs at the seam, and the devices and page tables on them: those of the kernel's mock. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from '../../lib/abi/iommufd/hwpt.js';
import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
  IOMMU_VIOMMU_TYPE_DEFAULT,
  iommu_viommu_alloc,
} from '../../lib/abi/iommufd/viommu.js';
import type { Request } from '../../lib/abi/ioctl.js';
import type { Fields } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { answer } from '../support/seam.js';
import type { Variant } from '../support/subject.js';
import { ViommuStage } from '../support/viommu-stage.js';
import { virtualIommuEvents } from './virtual-iommu-events.js';
import { virtualIommuQueues } from './virtual-iommu-queues.js';

export function virtualIommu(variant: Variant): void {
  let stage: ViommuStage;

  beforeEach(() => {
    stage = new ViommuStage(variant);
  });
  afterEach(() => stage.close());

  if (variant.version === '6.12') {
    it.each([
      IOMMU_VIOMMU_ALLOC,
      IOMMU_VDEVICE_ALLOC,
      IOMMU_VEVENTQ_ALLOC,
      IOMMU_HW_QUEUE_ALLOC,
    ])('$name is newer than this kernel', (request) => {
      expect(stage.calls.ask(request, {}, { length: request.minimum, room: 64, tail: 0 })).toBe('ENOTTY');
    });
    return;
  }

  describe('events', () => virtualIommuEvents(variant));
  describe('hardware queues', () => virtualIommuQueues(variant));

  const destroy = (id: number): string => stage.calls.destroy(id);
  const attach = (table: number): string => stage.mocks.replace(stage.device.selftest, table);
  const vdevice = (viommu: number, virtualId: bigint, device = stage.device.device): string =>
    stage.viommus.device(viommu, device, virtualId);

  describe('the length word', () => {
    const least: readonly (readonly [Request, string])[] = [
      [IOMMU_VIOMMU_ALLOC, 'EOPNOTSUPP'],
      [IOMMU_VDEVICE_ALLOC, 'ENOENT'],
      [IOMMU_VEVENTQ_ALLOC, 'EOPNOTSUPP'],
      [IOMMU_HW_QUEUE_ALLOC, 'EOPNOTSUPP'],
    ];

    it.each(least)('$name takes its minimum, and no byte less', (request, refusal) => {
      const ask = (length: number, tail = 0): string => stage.calls.ask(request, {}, { length, room: 64, tail });
      expect([ask(request.minimum - 1), ask(request.minimum), ask(64), ask(64, 1)]).toEqual(['EINVAL', refusal, refusal, 'E2BIG']);
    });
  });

  describe('VIOMMU_ALLOC', () => {
    const alloc = (fields: Fields = {}): string => stage.viommus.alloc(stage.device.device, stage.parent, fields);

    it('makes one on a page table that others nest on', () => {
      const id = alloc();
      expect(Number(id)).toBeGreaterThan(stage.parent);
      expect(Number(alloc())).toBe(Number(id) + 1);
      expect(destroy(stage.parent)).toBe('EBUSY');
      expect([destroy(Number(id)), destroy(Number(id) + 1), destroy(stage.parent)]).toEqual(['0', '0', '0']);
    });

    it('takes no flags, and a type that the IOMMU has', () => {
      expect(alloc({ flags: 1 })).toBe('EOPNOTSUPP');
      expect(alloc({ type: IOMMU_VIOMMU_TYPE_DEFAULT })).toBe('EOPNOTSUPP');
      expect(alloc({ type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3 })).toBe('EOPNOTSUPP');
      expect(alloc({ type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3, hwpt_id: 99 })).toBe('EOPNOTSUPP');
      expect(alloc({ __reserved: 1 })).toBe(String(stage.parent + 1));
    });

    it('takes a device, and a page table of the caller that others can nest on', () => {
      const { device, ioas, viommus } = stage;
      const plain = Number(viommus.table(device.device, ioas, { flags: 0 }));
      expect(alloc({ dev_id: 99 })).toBe('ENOENT');
      expect(alloc({ dev_id: stage.parent })).toBe('ENOENT');
      expect([alloc({ hwpt_id: 99 }), alloc({ hwpt_id: ioas })]).toEqual(['ENOENT', 'ENOENT']);
      expect([alloc({ hwpt_id: plain }), alloc({ hwpt_id: device.hwpt })]).toEqual(['EINVAL', 'EINVAL']);
    });

    it('hands data on to the driver, which reads and answers it', () => {
      const { parent, viommus } = stage;
      const data = (data_len: number, data_uptr = viommus.address): string => alloc({ data_len, data_uptr });
      expect([data(7), data(25), data(24, 0n), data(8, 0n)]).toEqual(['EINVAL', 'EINVAL', 'EFAULT', 'EFAULT']);
      const id = parent + 1;
      expect(viommus.allocWithData(stage.device.device, parent, 0x1234)).toEqual({
        id: String(id),
        echo: 0x1234,
        offset: 4096,
        length: 8192,
      });
      expect(viommus.allocWithData(stage.device.device, parent, 1).offset).toBe(3 * 4096);
      expect(destroy(id)).toBe('0');
      expect(viommus.allocWithData(stage.device.device, parent, 1).offset).toBe(4096);
    });

    it('an older caller gives a shorter struct, without data', () => {
      const request = iommu_viommu_alloc.create();
      const { device, parent, viommus } = stage;
      Object.assign(request, { size: 24, dev_id: device.device, hwpt_id: parent, type: mock.IOMMU_VIOMMU_TYPE_SELFTEST });
      expect(answer(viommus.kernel.ioctl(viommus.fd, IOMMU_VIOMMU_ALLOC.number, request.bytes))).toBe('0');
      expect(request.out_viommu_id).toBe(parent + 1);
    });
  });

  describe('mmap of /dev/iommu', () => {
    it('maps what the driver shows: all of it, shared, and not to be executed', () => {
      const { viommus } = stage;
      const { id, offset, length } = viommus.allocWithData(stage.device.device, stage.parent, 0x0102_0304);
      const map = (size: number, at: number, protection = 3, flags = 1): string =>
        answer(viommus.kernel.mmap(viommus.fd, size, protection, flags, at) as number);
      expect([map(length, offset, 3, 2), map(length, offset, 5)]).toEqual(['EINVAL', 'EPERM']);
      expect([map(4096, offset), map(4096, offset + 4096), map(length, 0), map(length, offset + length)]).toEqual([
        'ENXIO',
        'ENXIO',
        'ENXIO',
        'ENXIO',
      ]);
      expect(destroy(Number(id))).toBe('0');
      expect(map(length, offset)).toBe('ENXIO');
    });

    it('a mapping keeps the virtual IOMMU, and outlives the file', () => {
      const { viommus } = stage;
      const { id, offset, length } = viommus.allocWithData(stage.device.device, stage.parent, 0x0102_0304);
      const mapping = viommus.kernel.mmap(viommus.fd, length, 3, 1, offset);
      if (typeof mapping === 'number') throw new Error(answer(mapping));
      expect([mapping.length, mapping.memory, mapping.mmio.read32(0), mapping.mmio.read32(4096)]).toEqual([
        8192,
        undefined,
        0x0102_0304,
        0,
      ]);
      mapping.mmio.write64(8184, 0x1122_3344_5566_7788n);
      const second = viommus.kernel.mmap(viommus.fd, length, 1, 1, offset);
      if (typeof second === 'number') throw new Error(answer(second));
      expect(second.mmio.read16(8190)).toBe(0x1122);
      second.unmap();
      expect(destroy(Number(id))).toBe('EBUSY');
      stage.seam.close(viommus.fd);
      expect(mapping.mmio.read64(8184)).toBe(0x1122_3344_5566_7788n);
      mapping.unmap();
    });
  });

  describe('VDEVICE_ALLOC', () => {
    it('gives a device a name of the guest, of 64 bits', () => {
      const viommu = stage.viommu();
      const names = [0n, 1n, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn];
      for (const name of names) {
        expect(vdevice(viommu, name)).toBe(String(viommu + 1));
        expect(destroy(viommu)).toBe('EBUSY');
        expect(destroy(viommu + 1)).toBe('0');
      }
      expect(destroy(viommu)).toBe('0');
    });

    it('takes a virtual IOMMU and a device', () => {
      const viommu = stage.viommu();
      expect([vdevice(99, 1n), vdevice(stage.parent, 1n), vdevice(viommu, 1n, 99), vdevice(viommu, 1n, stage.device.selftest)]).toEqual([
        'ENOENT',
        'ENOENT',
        'ENOENT',
        'ENOENT',
      ]);
    });

    it('a device is on one virtual IOMMU, and a name is of one device', () => {
      const [viommu, other] = [stage.viommu(), stage.viommu()];
      const second = stage.mocks.device(stage.ioas).device;
      const id = Number(vdevice(viommu, 0x99n));
      expect([vdevice(viommu, 0x99n), vdevice(viommu, 0x88n), vdevice(other, 0x88n)]).toEqual(['EEXIST', 'EEXIST', 'EEXIST']);
      expect(vdevice(viommu, 0x99n, second)).toBe('EEXIST');
      expect(vdevice(other, 0x99n, second)).toBe(String(id + 1));
      expect(destroy(id)).toBe('0');
      expect(vdevice(viommu, 0x88n)).toBe(String(id));
    });

    it('goes with its device, and its id stays taken', () => {
      const viommu = stage.viommu();
      const id = Number(vdevice(viommu, 0x99n));
      expect(destroy(stage.device.device)).toBe('EBUSY');
      expect(destroy(stage.device.selftest)).toBe('0');
      expect(destroy(id)).toBe('ENOENT');
      const ids = Array.from({ length: 4 }, () => stage.calls.alloc());
      expect(ids).not.toContain(id);
      expect(ids).toContain(id + 1);
      expect(destroy(viommu)).toBe('0');
    });
  });

  describe('HWPT_ALLOC on a virtual IOMMU', () => {
    const nested = (viommu: number, fields: Fields = {}): string => stage.viommus.nested(stage.device.device, viommu, fields);

    it('makes a page table of the guest, which keeps the virtual IOMMU', () => {
      const viommu = stage.viommu();
      const table = Number(nested(viommu));
      expect(table).toBe(viommu + 1);
      const iotlb = mock.IOMMU_TEST_IOTLB_DEFAULT;
      expect(stage.mocks.run(mock.IOMMU_TEST_OP_MD_CHECK_IOTLB, table, 'check_iotlb', { id: 3, iotlb })).toBe('0');
      expect([destroy(viommu), destroy(stage.parent)]).toEqual(['EBUSY', 'EBUSY']);
      expect([destroy(table), destroy(viommu), destroy(stage.parent)]).toEqual(['0', '0', '0']);
    });

    it('a device is attached once it is on the virtual IOMMU', () => {
      const viommu = stage.viommu();
      const table = Number(nested(viommu));
      expect(attach(table)).toBe('ENOENT');
      const id = Number(vdevice(viommu, 5n));
      expect(attach(table)).toBe(String(table));
      expect([destroy(table), destroy(viommu)]).toEqual(['EBUSY', 'EBUSY']);
      expect(destroy(id)).toBe('0');
      expect(destroy(table)).toBe('EBUSY');
      expect(attach(stage.parent)).toBe(String(stage.parent));
      expect(attach(table)).toBe('ENOENT');
      expect([destroy(table), destroy(viommu)]).toEqual(['0', '0']);
    });

    it('takes data of its type, and flags for faults and PASIDs', () => {
      const viommu = stage.viommu();
      expect([nested(viommu, { flags: 1 }), nested(viommu, { flags: 2 }), nested(viommu, { flags: 16 })]).toEqual([
        'EOPNOTSUPP',
        'EOPNOTSUPP',
        'EOPNOTSUPP',
      ]);
      expect(nested(viommu, { data_type: 0, data_len: 0 })).toBe('EOPNOTSUPP');
      expect([nested(viommu, { data_type: 0 }), nested(viommu, { data_len: 0 })]).toEqual(['EINVAL', 'EINVAL']);
      expect(nested(viommu, { data_type: 1 })).toBe('EOPNOTSUPP');
      expect([nested(viommu, { data_len: 3 }), nested(viommu, { data_len: 12 })]).toEqual(['EINVAL', 'EINVAL']);
      expect(nested(viommu, { data_uptr: 0n })).toBe('EFAULT');
      expect(nested(viommu, { flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: 99 })).toBe('ENOENT');
      expect(nested(viommu, { __reserved: 1 })).toBe('EOPNOTSUPP');
      expect(nested(viommu, { dev_id: 99 })).toBe('ENOENT');
      expect(nested(viommu, { flags: IOMMU_HWPT_ALLOC_PASID, data_len: 8 })).toBe(String(viommu + 1));
    });
  });

  describe('HWPT_INVALIDATE of a virtual IOMMU', () => {
    const all = mock.IOMMU_TEST_INVALIDATE_FLAG_ALL;
    const untouched = mock.IOMMU_TEST_DEV_CACHE_DEFAULT;
    let viommu: number;

    beforeEach(() => {
      viommu = stage.viommu();
      vdevice(viommu, 0x99n);
    });

    const invalidate = (entries: readonly (readonly number[])[], fields: Fields = {}): string =>
      stage.viommus.invalidate(viommu, entries, fields);
    const check = (id: number, cache: number, device = stage.device.device): string =>
      stage.mocks.run(mock.IOMMU_TEST_OP_DEV_CHECK_CACHE, device, 'check_dev_cache', { id, cache });
    const caches = (...cache: number[]): void =>
      expect(cache.map((value, id) => check(id, value)).join(' ')).toBe(cache.map(() => '0').join(' '));

    it('reaches the caches of the devices on it', () => {
      caches(untouched, untouched, untouched, untouched);
      expect([check(4, untouched), check(0, 0), check(0, untouched, 99)]).toEqual(['EINVAL', 'EINVAL', 'ENOENT']);
      expect(invalidate([[0, 0x99, 1]])).toBe('1');
      caches(untouched, 0, untouched, untouched);
      const second = stage.mocks.device(stage.ioas).device;
      vdevice(viommu, 0n, second);
      const entries = [
        [all, 0x99, 3],
        [0, 0, 2],
      ];
      expect(invalidate(entries)).toBe('2');
      caches(0, 0, 0, 0);
      expect([check(2, 0, second), check(3, untouched, second)]).toEqual(['0', '0']);
    });

    it('stops at the first entry that is refused, and says how many were handled', () => {
      const good = [0, 0x99, 0];
      expect(invalidate([good, [2, 0x99, 1]])).toBe('1 EOPNOTSUPP');
      expect(invalidate([good, good, [0, 0x99, 4], good])).toBe('2 EINVAL');
      expect(invalidate([[0, 0x98, 0], good])).toBe('0 EINVAL');
      expect(invalidate([[all, 0x99, 4]])).toBe('0 EINVAL');
      caches(0, untouched, untouched, untouched);
    });

    it('takes entries that are shorter or longer, as far as what is missing and what is more is zero', () => {
      expect(invalidate([[0, 0x99]], { entry_len: 8 })).toBe('1');
      expect(invalidate([[0]], { entry_len: 4 })).toBe('0 EINVAL');
      expect(invalidate([[0, 0x99, 1, 0]], { entry_len: 16 })).toBe('1');
      expect(
        invalidate(
          [
            [0, 0x99, 2, 0],
            [0, 0x99, 2, 1],
          ],
          { entry_len: 16 },
        ),
      ).toBe('0 E2BIG');
      expect(invalidate([[0, 0x99, 3]], { entry_len: 4096 })).toBe('1');
      caches(0, 0, untouched, 0);
    });

    it('refuses what is no list of entries', () => {
      const entry = [[0, 0x99, 0]];
      expect(invalidate(entry, { data_type: mock.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID })).toBe('0 EINVAL');
      expect(invalidate(entry, { __reserved: 1 })).toBe('0 EOPNOTSUPP');
      expect([invalidate(entry, { data_uptr: 0n }), invalidate(entry, { data_uptr: 8n })]).toEqual(['0 EINVAL', '0 EFAULT']);
      expect([invalidate([], { entry_num: 1, entry_len: 0 }), invalidate([], { entry_num: 1, entry_len: 4097 })]).toEqual([
        '0 EINVAL',
        '0 EINVAL',
      ]);
      expect(invalidate(entry, { entry_num: (1 << 19) + 1 })).toBe('0 EINVAL');
      expect([stage.viommus.invalidate(stage.ioas, entry), stage.viommus.invalidate(99, entry)]).toEqual(['0 EINVAL', '0 ENOENT']);
    });

    it('of nothing asks whether the type is known', () => {
      expect([invalidate([]), invalidate([], { data_uptr: 0n, entry_len: 0 }), invalidate([], { data_type: 1 })]).toEqual([
        '0',
        '0',
        '0 EINVAL',
      ]);
    });
  });
}
