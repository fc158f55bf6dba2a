/** A machine without an IOMMU, in vfio's no-IOMMU mode, with two edu devices. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../../lib/abi/vfio/container.js';
import { VFIO_GROUP_GET_STATUS, VFIO_GROUP_UNSET_CONTAINER, vfio_group_status } from '../../lib/abi/vfio/group.js';
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../lib/abi/vfio/type1.js';
import { openDevice, type OpenDevice } from '../../lib/open.js';
import { makeMemory } from '../../lib/memory/process-memory.js';
import { physicalAddress } from '../../lib/memory/physical-address.js';
import { bindDriver, findDevice, findDevices, groupDevices } from '../../lib/pci/index.js';
import { Container } from '../../lib/vfio/container.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

const mode = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
const vfioPci = '/sys/bus/pci/drivers/vfio-pci';
const deviceMemory = 0x4_0000n;

export function noIommu(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let first: Place;
  let second: Place;

  const text = (path: string): string => new TextDecoder().decode(subject.kernel.files.readFile(path) as Uint8Array).trim();
  const write = (path: string, value: string): string => {
    const result = subject.kernel.files.writeFile(path, new TextEncoder().encode(value));
    return result >= 0 ? 'ok' : answer(result);
  };
  const there = (path: string): boolean => subject.kernel.files.access(path) === 0;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    const [one, two] = findDevices(subject.kernel, { vendor: 0x1234, device: 0x11e8 });
    [first, second] = [one, two].map((device) => ({ address: device?.address ?? '', group: device?.group ?? -1 })) as [Place, Place];
  });
  afterEach(() => {
    seam.closeAll();
    write(mode, 'Y');
    for (const { address } of findDevices(subject.kernel, { vendor: 0x1234, device: 0x11e8 })) bindDriver(subject.kernel, address);
  });

  const ioctl = (fd: number, request: { number: number }, argument?: number | Uint8Array): string =>
    answer(subject.kernel.ioctl(fd, request.number, argument));
  const extensions = (container: number): number[] =>
    Array.from({ length: 12 }, (_, extension) => extension).filter(
      (extension) => ioctl(container, VFIO_CHECK_EXTENSION, extension) === '1',
    );
  const status = (group: number): string | number => {
    const view = vfio_group_status.create();
    view.argsz = vfio_group_status.size;
    const result = ioctl(group, VFIO_GROUP_GET_STATUS, view.bytes);
    return result === '0' ? view.flags : result;
  };
  /** GET_INFO, MAP_DMA, UNMAP_DMA of sound arguments, and a request that nobody has. */
  const iommuRequests = (container: number): string[] => {
    const info = vfio_iommu_type1_info.create();
    info.argsz = vfio_iommu_type1_info.size;
    const map = vfio_iommu_type1_dma_map.create();
    Object.assign(map, { argsz: vfio_iommu_type1_dma_map.size, flags: 3, size: 4096n });
    const unmap = vfio_iommu_type1_dma_unmap.create();
    Object.assign(unmap, { argsz: vfio_iommu_type1_dma_unmap.size, size: 4096n });
    return [
      ioctl(container, VFIO_IOMMU_GET_INFO, info.bytes),
      ioctl(container, VFIO_IOMMU_MAP_DMA, map.bytes),
      ioctl(container, VFIO_IOMMU_UNMAP_DMA, unmap.bytes),
      ioctl(container, { number: 0x3bff }),
    ];
  };
  /** A container and a group in it, without a type yet. */
  const joined = (place: Place): { container: number; group: number } => {
    const container = seam.container();
    const group = seam.noIommuGroup(place);
    expect(answer(seam.setContainer(group, container))).toBe('0');
    return { container, group };
  };

  describe('in /sys and /dev', () => {
    it('a bound device has a group of its own, named for what it is, with a node named noiommu-NUMBER', () => {
      expect(text(mode)).toBe('Y');
      expect(first.group).not.toBe(second.group);
      for (const { address, group } of [first, second]) {
        expect(findDevice(subject.kernel, address)).toMatchObject({ driver: 'vfio-pci', group, noIommu: true });
        expect(groupDevices(subject.kernel, group).map((device) => device.address)).toEqual([address]);
        const folder = `/sys/kernel/iommu_groups/${group}`;
        expect([text(`${folder}/name`), text(`${folder}/type`), text(`${folder}/reserved_regions`)]).toEqual([
          'vfio-noiommu',
          'unknown',
          '',
        ]);
        expect([there(`/dev/vfio/noiommu-${group}`), there(`/dev/vfio/${group}`)]).toEqual([true, false]);
        expect(answer(seam.open(`/dev/vfio/${group}`))).toBe('ENOENT');
      }
    });

    it('unbound, it has neither, and bound again it has both', () => {
      const { kernel } = subject;
      expect(write(`${vfioPci}/unbind`, second.address)).toBe('ok');
      expect(findDevice(kernel, second.address)).toMatchObject({ driver: undefined, group: undefined, noIommu: false });
      expect(there(`/sys/kernel/iommu_groups/${second.group}`)).toBe(false);
      expect(there(`/dev/vfio/noiommu-${second.group}`)).toBe(false);
      expect(() => openDevice(kernel, second.address, { unsafeNoIommu: true })).toThrow(
        expect.objectContaining({ code: 'ERR_VFIO_NO_GROUP' }),
      );
      using binding = bindDriver(kernel, second.address);
      expect(binding.previous).toBeUndefined();
      expect(findDevice(kernel, second.address)).toMatchObject({ driver: 'vfio-pci', group: second.group, noIommu: true });
    });

    it('while the mode is off, vfio-pci takes no device that has no group', () => {
      const { kernel } = subject;
      expect(write(`${vfioPci}/unbind`, second.address)).toBe('ok');
      expect(write(mode, 'N')).toBe('ok');
      expect(write(`/sys/bus/pci/devices/${second.address}/driver_override`, 'vfio-pci')).toBe('ok');
      expect(write('/sys/bus/pci/drivers_probe', second.address)).toBe('ok');
      expect(findDevice(kernel, second.address)).toMatchObject({ driver: undefined, group: undefined });
      expect(write(`${vfioPci}/bind`, second.address)).toBe('EINVAL');
      expect(() => bindDriver(kernel, second.address)).toThrow(/no-IOMMU mode.*enable_unsafe_noiommu_mode/);
      expect(write(mode, 'Y')).toBe('ok');
      expect(write(`${vfioPci}/bind`, second.address)).toBe('ok');
    });

    it('the mode is written as booleans are', () => {
      const answers = ['N', '', 'on', '0', 'y', 'of', '1\n', 'maybe', 'off', '2', 't'].map((value) => [
        value,
        write(mode, value),
        text(mode),
      ]);
      expect(answers).toEqual([
        ['N', 'ok', 'N'],
        ['', 'ok', 'N'],
        ['on', 'ok', 'Y'],
        ['0', 'ok', 'N'],
        ['y', 'ok', 'Y'],
        ['of', 'ok', 'N'],
        ['1\n', 'ok', 'Y'],
        ['maybe', 'EINVAL', 'Y'],
        ['off', 'ok', 'N'],
        ['2', 'EINVAL', 'N'],
        ['t', 'ok', 'Y'],
      ]);
    });
  });

  describe('container and group', () => {
    it('CHECK_EXTENSION of a bare container knows all types, and one with such a group knows VFIO_NOIOMMU_IOMMU alone', () => {
      const bare = seam.container();
      expect(extensions(bare)).toEqual([1, 3, ...(subject.version !== '7.3' ? [6] : []), 8, 9]);
      const { container, group } = joined(first);
      expect(extensions(container)).toEqual([8]);
      expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('0');
      expect(extensions(container)).toEqual([8]);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('0');
      expect(extensions(container)).toEqual(extensions(bare));
    });

    it('SET_IOMMU of anything but VFIO_NOIOMMU_IOMMU is ENODEV', () => {
      const { container } = joined(first);
      const types = [0, VFIO_TYPE1_IOMMU, 2, VFIO_TYPE1v2_IOMMU, 6, 7, 9, 42];
      expect(types.map((type) => answer(seam.setIommu(container, type)))).toEqual(types.map(() => 'ENODEV'));
      expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('0');
      expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('EINVAL');
    });

    it('SET_IOMMU of a container without a group is EINVAL', () => {
      expect(answer(seam.setIommu(seam.container(), VFIO_NOIOMMU_IOMMU))).toBe('EINVAL');
    });

    it('nothing can be asked or mapped: EINVAL before SET_IOMMU, ENOTTY after', () => {
      const { container } = joined(first);
      expect(iommuRequests(container)).toEqual(['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']);
      seam.setIommu(container, VFIO_NOIOMMU_IOMMU);
      expect(iommuRequests(container)).toEqual(['ENOTTY', 'ENOTTY', 'ENOTTY', 'ENOTTY']);
      expect(ioctl(container, VFIO_GET_API_VERSION)).toBe('0');
    });

    it('a group is viable, open once, and in one container', () => {
      const group = seam.noIommuGroup(first);
      expect(answer(seam.noIommuGroup(first))).toBe('EBUSY');
      expect(status(group)).toBe(1);
      const container = seam.container();
      expect(answer(seam.device(group, first.address))).toBe('EINVAL');
      expect(answer(seam.setContainer(group, container))).toBe('0');
      expect(answer(seam.setContainer(group, container))).toBe('EINVAL');
      expect(status(group)).toBe(3);
      expect(answer(seam.device(group, first.address))).toBe('EINVAL');
      seam.setIommu(container, VFIO_NOIOMMU_IOMMU);
      expect(answer(seam.device(group, second.address))).toBe('ENODEV');
      const device = seam.device(group, first.address);
      expect(device).toBeGreaterThanOrEqual(0);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('EBUSY');
      seam.close(device);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('0');
      expect(status(group)).toBe(1);
    });

    it('several such groups share a container, before and after SET_IOMMU', () => {
      const { container, group } = joined(first);
      seam.setIommu(container, VFIO_NOIOMMU_IOMMU);
      const other = seam.noIommuGroup(second);
      expect(answer(seam.setContainer(other, container))).toBe('0');
      expect(seam.device(other, second.address)).toBeGreaterThanOrEqual(0);
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('0');
      expect(extensions(container)).toEqual([8]);
    });

    it('turning the mode off leaves the groups, but none gets a type any more', () => {
      write(mode, 'N');
      expect(extensions(seam.container())).not.toContain(8);
      const { container } = joined(first);
      expect(extensions(container)).toEqual([]);
      expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('ENODEV');
    });

    it('the group of a device that was unbound is gone for who has it open', () => {
      const { container, group } = joined(second);
      seam.setIommu(container, VFIO_NOIOMMU_IOMMU);
      expect(write(`${vfioPci}/unbind`, second.address)).toBe('ok');
      expect(status(group)).toBe('ENODEV');
      expect(answer(seam.setContainer(group, container))).toBe('ENODEV');
      expect(answer(seam.setContainer(group, 0x7fff_ffff))).toBe('EBADF');
      expect(ioctl(group, VFIO_GROUP_UNSET_CONTAINER)).toBe('EINVAL');
      expect(answer(seam.device(group, second.address))).toBe('ENODEV');
      expect(iommuRequests(container)[0]).toBe('EINVAL');
      bindDriver(subject.kernel, second.address);
      const again = seam.noIommuGroup(second);
      expect(status(again)).toBe(1);
      expect(status(group)).toBe('ENODEV');
    });
  });

  describe('a driver', () => {
    let opened: OpenDevice | undefined;
    beforeEach(() => (opened = undefined));
    afterEach(() => opened?.close());
    const open = (): OpenDevice => (opened = openDevice(subject.kernel, first.address, { unsafeNoIommu: true }));

    it('opens the device only where it says that this is wanted', () => {
      expect(() => openDevice(subject.kernel, first.address)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU' }));
      expect(() => openDevice(subject.kernel, first.address)).toThrow('{ unsafeNoIommu: true }');
      using container = Container.open(subject.kernel);
      expect(() => container.openGroup(first.group)).toThrow(/^ENOENT.*openNoIommuGroup/);
      expect(container.openNoIommuGroup(first.group)).toMatchObject({ noIommu: true, number: first.group });
      expect(() => container.setIommu()).toThrow(/^ENODEV.*VFIO_NOIOMMU_IOMMU/);
    });

    it('is told what to do instead of mapping', () => {
      using container = Container.open(subject.kernel);
      container.openNoIommuGroup(first.group);
      container.setIommu(VFIO_NOIOMMU_IOMMU);
      const refusal = expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU', message: expect.stringContaining('physicalAddress') });
      expect(() => container.allocate(4096)).toThrow(refusal);
      expect(() => container.ranges()).toThrow(refusal);
      expect(() => container.map({ iova: 0n, address: 0n, size: 4096n })).toThrow(refusal);
      expect(() => container.unmap({ iova: 0n, size: 4096n })).toThrow(refusal);
    });

    it('finds registers, configuration space, and interrupts', async () => {
      const { device } = open();
      const { mmio } = device.region(0);
      expect(mmio.read32(0)).toBe(0x0100_00ed);
      expect(device.config.read32(0)).toBe(0x11e8_1234);
      const [interrupt] = device.interrupt('intx').enable();
      mmio.write32(0x60, 0x10);
      expect(await interrupt!.wait({ timeoutMilliseconds: 5000 })).toBe(1);
      mmio.write32(0x64, 0xffff_ffff);
    });

    it('moves bytes by physical address, page by page, through memory that nobody mapped', async () => {
      const { device } = open();
      const { mmio } = device.region(0);
      const { mapping } = makeMemory(subject.kernel, 3 * 4096, 4096n);
      const bytes = new Uint8Array(mapping.memory);
      bytes.forEach((_, index) => (bytes[index] = (index * 31 + (index >> 8)) & 0xff));
      const before = bytes.slice();
      device.enableBusMaster();
      const [interrupt] = device.interrupt('msi').enable();
      const transfer = async (from: bigint, to: bigint, command: bigint): Promise<void> => {
        mmio.write64(0x80, from);
        mmio.write64(0x88, to);
        mmio.write64(0x90, 1024n);
        mmio.write64(0x98, command);
        await interrupt!.wait({ timeoutMilliseconds: 5000 });
        mmio.write32(0x64, mmio.read32(0x24));
      };
      for (const page of [0, 1]) {
        await transfer(physicalAddress(subject.kernel, mapping.memory, page * 4096 + 100), deviceMemory, 0b101n);
        await transfer(deviceMemory, physicalAddress(subject.kernel, mapping.memory, (page + 1) * 4096 + 2048), 0b111n);
        const at = (page + 1) * 4096 + 2048;
        expect(Buffer.compare(bytes.subarray(at, at + 1024), before.subarray(page * 4096 + 100, page * 4096 + 1124))).toBe(0);
        expect(Buffer.compare(bytes.subarray(at + 1024, at + 2048), before.subarray(at + 1024, at + 2048))).toBe(0);
      }
      mapping.unmap();
    });

    it('physicalAddress keeps the place within a page', () => {
      const { mapping } = makeMemory(subject.kernel, 2 * 4096, 4096n);
      const address = physicalAddress(subject.kernel, mapping.memory);
      expect(address % 4096n).toBe(0n);
      expect(physicalAddress(subject.kernel, mapping.memory, 4095)).toBe(address + 4095n);
      expect(physicalAddress(subject.kernel, mapping.memory, 4096)).not.toBe(address);
      expect(() => physicalAddress(subject.kernel, mapping.memory, 8192)).toThrow(RangeError);
      mapping.unmap();
    });
  });
}

export function noRawIo(variant: Variant): void {
  describe('without CAP_SYS_RAWIO', () => {
    it('such a group does not open, whoever owns its node; the container does', () => {
      const subject = variant.make();
      const seam = new Seam(subject.kernel);
      expect(answer(seam.noIommuGroup(subject.edu))).toBe('EPERM');
      const container = seam.container();
      expect(answer(subject.kernel.ioctl(container, VFIO_CHECK_EXTENSION.number, VFIO_NOIOMMU_IOMMU))).toBe('1');
      expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('EINVAL');
      seam.closeAll();
    });

    it('openDevice says what is missing and leaves nothing open', () => {
      const { kernel, edu } = variant.make();
      expect(() => openDevice(kernel, edu.address, { unsafeNoIommu: true })).toThrow(/^EPERM.*CAP_SYS_RAWIO/);
      expect(() => openDevice(kernel, edu.address)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU' }));
    });
  });
}
