/** Page tables attached by PASID: mock devices, which have PASIDs, and devices opened by their own nodes, which have none here. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_FAULT_ID_VALID } from '../../lib/abi/iommufd/hwpt.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_detach_iommufd_pt,
} from '../../lib/abi/vfio/cdev.js';
import { Cdev, findDevice, Iommufd } from '../../lib/index.js';
import { FaultSeam } from '../support/fault-seam.js';
import { IoasSeam } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { MockSeam, type MockDevice } from '../support/mock/seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';
import { ViommuSeam } from '../support/viommu-seam.js';

/** PASIDs that a mock device has: up to here. */
const last = 2 ** mock.MOCK_PASID_WIDTH - 1;

/** The operations of the mock, of newer kernels. */
export function mockPasids(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let spaces: IoasSeam;
  let tables: PageTableSeam;
  let mocks: MockSeam;
  let space: number;
  let device: MockDevice;
  /** A kernel that finds one attached when its device goes complains. */
  let attached: Set<number>;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    spaces = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
    tables = new PageTableSeam(subject.kernel, spaces.fd);
    mocks = new MockSeam(subject.kernel, spaces.fd);
    space = spaces.alloc();
    attached = new Set();
    if (subject.version === '7.3') device = mocks.device(space, mock.MOCK_FLAGS_DEVICE_PASID);
  });
  afterEach(() => {
    for (const pasid of attached) detach(pasid);
    tables.close();
    spaces.close();
    seam.closeAll();
  });

  const alloc = (flags = IOMMU_HWPT_ALLOC_PASID, pt_id = space): number => Number(tables.alloc({ dev_id: device.device, pt_id, flags }));
  const attach = (pasid: number, pt_id: number, selftest = device.selftest): string => {
    const result = mocks.run(mock.IOMMU_TEST_OP_PASID_ATTACH, selftest, 'pasid_attach', { pasid, pt_id });
    if (result !== '0') return result;
    attached.add(pasid);
    return String(mocks.command.pasid_attach.pt_id);
  };
  const replace = (pasid: number, pt_id: number): string => {
    const result = mocks.run(mock.IOMMU_TEST_OP_PASID_REPLACE, device.selftest, 'pasid_replace', { pasid, pt_id });
    return result === '0' ? String(mocks.command.pasid_replace.pt_id) : result;
  };
  const detach = (pasid: number): string => mocks.run(mock.IOMMU_TEST_OP_PASID_DETACH, device.selftest, 'pasid_detach', { pasid });
  /** Whether it is the page table that is attached; 0: whether none is. */
  const check = (pasid: number, hwpt_id: number): string =>
    mocks.run(mock.IOMMU_TEST_OP_PASID_CHECK_HWPT, device.selftest, 'pasid_check', { pasid, hwpt_id });

  if (variant.make().version !== '7.3') {
    it('older kernels do not know the operations', () => {
      for (const op of [18, 19, 20, 21]) expect(mocks.run(op, 1, 'pasid_attach', {})).toBe('EOPNOTSUPP');
      expect(() => mocks.device(space, mock.MOCK_FLAGS_DEVICE_PASID)).toThrow('EINVAL');
    });
    return;
  }

  it('a device has as many as its hardware says', () => {
    expect(tables.hardware({ dev_id: device.device })).toMatch(/pasids 20: $/);
    expect(tables.hardware({ dev_id: mocks.device(space).device })).toMatch(/pasids 0: $/);
  });

  describe('each PASID', () => {
    it('has a page table of its own, made for PASIDs, beside that of the device', () => {
      const [own, first, second] = [alloc(), alloc(), alloc()];
      mocks.replace(device.selftest, own);
      expect([attach(1, first), attach(2, second), attach(last, first)]).toEqual([first, second, first].map(String));
      expect([check(1, first), check(2, second), check(last, first), check(0, own), check(3, 0)]).toEqual(Array<string>(5).fill('0'));
      expect([check(1, second), check(1, 0), check(3, first), check(1, space)]).toEqual(Array<string>(4).fill('EINVAL'));
      expect(check(1, 99)).toBe('ENOENT');
    });

    it('keeps its page table from being destroyed, and the page table its address space', () => {
      const table = alloc();
      mocks.replace(device.selftest, alloc());
      attach(1, table);
      expect(spaces.destroy(table)).toBe('EBUSY');
      expect([detach(1), detach(1), check(1, 0), spaces.destroy(table)]).toEqual(['0', '0', '0', '0']);
    });

    it('is attached once, and replaced only then', () => {
      const [first, second] = [alloc(), alloc()];
      mocks.replace(device.selftest, alloc());
      expect(replace(1, first)).toBe('EINVAL');
      attach(1, first);
      expect([attach(1, first), attach(1, second)]).toEqual(['EBUSY', 'EBUSY']);
      expect([replace(1, first), replace(1, second), check(1, second)]).toEqual([String(first), String(second), '0']);
      expect([spaces.destroy(first), spaces.destroy(second)]).toEqual(['0', 'EBUSY']);
    });

    it('takes page tables that were made for PASIDs, and the kernel makes none by itself', () => {
      const plain = alloc(0);
      mocks.replace(device.selftest, alloc());
      attach(2, alloc());
      const free = spaces.alloc();
      spaces.destroy(free);
      expect([attach(1, plain), attach(1, space), attach(1, device.device), attach(1, 99)]).toEqual([
        'EINVAL',
        'EINVAL',
        'EINVAL',
        'ENOENT',
      ]);
      expect([replace(2, plain), replace(2, space), replace(2, 99)]).toEqual(['EINVAL', 'EINVAL', 'ENOENT']);
      // Nothing is left of what could not be attached.
      expect(spaces.alloc()).toBe(free);
    });

    it('takes no page table of a guest that was not made for it', () => {
      const parent = Number(tables.alloc({ dev_id: device.device, pt_id: space, flags: IOMMU_HWPT_ALLOC_NEST_PARENT }));
      const nested = (flags: number, pt_id = parent): number => {
        const data = new Uint8Array(Uint32Array.of(mock.IOMMU_TEST_IOTLB_DEFAULT).buffer);
        return Number(tables.alloc({ dev_id: device.device, pt_id, flags, data_type: mock.IOMMU_HWPT_DATA_SELFTEST }, data));
      };
      const viommus = new ViommuSeam(subject.kernel, spaces.fd);
      const viommu = Number(viommus.alloc(device.device, parent));
      viommus.device(viommu, device.device, 0x99n);
      viommus.close();
      mocks.replace(device.selftest, alloc());
      const [plain, made] = [nested(0), nested(IOMMU_HWPT_ALLOC_PASID)];
      const [virtual, virtualMade] = [nested(0, viommu), nested(IOMMU_HWPT_ALLOC_PASID, viommu)];
      expect([attach(1, plain), attach(1, virtual)]).toEqual(['EINVAL', 'EINVAL']);
      expect([attach(1, made), attach(2, virtualMade)]).toEqual([String(made), String(virtualMade)]);
    });

    it('goes with a page table of the device that was made for it too', () => {
      const table = alloc();
      // The kernel's own is attached.
      expect(attach(1, table)).toBe('EINVAL');
      const plain = alloc(0);
      mocks.replace(device.selftest, plain);
      expect(attach(1, table)).toBe('EINVAL');
      mocks.replace(device.selftest, table);
      expect(attach(1, table)).toBe(String(table));
      expect([mocks.replace(device.selftest, plain), mocks.replace(device.selftest, space)]).toEqual(['EINVAL', 'EINVAL']);
      expect(check(0, table)).toBe('0');
      detach(1);
      expect(mocks.replace(device.selftest, plain)).toBe(String(plain));
    });

    it('is one of those that the device has', () => {
      const table = alloc();
      mocks.replace(device.selftest, table);
      expect([attach(last + 1, table), attach(0xffff_ffff, table), check(last + 1, 0)]).toEqual(['EINVAL', 'EINVAL', '0']);
    });

    it('is refused to a device that has none but 0', () => {
      const table = alloc();
      expect(attach(1, table, mocks.device(table).selftest)).toBe('EINVAL');
    });

    it('0 is the device itself', () => {
      const [first, second] = [alloc(), alloc()];
      mocks.replace(device.selftest, first);
      expect([attach(0, first), replace(0, second), check(0, second)]).toEqual(['EBUSY', String(second), '0']);
      expect([detach(0), check(0, 0), attach(0, first), check(0, first)]).toEqual(['0', '0', String(first), '0']);
      attached.clear();
    });

    it('that the hardware refuses stays as it was', () => {
      const [first, second] = [alloc(), alloc()];
      mocks.replace(device.selftest, first);
      const reserved = mock.IOMMU_TEST_PASID_RESERVED;
      expect(attach(reserved, first)).toBe(String(first));
      expect([replace(reserved, second), check(reserved, first)]).toEqual(['ENOMEM', '0']);
      expect(spaces.destroy(second)).toBe('0');
      detach(reserved);
      expect([attach(reserved, first), replace(reserved, alloc())]).toEqual([String(first), 'ENOMEM']);
    });

    it('is nothing of another object', () => {
      const table = alloc();
      expect([attach(1, table, 99), attach(1, table, device.device), attach(1, table, space)]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
    });

    it('takes no IOVAs away from its address space: only the device itself does', () => {
      const other = spaces.alloc();
      const [own, table] = [alloc(), alloc(IOMMU_HWPT_ALLOC_PASID, other)];
      mocks.replace(device.selftest, own);
      const before = spaces.ranges(other);
      attach(1, table);
      expect(spaces.ranges(other)).toBe(before);
    });
  });
}

