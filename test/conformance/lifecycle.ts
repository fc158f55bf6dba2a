/** The life of container, group and device, as the VFIO core defines it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../../lib/abi/vfio/container.js';
import {
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  vfio_group_status,
} from '../../lib/abi/vfio/group.js';
import { VFIO_DEVICE_GET_INFO } from '../../lib/abi/vfio/device.js';
import { VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info } from '../../lib/abi/vfio/type1.js';
import { bindDriver } from '../../lib/pci/index.js';
import { expectGolden } from '../support/golden.js';
import { answer, Seam } from '../support/seam.js';
import { byContainer, hasNodes, type Subject, type Variant } from '../support/subject.js';

export function lifecycle(variant: Variant): void {
  const expected = byContainer(variant);
  let subject: Subject;
  let seam: Seam;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
  });
  afterEach(() => seam.closeAll());

  const ioctl = (fd: number, request: { number: number }, argument?: number | Uint8Array): string =>
    answer(subject.kernel.ioctl(fd, request.number, argument));
  const status = (group: number): number => {
    const view = vfio_group_status.create();
    view.argsz = vfio_group_status.size;
    expect(ioctl(group, VFIO_GROUP_GET_STATUS, view.bytes)).toBe('0');
    return view.flags;
  };

  describe('container', () => {
    it('GET_API_VERSION is 0, whatever its argument', () => {
      expect(ioctl(seam.container(), VFIO_GET_API_VERSION)).toBe('0');
      expect(ioctl(seam.container(), VFIO_GET_API_VERSION, VFIO_TYPE1v2_IOMMU)).toBe('0');
    });

    it('SET_IOMMU before any group is EINVAL, of iommufd ENODEV', () => {
      expect(ioctl(seam.container(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(expected('EINVAL', 'ENODEV'));
    });

    it('SET_IOMMU a second time is EINVAL, of iommufd nothing', () => {
      const { container } = seam.ready(subject.edu);
      expect(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(expected('EINVAL', '0'));
    });

    it('SET_IOMMU of what no driver knows leaves the container without a type', () => {
      const container = seam.container();
      seam.setContainer(seam.group(subject.edu), container);
      expect([0, 2, 5, 7, 42].map((type) => ioctl(container, VFIO_SET_IOMMU, type))).toEqual(Array(5).fill(expected('ENODEV', 'EINVAL')));
      expect(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('0');
    });

    it('SET_IOMMU of an extension that is no type is EINVAL', () => {
      const container = seam.container();
      seam.setContainer(seam.group(subject.edu), container);
      expect(ioctl(container, VFIO_SET_IOMMU, 9)).toBe('EINVAL');
    });

    it('CHECK_EXTENSION answers 0 to 20 as recorded, before and after SET_IOMMU', () => {
      const bare = seam.container();
      const { container } = seam.ready(subject.edu);
      const lines = Array.from(
        { length: 21 },
        (_, extension) =>
          `${extension}: bare ${ioctl(bare, VFIO_CHECK_EXTENSION, extension)}, type1v2 ${ioctl(container, VFIO_CHECK_EXTENSION, extension)}`,
      );
      expectGolden(variant, subject, `check-extension-${subject.iommu}${expected('', '-iommufd')}`, lines);
    });

    it('two containers are two address spaces, each with its own groups', () => {
      const { container } = seam.ready(subject.edu);
      const other = seam.container();
      expect(ioctl(other, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(expected('EINVAL', 'ENODEV'));
      expect(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU)).toBe('1');
    });

    it('cannot be read, written or mapped', () => {
      const container = seam.container();
      const bytes = new Uint8Array(8);
      const { kernel } = subject;
      expect([kernel.read(container, bytes), kernel.write(container, bytes), kernel.pread(container, bytes, 0)].map(answer)).toEqual(
        Array(3).fill('EINVAL'),
      );
      const unmappable = expected('ENODEV', subject.version === '7.3' ? 'ENXIO' : 'ENODEV');
      expect(answer(kernel.mmap(container, 4096, 1, 1, 0) as number)).toBe(unmappable);
    });
  });

  describe('group', () => {
    it('opens once', () => {
      expect(seam.group(subject.edu)).toBeGreaterThanOrEqual(0);
      expect(answer(seam.group(subject.edu))).toBe('EBUSY');
    });

    it('that does not exist is ENOENT', () => {
      expect(answer(seam.open('/dev/vfio/4000'))).toBe('ENOENT');
    });

    it('is viable, and then in its container', () => {
      const group = seam.group(subject.edu);
      expect(status(group)).toBe(1);
      seam.setContainer(group, seam.container());
      expect(status(group)).toBe(3);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('0');
      expect(status(group)).toBe(1);
    });

    it('with a device of a host driver is not viable: no container takes it, and iommufd gives no device of it', () => {
      const group = seam.group(subject.shared);
      expect(status(group)).toBe(0);
      const container = seam.container();
      expect(answer(seam.setContainer(group, container))).toBe(expected('EPERM', '0'));
      expect(status(group)).toBe(expected(0, 3));
      expect(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(expected('EINVAL', '0'));
      expect(answer(seam.device(group, subject.shared.address))).toBe(expected('EINVAL', 'EPERM'));
    });

    it('SET_CONTAINER twice is EINVAL', () => {
      const group = seam.group(subject.edu);
      const container = seam.container();
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(answer(seam.setContainer(group, container))).toBe('EINVAL');
      expect(answer(seam.setContainer(group, seam.container()))).toBe('EINVAL');
    });

    it('SET_CONTAINER looks at pointer, fd, state and kind of file, in this order', () => {
      const group = seam.group(subject.edu);
      expect(ioctl(group, VFIO_GROUP_SET_CONTAINER)).toBe('EFAULT');
      expect(answer(seam.setContainer(group, -1))).toBe('EBADF');
      expect(answer(seam.setContainer(group, 0x3fff_fff0))).toBe('EBADF');
      const other = hasNodes(variant) ? 'EBADFD' : 'EINVAL';
      expect(answer(seam.setContainer(group, group))).toBe(other);
      expect(answer(seam.setContainer(group, seam.eventfd()))).toBe(other);
      seam.setContainer(group, seam.container());
      expect(answer(seam.setContainer(group, group))).toBe('EINVAL');
    });

    it('UNSET_CONTAINER without a container is EINVAL', () => {
      expect(ioctl(seam.group(subject.edu), VFIO_GROUP_UNSET_CONTAINER)).toBe('EINVAL');
    });

    it('vfio-pci takes no device that has a driver, and none that is not there', () => {
      const write = (file: string, text: string): string =>
        answer(subject.kernel.files.writeFile(`/sys/bus/pci/${file}`, new TextEncoder().encode(text)));
      const nowhere = '0000:99:1f.7';
      expect([write('drivers/vfio-pci/bind', subject.edu.address), write('drivers/vfio-pci/bind', nowhere)]).toEqual(['EBUSY', 'ENODEV']);
      expect([write('drivers_probe', subject.edu.address), write('drivers_probe', nowhere)]).toEqual(['12', 'ENODEV']);
    });

    it('the group of a device that was unbound is gone for who has it open, and a new one opens', () => {
      const { kernel, edu } = subject;
      const container = seam.container();
      const group = seam.group(edu);
      seam.setContainer(group, container);
      kernel.files.writeFile('/sys/bus/pci/drivers/vfio-pci/unbind', new TextEncoder().encode(edu.address));
      const view = vfio_group_status.create();
      view.argsz = vfio_group_status.size;
      expect(ioctl(group, VFIO_GROUP_GET_STATUS, view.bytes)).toBe('ENODEV');
      expect(answer(seam.setContainer(group, container))).toBe(expected('ENODEV', 'EINVAL'));
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe(expected('EINVAL', '0'));
      expect(answer(seam.setContainer(group, container))).toBe('ENODEV');
      bindDriver(kernel, edu.address);
      expect(status(seam.group(edu))).toBe(1);
      expect(ioctl(group, VFIO_GROUP_GET_STATUS, view.bytes)).toBe('ENODEV');
    });

    it('UNSET_CONTAINER while a device is open is EBUSY, of iommufd it is not', () => {
      const { group, device } = seam.ready(subject.edu);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe(expected('EBUSY', '0'));
      seam.close(device);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe(expected('0', 'EINVAL'));
    });

    it('GET_DEVICE_FD needs a container, and VFIO’s own an IOMMU type', () => {
      const group = seam.group(subject.edu);
      expect(answer(seam.device(group, subject.edu.address))).toBe('EINVAL');
      const container = seam.container();
      seam.setContainer(group, container);
      const early = seam.device(group, subject.edu.address);
      expect(early < 0 ? answer(early) : 'open').toBe(expected('EINVAL', 'open'));
      seam.setIommu(container);
      expect(seam.device(group, subject.edu.address)).toBeGreaterThanOrEqual(0);
    });

    it('GET_DEVICE_FD of a name that is not in the group is ENODEV, of no pointer EFAULT', () => {
      const { group } = seam.ready(subject.edu);
      expect([subject.shared.address, '', 'nonsense', '0000:00:03'].map((name) => answer(seam.device(group, name)))).toEqual(
        Array(4).fill('ENODEV'),
      );
      expect(ioctl(group, VFIO_GROUP_GET_DEVICE_FD)).toBe('EFAULT');
    });

    it('gives a device as often as it is asked', () => {
      const { group, device } = seam.ready(subject.edu);
      const second = seam.device(group, subject.edu.address);
      expect(second).toBeGreaterThanOrEqual(0);
      seam.close(device);
      expect(subject.kernel.pread(second, new Uint8Array(2), 7 * 2 ** 40)).toBe(2);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe(expected('EBUSY', '0'));
      seam.close(second);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe(expected('0', 'EINVAL'));
    });
  });

  describe('unknown requests', () => {
    // Numbers of the VFIO range that mean nothing on these files, and one from elsewhere.
    const unknown = [0x3b7a, 0x3bff, 0x5401];

    it('are EINVAL on a container before SET_IOMMU and ENOTTY after, on iommufd always', () => {
      const bare = seam.container();
      const { container } = seam.ready(subject.edu);
      for (const number of unknown) {
        expect(ioctl(bare, { number })).toBe(expected('EINVAL', 'ENOTTY'));
        expect(ioctl(container, { number })).toBe('ENOTTY');
      }
    });

    it('are ENOTTY on a group and on a device', () => {
      const { group, device } = seam.ready(subject.edu);
      for (const number of unknown) {
        expect(ioctl(group, { number })).toBe('ENOTTY');
        expect(ioctl(device, { number })).toBe('ENOTTY');
      }
    });

    it('a request of one kind of file is unknown to the others', () => {
      const { container, group, device } = seam.ready(subject.edu);
      expect(ioctl(container, VFIO_GROUP_GET_STATUS)).toBe('ENOTTY');
      expect(ioctl(group, VFIO_GET_API_VERSION)).toBe('ENOTTY');
      expect(ioctl(group, VFIO_DEVICE_GET_INFO)).toBe('ENOTTY');
      expect(ioctl(device, VFIO_GROUP_GET_STATUS)).toBe('ENOTTY');
      expect(ioctl(device, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe('ENOTTY');
    });

    it('any request on a closed fd is EBADF', () => {
      const container = seam.container();
      seam.close(container);
      expect(ioctl(container, VFIO_GET_API_VERSION)).toBe('EBADF');
      expect(answer(subject.kernel.close(container))).toBe('EBADF');
    });
  });

  describe('closing', () => {
    const orders = [
      ['container', 'group', 'device'],
      ['container', 'device', 'group'],
      ['group', 'container', 'device'],
      ['group', 'device', 'container'],
      ['device', 'container', 'group'],
      ['device', 'group', 'container'],
    ] as const;

    it.each(orders)('%s, %s, %s: what stays open works, and then everything can be had again', (...order) => {
      const files = seam.ready(subject.edu);
      const alive = new Set<string>(order);
      for (const name of order) {
        expect(answer(seam.close(files[name]))).toBe('0');
        alive.delete(name);
        // An open device holds its group, and a group its container. Of iommufd, a device holds the container alone.
        if (alive.has('device')) {
          expect(answer(subject.kernel.pread(files.device, new Uint8Array(2), 7 * 2 ** 40))).toBe('2');
          const again = seam.group(subject.edu);
          expect(again < 0).toBe(expected(true, alive.has('group')));
          if (again >= 0) seam.close(again);
        }
        if (alive.has('group')) expect(status(files.group) & 1).toBe(1);
      }
      expect(seam.ready(subject.edu).device).toBeGreaterThanOrEqual(0);
    });

    it('the last group that leaves returns the container to its first state, but what iommufd has stays', () => {
      const { container, group, device } = seam.ready(subject.edu);
      const info = vfio_iommu_type1_info.create();
      info.argsz = vfio_iommu_type1_info.size;
      expect(ioctl(container, VFIO_IOMMU_GET_INFO, info.bytes)).toBe('0');
      seam.close(device);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('0');
      info.argsz = vfio_iommu_type1_info.size;
      expect(ioctl(container, VFIO_IOMMU_GET_INFO, info.bytes)).toBe(expected('EINVAL', '0'));
      expect(answer(seam.setIommu(container))).toBe(expected('EINVAL', '0'));
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(answer(seam.setIommu(container, VFIO_TYPE1_IOMMU))).toBe('0');
    });
  });
}
