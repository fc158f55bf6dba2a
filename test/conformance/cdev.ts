/** A device by its own node: bound to /dev/iommu, attached to an address space. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IOMMU_IOAS_ALLOC, iommu_ioas_alloc } from '../../lib/abi/iommufd/ioas.js';
import { IOMMU_DESTROY, iommu_destroy } from '../../lib/abi/iommufd/object.js';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../../lib/abi/vfio/cdev.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import { Cdev, findDevice, Iommufd, openDevice, type Ioas } from '../../lib/index.js';
import { eduCopies } from '../support/edu-dma.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const top = 0xffff_ffff_ffff_ffffn;

export function cdev(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let node: string;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    node = findDevice(subject.kernel, subject.edu.address).node ?? 'none';
  });
  afterEach(() => seam.closeAll());

  const bind = (fd: number, iommufd: number, { argsz = 16, flags = 0, tail = 0 } = {}): string => {
    const request = vfio_device_bind_iommufd.create(64);
    Object.assign(request, { argsz, flags, iommufd });
    request.bytes[32] = tail;
    const result = subject.kernel.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD.number, request.bytes);
    return result === 0 ? `id ${request.out_devid}` : answer(result);
  };
  const attach = (fd: number, id: number, { argsz = 12, flags = 0, pasid = 0 } = {}): string => {
    const request = vfio_device_attach_iommufd_pt.create();
    Object.assign(request, { argsz, flags, pt_id: id, pasid });
    const result = subject.kernel.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, request.bytes);
    return result === 0 ? `table ${request.pt_id}` : answer(result);
  };
  const detach = (fd: number, { argsz = 8, flags = 0, pasid = 0 } = {}): string => {
    const request = vfio_device_detach_iommufd_pt.create();
    Object.assign(request, { argsz, flags, pasid });
    return answer(subject.kernel.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, request.bytes));
  };
  const alloc = (fd: number): number => {
    const request = iommu_ioas_alloc.create();
    request.size = iommu_ioas_alloc.size;
    expect(answer(subject.kernel.ioctl(fd, IOMMU_IOAS_ALLOC.number, request.bytes))).toBe('0');
    return request.out_ioas_id;
  };
  const destroy = (fd: number, id: number): string => {
    const request = iommu_destroy.create();
    Object.assign(request, { size: iommu_destroy.size, id });
    return answer(subject.kernel.ioctl(fd, IOMMU_DESTROY.number, request.bytes));
  };

  describe('at the seam', () => {
    it('nothing can be asked of it before it is bound', () => {
      const fd = seam.open(node);
      const info = vfio_device_info.create();
      info.argsz = vfio_device_info.size;
      const { kernel } = subject;
      expect({
        info: answer(kernel.ioctl(fd, VFIO_DEVICE_GET_INFO.number, info.bytes)),
        unknown: answer(kernel.ioctl(fd, 0x3b99, new Uint8Array(8))),
        attach: attach(fd, 1),
        detach: detach(fd),
        read: answer(kernel.pread(fd, new Uint8Array(4), 0)),
        write: answer(kernel.pwrite(fd, new Uint8Array(4), 0)),
        map: kernel.mmap(fd, 4096, 3, 1, 0),
      }).toEqual({ info: 'EINVAL', unknown: 'EINVAL', attach: 'EINVAL', detach: 'EINVAL', read: 'EINVAL', write: 'EINVAL', map: -22 });
    });

    it('BIND checks its arguments before it does anything', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      const newer = subject.version === '7.3';
      expect({
        null: answer(subject.kernel.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD.number, 0)),
        short: bind(fd, iommufd, { argsz: 15 }),
        flag: bind(fd, iommufd, { argsz: 24, flags: 2 }),
        negative: bind(fd, -1),
        closed: bind(fd, 0x3fff_ffff),
        other: bind(fd, fd),
        beyond: bind(fd, iommufd, { argsz: 40, flags: 2, tail: 1 }),
        zeros: bind(fd, iommufd, { argsz: 40, flags: 2 }),
      }).toEqual({
        ...{ null: 'EFAULT', short: 'EINVAL', flag: 'EINVAL', negative: 'EINVAL', closed: 'EBADF', other: 'EBADFD' },
        ...{ beyond: newer ? 'E2BIG' : 'EINVAL', zeros: 'EINVAL' },
      });
      expect(bind(fd, iommufd, { argsz: 40, tail: newer ? 0 : 1 })).toBe('id 1');
    });

    it('a token is for newer kernels, and for devices that have one', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      // Of a null pointer, the token cannot be read.
      expect(bind(fd, iommufd, { argsz: 24, flags: 1 })).toBe(subject.version === '7.3' ? 'EFAULT' : 'EINVAL');
    });

    it('is bound once, and open once', () => {
      const [fd, second, iommufd] = [seam.open(node), seam.open(node), seam.open('/dev/iommu')];
      expect(bind(fd, iommufd)).toBe('id 1');
      expect(bind(fd, iommufd)).toBe('EINVAL');
      expect(bind(second, iommufd)).toBe('EINVAL');
      expect(destroy(iommufd, 1)).toBe('EBUSY');
      seam.close(fd);
      expect(destroy(iommufd, 1)).toBe('ENOENT');
      expect(bind(second, iommufd)).toBe('id 1');
    });

    it('a device is used by its node or through its group', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      const group = seam.group(subject.edu);
      expect(bind(fd, iommufd)).toBe('EBUSY');
      seam.close(group);
      expect(bind(fd, iommufd)).toBe('id 1');
      expect(answer(seam.group(subject.edu))).toBe('EBUSY');
      seam.close(fd);
      expect(seam.group(subject.edu)).toBeGreaterThan(0);
    });

    it('a fd from the group is not to be bound or attached', () => {
      const { device: fd } = seam.ready(subject.edu);
      const iommufd = seam.open('/dev/iommu');
      expect([bind(fd, iommufd), bind(fd, iommufd, { argsz: 15 }), attach(fd, 1), detach(fd)]).toEqual([
        'EINVAL',
        'EINVAL',
        'ENOTTY',
        'ENOTTY',
      ]);
    });

    it('a group with a host driver is nobody else\u2019s', () => {
      const shared = findDevice(subject.kernel, subject.shared.address).node ?? 'none';
      expect(bind(seam.open(shared), seam.open('/dev/iommu'))).toBe('EPERM');
    });

    it('the kernel makes a page table for the address space, and takes it away with the last device', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      expect(bind(fd, iommufd)).toBe('id 1');
      const [space, other] = [alloc(iommufd), alloc(iommufd)];
      expect([space, other]).toEqual([2, 3]);
      expect([attach(fd, space), attach(fd, space)]).toEqual(['table 4', 'table 4']);
      expect([destroy(iommufd, 4), destroy(iommufd, space)]).toEqual(['EBUSY', 'EBUSY']);
      // The new one is there before the old one goes.
      expect(attach(fd, other)).toBe('table 5');
      expect([destroy(iommufd, 4), destroy(iommufd, space), destroy(iommufd, other)]).toEqual(['ENOENT', '0', 'EBUSY']);
      expect(detach(fd)).toBe('0');
      expect([destroy(iommufd, 5), destroy(iommufd, other)]).toEqual(['ENOENT', '0']);
    });

    it('is attached to address spaces and page tables only', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      expect(bind(fd, iommufd)).toBe('id 1');
      expect([attach(fd, 0), attach(fd, 1), attach(fd, 99)]).toEqual(['ENOENT', 'EINVAL', 'ENOENT']);
      expect(detach(fd)).toBe('0');
    });

    it('ATTACH and DETACH check their arguments', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      bind(fd, iommufd);
      const { kernel } = subject;
      const newer = subject.version === '7.3';
      expect({
        attachNull: answer(kernel.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, 0)),
        attachShort: attach(fd, 1, { argsz: 11 }),
        attachFlag: attach(fd, 99, { flags: 2 }),
        pasidShort: attach(fd, 99, { flags: 1 }),
        pasid: attach(fd, 99, { argsz: 16, flags: 1, pasid: 1 }),
        detachNull: answer(kernel.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, 0)),
        detachShort: detach(fd, { argsz: 7 }),
        detachFlag: detach(fd, { flags: 2 }),
        detachPasidShort: detach(fd, { flags: 1 }),
        detachPasid: detach(fd, { argsz: 12, flags: 1, pasid: 1 }),
      }).toEqual({
        ...{ attachNull: 'EFAULT', attachShort: 'EINVAL', attachFlag: 'EINVAL', pasidShort: 'EINVAL', pasid: newer ? 'ENOENT' : 'EINVAL' },
        ...{ detachNull: 'EFAULT', detachShort: 'EINVAL', detachFlag: 'EINVAL', detachPasidShort: 'EINVAL' },
        detachPasid: newer ? '0' : 'EINVAL',
      });
    });

    it('the file of /dev/iommu stays while a device is bound to it', () => {
      const [fd, iommufd] = [seam.open(node), seam.open('/dev/iommu')];
      expect(bind(fd, iommufd)).toBe('id 1');
      seam.close(iommufd);
      expect(attach(fd, 99)).toBe('ENOENT');
      seam.close(fd);
      expect(bind(seam.open(node), seam.open('/dev/iommu'))).toBe('id 1');
    });
  });

  describe('with the API', () => {
    let iommufd: Iommufd;
    let device: Cdev;
    let space: Ioas;

    beforeEach(() => {
      iommufd = Iommufd.open(subject.kernel);
      device = Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address));
      space = iommufd.createIoas();
    });
    afterEach(() => iommufd.close());

    it('attaching takes IOVAs away from the address space, and detaching gives them back', () => {
      expect([device.address, device.id, space.id]).toEqual([subject.edu.address, 1, 2]);
      expect(device.attach(space)).toBe(3);
      const attached = space.ranges();
      expect(attached).not.toEqual([{ start: 0n, last: top }]);
      expect(attached.some(({ start, last }) => start <= 0xfee0_0000n && last >= 0xfee0_0000n)).toBe(false);
      expect(space.alignment()).toBe(4096n);
      expect(device.attach(space)).toBe(3);
      device.detach();
      device.detach();
      expect(space.ranges()).toEqual([{ start: 0n, last: top }]);
      expect(space.alignment()).toBe(1n);
    });

    it('the device reaches what is mapped, before and after it was attached, and nothing once detached', async () => {
      const early = space.allocate(4096);
      device.attach(space);
      const late = space.allocate(4096);
      early.bytes.fill(0x5a, 0, 64);
      await eduCopies(device, early.iova, late.iova);
      expect(late.bytes.subarray(0, 64)).toEqual(early.bytes.subarray(0, 64));
      late.bytes.fill(0);
      device.detach();
      await eduCopies(device, early.iova, late.iova);
      expect(late.bytes.subarray(0, 64).every((byte) => byte === 0)).toBe(true);
    });

    it('moves from one address space to another', async () => {
      const other = iommufd.createIoas();
      device.attach(space);
      const here = space.allocate(4096);
      const [from, to] = [other.allocate(4096), other.allocate(4096)];
      expect(from.iova).toBe(here.iova);
      expect(device.attach(other)).toBe(5);
      expect(space.ranges()).toEqual([{ start: 0n, last: top }]);
      from.bytes.fill(0x77, 0, 64);
      here.bytes.fill(0x11, 0, 64);
      await eduCopies(device, from.iova, to.iova);
      expect([...to.bytes.subarray(0, 64)].every((byte) => byte === 0x77)).toBe(true);
    });

    it('an address space with a device cannot be destroyed, nor its page table', () => {
      const table = device.attach(space);
      expect(destroy(iommufd.fd, space.id)).toBe('EBUSY');
      expect(destroy(iommufd.fd, table)).toBe('EBUSY');
      device.detach();
      expect(destroy(iommufd.fd, table)).toBe('ENOENT');
      space.close();
    });

    it('what is mapped where the device can have nothing stands in the way', () => {
      space.map({ iova: 0xfee0_0000n, address: 0x7000_0000_0000n, size: 4096n });
      expect(() => device.attach(space)).toThrow(/^EADDRINUSE: .*attach the device first/);
      space.unmapAll();
      space.allowRanges([{ start: 0xfee0_0000n, last: 0xfee0_0fffn }]);
      expect(() => device.attach(space)).toThrow(/^EADDRINUSE/);
      space.allowRanges([]);
      space.map({ iova: 0x10_0001n, address: 0x7000_0000_0001n, size: 1n });
      expect(() => device.attach(space)).toThrow(/^EADDRINUSE/);
    });

    it('memory that is not there is noticed when the device comes, or at once when it is there', () => {
      space.map({ iova: 0x10_0000n, address: 0x1000n, size: 4096n });
      expect(() => device.attach(space)).toThrow(/^EFAULT: .*Until a device is attached/);
      expect(space.ranges()).toEqual([{ start: 0n, last: top }]);
      space.unmapAll();
      device.attach(space);
      expect(() => space.map({ iova: 0x10_0000n, address: 0x1000n, size: 4096n })).toThrow(/^EFAULT/);
      expect(() => space.map({ iova: 0xfee0_0000n, address: 0x1000n, size: 4096n })).toThrow(/^EINVAL/);
      expect(space.unmapAll()).toBe(0n);
    });

    it('large pages are turned off before something is mapped for a device', () => {
      device.attach(space);
      const buffer = space.allocate(4096);
      expect(() => space.useLargePages(false)).toThrow(/^EINVAL/);
      buffer.close();
      space.useLargePages(false);
      expect(space.usesLargePages()).toBe(false);
    });

    it('is used by its node or through its group, and says so', () => {
      expect(() => openDevice(subject.kernel, subject.edu.address, { by: 'group' })).toThrow(/^EBUSY/);
      expect(() => Cdev.open(iommufd, findDevice(subject.kernel, subject.edu.address))).toThrow(
        /^EINVAL: .*BIND_IOMMUFD.*It is bound already/,
      );
      device.close();
      openDevice(subject.kernel, subject.edu.address, { by: 'group' }).close();
    });

    it('belongs to one open file', () => {
      using other = Iommufd.open(subject.kernel);
      expect(() => device.attach(other.createIoas())).toThrow(/^Expected an address space of iommufd/);
    });

    it('closing the file closes the device, whatever is attached', () => {
      device.attach(space);
      space.allocate(4096);
      iommufd.close();
      expect([device.closed, space.closed]).toEqual([true, true]);
      openDevice(subject.kernel, subject.edu.address).close();
    });

    it('a device without a node is told so', () => {
      expect(() => Cdev.open(iommufd, { address: '0000:00:1f.0', node: undefined })).toThrow(
        expect.objectContaining({ code: 'ERR_VFIO_NO_NODE' }),
      );
    });
  });
}
