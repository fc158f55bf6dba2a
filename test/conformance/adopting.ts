/** Files that are open already, as a process that was handed them has them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER } from '../../lib/abi/vfio/group.js';
import { VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from '../../lib/abi/vfio/container.js';
import { adoptDevice, Cdev, Container, findDevice, Iommufd, openDevice, type SharedDevice } from '../../lib/index.js';
import { KernelError } from '../../lib/kernel/error.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import { eduCopies } from '../support/edu-dma.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';
import { thrown } from '../support/thrown.js';

export function adopting(variant: Variant): void {
  describe('files that are open already', () => {
    let subject: Subject;
    let kernel: Kernel;
    let address: string;
    let open: number[];

    const opened = (path: string): number => {
      const fd = kernel.open(path, 2);
      expect(fd, path).toBeGreaterThanOrEqual(0);
      open.push(fd);
      return fd;
    };
    const asked = (fd: number, { number }: { readonly number: number }, argument: number | Uint8Array): number => {
      const result = kernel.ioctl(fd, number, argument);
      expect(result).toBeGreaterThanOrEqual(0);
      return result;
    };
    /** Those of a container with the group in it, and of the device. */
    const byGroup = (path = '/dev/vfio/vfio'): { container: number; group: number; device: number } => {
      const [container, group] = [opened(path), opened(`/dev/vfio/${subject.edu.group}`)];
      asked(group, VFIO_GROUP_SET_CONTAINER, new Uint8Array(new Int32Array([container]).buffer));
      asked(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
      const device = asked(group, VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(`${address}\0`));
      open.push(device);
      return { container, group, device };
    };
    const taken = (...fds: number[]): void => void (open = open.filter((fd) => !fds.includes(fd)));
    const worksAndCloses = async (files: SharedDevice): Promise<void> => {
      const adopted = adoptDevice(kernel, files);
      taken(files.device, files.space);
      expect([adopted.way, adopted.device.address, adopted.device.fd]).toEqual([files.way, address, files.device]);
      const buffer = adopted.dma.allocate(4096, { below: 0xfff_ffffn });
      new Uint8Array(buffer.memory).set([1, 2, 3, 4]);
      await eduCopies(adopted.device, buffer.iova, buffer.iova + 2048n);
      expect([...new Uint8Array(buffer.memory, 2048, 4)]).toEqual([1, 2, 3, 4]);
      adopted.close();
      for (const fd of [files.device, files.space]) expect(kernel.close(fd)).toBe(-9);
    };

    beforeEach(() => {
      subject = variant.make();
      ({ kernel } = subject);
      ({ address } = subject.edu);
      open = [];
    });
    afterEach(() => {
      for (const fd of open.reverse()) expect(kernel.close(fd)).toBe(0);
      openDevice(kernel, address, { by: 'group' }).close();
    });

    it('of a container and a device: it does DMA, and both are closed with it', async () => {
      const { container, device, group } = byGroup();
      // The device's file keeps the group where it is.
      taken(group);
      kernel.close(group);
      await worksAndCloses({ address, way: 'group', device, space: container });
    });

    it('of a container and a group, which opens its devices', () => {
      const container = Container.adopt(kernel, opened('/dev/vfio/vfio'));
      const group = container.adoptGroup(subject.edu.group, opened(`/dev/vfio/${subject.edu.group}`));
      open = [];
      expect(group.status()).toEqual({ viable: true, inContainer: true });
      container.setIommu();
      expect(group.openDevice(address).region(0).mmio.read32(0)).toBe(0x0100_00ed);
      container.close();
    });

    it('of a container that has its group: it stays where it is', () => {
      const { container: space, group: fd, device } = byGroup();
      const container = Container.adopt(kernel, space);
      const group = container.adoptGroup(subject.edu.group, fd);
      const adopted = container.adoptDevice(address, device);
      open = [];
      expect(group.status().inContainer).toBe(true);
      const memory = container.allocate(4096);
      container.close();
      expect([group.closed, adopted.closed, memory.closed]).toEqual([true, true, true]);
    });

    it('of something else stay the caller’s, with an error that says what was expected', () => {
      const { container, group, device } = byGroup();
      const nothing = 1_000_000;
      const event = kernel.eventfd(0, 0);
      open.push(event);
      expect(thrown(KernelError, () => Container.adopt(kernel, event))).toMatchObject({
        code: 'ENOTTY',
        message: expect.stringMatching(`VFIO_GET_API_VERSION 'fd ${event}'. Is fd ${event} a container, opened by who`) as string,
      });
      expect(() => Container.adopt(kernel, nothing)).toThrow(/^EBADF/);
      expect(() => Container.adopt(kernel, -1)).toThrow('Expected an integer from 0 to 2147483647 for fd but received -1');
      const files = { address, way: 'group', device, space: container } as const;
      expect(() => adoptDevice(kernel, { ...files, device: group })).toThrow(/^ENOTTY.*Is fd \d+ the file of device/);
      expect(() => adoptDevice(kernel, { ...files, space: device })).toThrow(/^ENOTTY.*Is fd \d+ a container/);
      expect(() => adoptDevice(kernel, { ...files, way: 'fd' as never })).toThrow("for way but received 'fd'");
    });

    if (hasNodes(variant)) adoptingNodes();

    function adoptingNodes(): void {
      const node = (): string => findDevice(kernel, address).node ?? '';

      it('of /dev/iommu as a container and a device', async () => {
        const { container, device, group } = byGroup('/dev/iommu');
        taken(group);
        kernel.close(group);
        await worksAndCloses({ address, way: 'compatibility', device, space: container });
      });

      it('of a node that nobody bound, and of /dev/iommu', async () => {
        await worksAndCloses({ address, way: 'node', device: opened(node()), space: opened('/dev/iommu') });
      });

      it('of a node that is bound is moved into an address space of its own', () => {
        const iommufd = Iommufd.adopt(kernel, opened('/dev/iommu'));
        const fd = opened(node());
        const device = Cdev.adopt(iommufd, { address, fd });
        device.attach(iommufd.createIoas());
        // It stays open, as in the process that opened it.
        const held = kernel.mmap(fd, 4096, 3, 1, 0) as Mapping;
        const again = adoptDevice(kernel, { address, way: 'node', device: fd, space: iommufd.fd, id: device.id });
        expect(again.dma.ranges().length).toBeGreaterThan(1);
        expect(again.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
        expect(() => Cdev.adopt(iommufd, { address, fd })).toThrow(/^EINVAL.*VFIO_DEVICE_BIND_IOMMUFD/);
        open = [];
        // Not EBUSY: the device is not attached any more.
        again.close();
        held.unmap();
      });

      it('of something else are no node and no /dev/iommu', () => {
        const [space, device] = [opened('/dev/iommu'), opened(node())];
        const files = { address, way: 'node', device, space } as const;
        expect(() => adoptDevice(kernel, { ...files, space: device })).toThrow(/^E(INVAL|NOTTY).*Is fd \d+ an open \/dev\/iommu/);
        expect(() => adoptDevice(kernel, { ...files, device: space })).toThrow(/^ENOTTY.*VFIO_DEVICE_BIND_IOMMUFD/);
        // Not bound, whatever the caller says.
        expect(() => adoptDevice(kernel, { ...files, id: 1 })).toThrow(/^EINVAL.*VFIO_DEVICE_GET_INFO/);
      });

      it('are told by who opened them, by each way', () => {
        for (const by of ['node', 'group', 'compatibility'] as const) {
          using opened = openDevice(kernel, address, { by });
          const shared = opened.share();
          expect(shared).toMatchObject({ address, way: by, device: opened.device.fd });
          expect('id' in shared).toBe(by === 'node');
          expect(JSON.parse(JSON.stringify(shared))).toEqual(shared);
        }
      });
    }
  });
}
