/** Mediated devices by their own nodes: their drivers reach an address space by the processor. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../../lib/abi/vfio/cdev.js';
import { Cdev, createMediatedDevice, findDevice, findDevices, Iommufd, type MediatedDevice } from '../../lib/index.js';
import { IoasSeam, type Fields } from '../support/ioas-seam.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const top = 0xffff_ffff_ffff_ffffn;
const everything = `1: 0x0-0x${top.toString(16)} alignment`;

export function mediatedNodes(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let made: MediatedDevice[];

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    made = [];
  });
  afterEach(() => {
    seam.closeAll();
    for (const device of made) device.remove();
  });

  const make = (type = 'mtty-1'): MediatedDevice => {
    const device = createMediatedDevice(subject.kernel, { parent: type.split('-')[0] ?? '', type });
    made.push(device);
    return device;
  };
  const nodeOf = ({ node }: MediatedDevice): string => node ?? 'none';
  const newer = (): boolean => subject.version === '7.3';

  it('a device has a node of its own, with the lowest number that is free, until it is removed', () => {
    const [first, second] = [make(), make('mdpy-vga')];
    const { files } = subject.kernel;
    const numbers = [...findDevices(subject.kernel), first, second].flatMap(({ node }) =>
      node === undefined ? [] : [Number(/^\/dev\/vfio\/devices\/vfio(\d+)$/.exec(node)?.[1])],
    );
    expect(numbers.sort((a, b) => a - b)).toEqual(numbers.map((_, index) => index));
    expect(files.access(nodeOf(first))).toBe(0);
    expect(files.readdir(`/sys/bus/mdev/devices/${first.uuid}/vfio-dev`)).toEqual([nodeOf(first).split('/').at(-1)]);
    first.remove();
    expect(files.access(nodeOf(first))).toBe(-2);
    expect(make().node).toBe(first.node);
  });

  describe('at the seam', () => {
    let calls: IoasSeam;
    let device: MediatedDevice;
    let fd: number;

    beforeEach(() => {
      calls = new IoasSeam(subject.kernel, seam.open('/dev/iommu'));
      device = make();
      fd = seam.open(nodeOf(device));
    });
    afterEach(() => calls.close());

    const bind = (file = fd, fields: Fields = {}): string => {
      const request = vfio_device_bind_iommufd.create();
      Object.assign(request, { argsz: 16, iommufd: calls.fd, ...fields });
      const result = subject.kernel.ioctl(file, VFIO_DEVICE_BIND_IOMMUFD.number, request.bytes);
      return result === 0 ? `id ${request.out_devid}` : answer(result);
    };
    const attach = (pt_id: number, fields: Fields = {}): string => {
      const request = vfio_device_attach_iommufd_pt.create();
      Object.assign(request, { argsz: 12, pt_id, ...fields });
      const result = subject.kernel.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, request.bytes);
      return result === 0 ? `id ${request.pt_id}` : answer(result);
    };
    const detach = (fields: Fields = {}): string => {
      const request = vfio_device_detach_iommufd_pt.create();
      Object.assign(request, { argsz: 8, ...fields });
      return answer(subject.kernel.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, request.bytes));
    };

    it('is bound once, by its node or through its group, and needs no token', () => {
      const second = seam.open(nodeOf(device));
      const group = seam.group(device);
      expect(bind()).toBe('EBUSY');
      seam.close(group);
      expect(bind(fd, { argsz: 24, flags: 1 })).toBe('EINVAL');
      expect(bind(fd, { iommufd: fd })).toBe('EBADFD');
      expect(bind()).toBe('id 1');
      expect([bind(), bind(second), answer(seam.group(device))]).toEqual(['EINVAL', 'EINVAL', 'EBUSY']);
      seam.close(second);
      seam.close(fd);
      expect(seam.group(device)).toBeGreaterThan(0);
    });

    it('nothing can be asked of it before', () => {
      expect([attach(1), detach(), answer(subject.kernel.pread(fd, new Uint8Array(4), 7 * 2 ** 40))]).toEqual([
        'EINVAL',
        'EINVAL',
        'EINVAL',
      ]);
      expect(bind()).toBe('id 1');
      expect(subject.kernel.pread(fd, new Uint8Array(4), 7 * 2 ** 40)).toBe(4);
    });

    it('is an object that nothing but its driver destroys', () => {
      expect(bind()).toBe('id 1');
      expect(calls.destroy(1)).toBe('EBUSY');
      seam.close(fd);
      expect(calls.destroy(1)).toBe('ENOENT');
    });

    it('is attached to address spaces alone, whose id stays', () => {
      const ioas = calls.alloc();
      expect(bind()).toBe('id 2');
      expect([attach(0), attach(2), attach(99)]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
      expect(attach(ioas)).toBe(`id ${ioas}`);
      expect(attach(ioas)).toBe(`id ${ioas}`);
      expect([attach(99), attach(2)]).toEqual(['ENOENT', 'ENOENT']);
      expect(calls.destroy(ioas)).toBe('EBUSY');
      expect([detach(), detach()]).toEqual(['0', '0']);
      expect(calls.destroy(ioas)).toBe('0');
    });

    it('checks the arguments of ATTACH and DETACH, and has no PASIDs', () => {
      expect(bind()).toBe('id 1');
      expect([attach(1, { argsz: 11 }), attach(1, { flags: 2 }), detach({ argsz: 7 }), detach({ flags: 2 })]).toEqual(
        Array(4).fill('EINVAL'),
      );
      expect([attach(1, { flags: 1 }), detach({ flags: 1 })]).toEqual(Array(2).fill(newer() ? 'EOPNOTSUPP' : 'EINVAL'));
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, 0))).toBe('EFAULT');
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT.number, 0))).toBe('EFAULT');
    });

    it('makes IOVAs multiples of the page, and takes none away', () => {
      const ioas_id = calls.alloc();
      expect(bind()).toBe('id 2');
      expect(calls.map({ ioas_id, iova: 0x1_0001n, length: 1n })).toBe('0x10001');
      expect(attach(ioas_id)).toBe('EADDRINUSE');
      expect(calls.unmap(ioas_id, 0x1_0001n, 1n)).toBe('0x1');
      expect(calls.map({ ioas_id, user_va: 0x7000_0000_0001n })).toBe('0x10000');
      expect(attach(ioas_id)).toBe('EADDRINUSE');
      expect(calls.unmap(ioas_id, 0n, top)).toBe('0x1000');
      expect(attach(ioas_id)).toBe(`id ${ioas_id}`);
      expect(calls.ranges(ioas_id)).toBe(`${everything} 4096`);
      expect(calls.map({ ioas_id, iova: 0x1_0001n, length: 1n })).toBe('EINVAL');
      // What is there is looked at when the driver wants it.
      expect(calls.map({ ioas_id, iova: 0xfee0_0000n, user_va: 0x1000n })).toBe('0xfee00000');
      expect(calls.unmap(ioas_id, 0n, top)).toBe('0x1000');
      expect(detach()).toBe('0');
      expect(calls.ranges(ioas_id)).toBe(`${everything} 1`);
    });

    it('moves from one address space to another, or stays where it is', () => {
      const [first, second] = [calls.alloc(), calls.alloc()];
      expect(bind()).toBe('id 3');
      expect(calls.map({ ioas_id: second, length: 1n })).toBe('0x10000');
      expect([attach(first), attach(second), calls.ranges(first)]).toEqual([`id ${first}`, 'EADDRINUSE', `${everything} 4096`]);
      expect(calls.unmap(second, 0n, top)).toBe('0x1');
      expect([attach(second), calls.ranges(first), calls.ranges(second)]).toEqual([
        `id ${second}`,
        `${everything} 1`,
        `${everything} 4096`,
      ]);
      expect([calls.destroy(first), calls.destroy(second)]).toEqual(['0', 'EBUSY']);
      seam.close(fd);
      expect(calls.destroy(second)).toBe('0');
    });

    it('shares an address space with others, of whatever kind', () => {
      const ioas_id = calls.alloc();
      const pci = seam.open(findDevice(subject.kernel, subject.edu.address).node ?? 'none');
      expect([bind(), bind(pci)]).toEqual(['id 2', 'id 3']);
      expect(attach(ioas_id)).toBe(`id ${ioas_id}`);
      const request = vfio_device_attach_iommufd_pt.create();
      Object.assign(request, { argsz: 12, pt_id: ioas_id });
      expect(subject.kernel.ioctl(pci, VFIO_DEVICE_ATTACH_IOMMUFD_PT.number, request.bytes)).toBe(0);
      expect([attach(request.pt_id), calls.ranges(ioas_id) === `${everything} 4096`]).toEqual(['ENOENT', false]);
      seam.close(pci);
      expect(calls.ranges(ioas_id)).toBe(`${everything} 4096`);
    });
  });

  it('is opened with the API as others are', () => {
    const device = make('mtty-2');
    const iommufd = Iommufd.open(subject.kernel);
    const serial = Cdev.open(iommufd, device);
    const space = iommufd.createIoas();
    expect(serial.address).toBe(device.uuid);
    expect(serial.attach(space)).toBe(space.id);
    expect(space.alignment()).toBe(4096n);
    const port = serial.region(0);
    port.write(0, Uint8Array.of(0x41));
    const byte = new Uint8Array(1);
    port.read(0, byte);
    expect(byte[0]).toBe(0x41);
    serial.detach();
    expect(space.alignment()).toBe(1n);
    serial.attach(space);
    space.map({ iova: 0n, address: 0x7000_0000_0000n, size: 4096n });
    expect(space.unmapAll()).toBe(4096n);
    iommufd.close();
    device.remove();
    using other = Iommufd.open(subject.kernel);
    expect(() => Cdev.open(other, device)).toThrow(/^ENOENT/);
  });
}