/** Devices by their own nodes. QEMU's have no PASIDs, and its AMD unit no page tables for them. */
export function pasids(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let device: Cdev;
  let spaces: IoasSeam;
  let tables: PageTableSeam;
  let space: number;
  const opened: FaultSeam[] = [];

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
    spaces = new IoasSeam(subject.kernel, iommufd.fd);
    tables = new PageTableSeam(subject.kernel, iommufd.fd);
    space = spaces.alloc();
  });
  afterEach(() => {
    for (const queue of opened.splice(0)) queue.close();
    tables.close();
    spaces.close();
    iommufd.close();
  });

  const newer = (): boolean => subject.version === '7.3';
  const makesTables = (): boolean => newer() && subject.iommu === 'intel';
  const alloc = (flags: number, pt_id = space, fault_id = 0): string => tables.alloc({ dev_id: device.id, pt_id, flags, fault_id });
  const point = (id: number): { fd: number; id: number } => ({ fd: iommufd.fd, id });
  /** ATTACH by its number; without `pasid` the flag is not set. */
  const attach = (id: number, pasid?: number): string => {
    const request = vfio_device_attach_iommufd_pt.create();
    const flags = pasid === undefined ? 0 : VFIO_DEVICE_ATTACH_PASID;
    Object.assign(request, { argsz: 16, flags, pt_id: id, pasid: pasid ?? 0 });
    const result = subject.kernel.ioctl(device.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, request.bytes);
    return result === 0 ? String(request.pt_id) : answer(result);
  };
  const detach = (pasid?: number): string => {
    const request = vfio_device_detach_iommufd_pt.create();
    Object.assign(request, { argsz: 12, flags: pasid === undefined ? 0 : VFIO_DEVICE_DETACH_PASID, pasid: pasid ?? 0 });
    return answer(subject.kernel.ioctl(device.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, request.bytes));
  };
  const code = (use: () => unknown): string | undefined => {
    try {
      use();
      return undefined;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it('an older kernel says that it does not take them', () => {
    if (newer()) return expect(code(() => device.detach({ pasid: 1 }))).toBe(undefined);
    expect(() => device.attach(point(space), { pasid: 1 })).toThrow(/^EINVAL: .*PASIDs need Linux 6\.15\.$/);
    expect(() => device.detach({ pasid: 1 })).toThrow(/^EINVAL: .*PASIDs need Linux 6\.15\.$/);
  });

  it('a PASID is a number of 20 bits, and not 0', () => {
    for (const pasid of [0, -1, 1.5, 0x10_0000, NaN, '1' as unknown as number]) {
      expect(() => device.attach(point(space), { pasid })).toThrow(RangeError);
      expect(() => device.detach({ pasid })).toThrow(/^Expected an integer from 1 to 1048575 for pasid/);
    }
  });

  it('a PASID takes a page table that was made for PASIDs', () => {
    const expected = newer() ? /^EINVAL: .*made for PASIDs/ : /^EINVAL/;
    expect(() => device.attach(point(space), { pasid: 1 })).toThrow(expected);
    expect(() => device.attach(point(Number(alloc(0))), { pasid: 1 })).toThrow(expected);
    expect(code(() => device.attach(point(99), { pasid: 1 }))).toBe(newer() ? 'ENOENT' : 'EINVAL');
    expect(alloc(IOMMU_HWPT_ALLOC_PASID)).toMatch(makesTables() ? /^\d+$/ : /^EOPNOTSUPP$/);
  });

  if (variant.make().version === '7.3' && variant.make().iommu === 'intel') {
    describe('a device without PASIDs', () => {
      it('a device without PASIDs is attached with any that the kernel can count, and moved', () => {
        const [first, second] = [Number(alloc(IOMMU_HWPT_ALLOC_PASID)), Number(alloc(IOMMU_HWPT_ALLOC_PASID, spaces.alloc()))];
        expect(device.attach(point(first), { pasid: 1 })).toBe(first);
        expect([device.attach(point(first), { pasid: 1 }), device.attach(point(second), { pasid: 1 })]).toEqual([first, second]);
        expect([attach(first, 0xf_ffff), attach(first, 0x10_0000), attach(first, 0x7fff_ffff)]).toEqual(
          Array<string>(3).fill(String(first)),
        );
        expect([attach(first, 0x8000_0000), attach(first, 0xffff_ffff)]).toEqual(['ENOSPC', 'ENOSPC']);
        expect([spaces.destroy(first), spaces.destroy(second)]).toEqual(['EBUSY', 'EBUSY']);
        device.detach({ pasid: 1 });
        expect([detach(1), detach(77), detach(0xffff_ffff), spaces.destroy(second)]).toEqual(['0', '0', '0', '0']);
        expect([detach(0xf_ffff), detach(0x10_0000), spaces.destroy(first)]).toEqual(['0', '0', 'EBUSY']);
        // The rest goes with the device.
        device.close();
        expect(spaces.destroy(first)).toBe('0');
      });
      it('page tables with and without a PASID go together if both were made for it', () => {
        const [plain, table, other] = [alloc(0), alloc(IOMMU_HWPT_ALLOC_PASID), alloc(IOMMU_HWPT_ALLOC_PASID)].map(Number) as [
          number,
          number,
          number,
        ];
        device.attach(point(plain));
        expect(() => device.attach(point(table), { pasid: 1 })).toThrow(/^EINVAL: .*made for PASIDs/);
        expect([attach(table), attach(table, 1)]).toEqual([String(table), String(table)]);
        expect([attach(plain), attach(space)]).toEqual(['EINVAL', 'EINVAL']);
        expect([attach(plain, 1), attach(space, 1), attach(other), attach(other, 1)]).toEqual([
          'EINVAL',
          'EINVAL',
          String(other),
          String(other),
        ]);
        expect([detach(1), attach(space)]).toEqual(['0', String(other + 1)]);
      });
      it('what could not be replaced in its own address space leaves it open where the device can have nothing', () => {
        const [plain, table] = [Number(alloc(0)), Number(alloc(IOMMU_HWPT_ALLOC_PASID))];
        attach(table);
        attach(table, 1);
        const whole = spaces.ranges(space);
        expect(attach(plain)).toBe('EINVAL');
        expect(spaces.ranges(space)).not.toBe(whole);
      });
      it('PASID 0 is the device itself, but another to VFIO', () => {
        const [first, second] = [Number(alloc(IOMMU_HWPT_ALLOC_PASID)), Number(alloc(IOMMU_HWPT_ALLOC_PASID))];
        attach(first);
        expect([attach(first, 0), detach(0), attach(first, 0)]).toEqual(['EBUSY', '0', 'EBUSY']);
        expect([detach(), attach(first, 0), attach(second, 0), attach(first)]).toEqual(['0', String(first), String(second), 'EBUSY']);
        expect([detach(), spaces.destroy(second), detach(0), spaces.destroy(second)]).toEqual(['0', 'EBUSY', '0', '0']);
      });
    });
  }

  it('a device that cannot ask for pages has no page table with a queue for that, unless its driver looks away', () => {
    if (!newer()) return expect(alloc(IOMMU_HWPT_FAULT_ID_VALID, space, 99)).toBe('EOPNOTSUPP');
    const queue = new FaultSeam(subject.kernel, iommufd.fd);
    opened.push(queue);
    const table = Number(alloc(IOMMU_HWPT_FAULT_ID_VALID, space, queue.id));
    const expected = subject.iommu === 'intel' ? 'ENODEV' : undefined;
    expect(code(() => device.attach(point(table)))).toBe(expected);
    device.detach();
    device.attach(point(Number(alloc(0))));
    expect(code(() => device.attach(point(table)))).toBe(expected);
  });
}
