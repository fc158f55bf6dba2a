/** Devices without an IOMMU in /dev/iommu: their groups in place of a container, and their page tables. The kernel's source is what these hold to. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_VFIO_IOAS, IOMMU_VFIO_IOAS_CLEAR, IOMMU_VFIO_IOAS_SET, iommu_vfio_ioas } from '../../lib/abi/iommufd/object.js';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '../../lib/abi/vfio/container.js';
import { Cdev, createMediatedDevice, findDevice, Iommufd } from '../../lib/index.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { PageTableSeam } from '../support/page-table-seam.js';
import { answer, Seam } from '../support/seam.js';

const address = '0000:00:03.0';
const place = { address, group: 0 };

describe('a group without an IOMMU in /dev/iommu', () => {
  let simulated: Machine;
  let seam: Seam;
  let calls: IoasSeam;
  let group: number;

  beforeEach(() => {
    simulated = new Machine({ iommu: 'none', unsafeNoIommu: true, mediated: ['mtty'], devices: [{ model: new Edu() }] });
    seam = new Seam(simulated.kernel);
    calls = new IoasSeam(simulated.kernel, seam.open('/dev/iommu'));
    group = seam.noIommuGroup(place);
  });
  afterEach(() => {
    calls.close();
    seam.closeAll();
  });

  const ioctl = ({ number }: { number: number }, argument?: number | Uint8Array): string =>
    answer(simulated.kernel.ioctl(calls.fd, number, argument));
  const choose = (op: number, ioas_id = 0): string => {
    const view = iommu_vfio_ioas.create();
    Object.assign(view, { size: iommu_vfio_ioas.size, op, ioas_id });
    return ioctl(IOMMU_VFIO_IOAS, view.bytes);
  };
  const open = (): string => {
    const fd = seam.device(group, address);
    return fd < 0 ? answer(fd) : 'open';
  };

  it('leaves it the one type that says so, and its device opens', () => {
    expect([answer(seam.setContainer(group, calls.fd)), open()]).toEqual(['0', 'open']);
    const extensions = [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL, VFIO_NOIOMMU_IOMMU];
    expect(extensions.map((extension) => ioctl(VFIO_CHECK_EXTENSION, extension))).toEqual(['0', '0', '0', '1']);
    const types = [VFIO_NOIOMMU_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU];
    expect(types.map((type) => ioctl(VFIO_SET_IOMMU, type))).toEqual(['0', 'EINVAL', 'EINVAL']);
    simulated.rawIo = false;
    expect(ioctl(VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU)).toBe('EPERM');
  });

  it('does not join where devices are translated, and its device does not open there', () => {
    const ioas = calls.alloc();
    choose(IOMMU_VFIO_IOAS_SET, ioas);
    expect(answer(seam.setContainer(group, calls.fd))).toBe('EINVAL');
    choose(IOMMU_VFIO_IOAS_CLEAR);
    expect(answer(seam.setContainer(group, calls.fd))).toBe('0');
    choose(IOMMU_VFIO_IOAS_SET, ioas);
    expect(open()).toBe('EPERM');
    choose(IOMMU_VFIO_IOAS_CLEAR);
    expect(open()).toBe('open');
  });

  it('keeps others out that would be translated', () => {
    using device = createMediatedDevice(simulated.kernel, { parent: 'mtty', type: 'mtty-1' });
    const other = seam.open(`/dev/vfio/${device.group}`);
    expect([seam.setContainer(group, calls.fd), seam.setContainer(other, calls.fd)].map(answer)).toEqual(['0', 'EINVAL']);
    seam.closeAll();
  });

  it('has page tables that take neither flags nor data, and do not tell where memory of files lies, or what was taken back', () => {
    seam.close(group);
    using iommufd = Iommufd.open(simulated.kernel);
    const device = Cdev.open(iommufd, findDevice(simulated.kernel, address));
    const space = iommufd.createIoas();
    const tables = new PageTableSeam(simulated.kernel, iommufd.fd);
    const alloc = (fields: Fields, data?: Uint8Array): string => tables.alloc({ dev_id: device.id, pt_id: space.id, ...fields }, data);
    expect([alloc({ flags: 1 }), alloc({ data_type: 1 }, new Uint8Array(8)), alloc({})]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP', '3']);
    const spaces = new IoasSeam(simulated.kernel, iommufd.fd);
    expect(spaces.destroy(3)).toBe('0');
    for (const each of [tables, spaces]) each.close();
    device.attach(space);
    const file = seam.memfd(4096);
    space.mapFile({ fd: file, size: 4096n, iova: 0x10_0000n });
    expect(() => space.physicalAddress({ iova: 0x10_0000n, size: 4096n })).toThrow(/^EOPNOTSUPP/);
    const bar = device.exportBar(0, [{ offset: 0n, size: 4096n }]);
    space.mapFile({ fd: bar.fd, size: 4096n, iova: 0x20_0000n });
    device.config.write16(4, 0);
    expect(() => space.physicalAddress({ iova: 0x20_0000n, size: 4096n })).toThrow(/^EINVAL/);
    bar.close();
  });

  it('tells where memory lies also when the process has unmapped it, as it stays for devices', () => {
    seam.close(group);
    using iommufd = Iommufd.open(simulated.kernel);
    const space = iommufd.createIoas();
    Cdev.open(iommufd, findDevice(simulated.kernel, address)).attach(space);
    const mapping = simulated.kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
    const iova = space.map({ address: simulated.kernel.addressOf(mapping.memory!), size: 4096n });
    const before = space.physicalAddress({ iova, size: 4096n });
    mapping.unmap();
    expect(space.physicalAddress({ iova, size: 4096n })).toEqual(before);
  });
});
