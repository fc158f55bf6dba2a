/** What the conformance suite cannot do on a real kernel: lose a capability while files are open, and DMA that goes astray. */
import { describe, expect, it } from 'vitest';
import { VFIO_NOIOMMU_IOMMU } from '../../lib/abi/vfio/container.js';
import { VFIO_GROUP_UNSET_CONTAINER } from '../../lib/abi/vfio/group.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { physicalAddress } from '../../lib/memory/physical-address.js';
import { openDevice } from '../../lib/open.js';
import { findDevice } from '../../lib/pci/index.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';

const address = '0000:00:03.0';
const place = { address, group: 0 };
const machine = (): Machine => new Machine({ iommu: 'none', unsafeNoIommu: true, devices: [{ model: new Edu() }] });

describe('a machine without an IOMMU', () => {
  it('has devices in no group, which vfio-pci does not take unless the mode is on', () => {
    const { kernel } = new Machine({ iommu: 'none', devices: [{ model: new Edu() }] });
    expect(findDevice(kernel, address)).toMatchObject({ driver: undefined, group: undefined, noIommu: false });
    expect(kernel.files.readdir('/dev/vfio')).toEqual(['vfio']);
    expect(kernel.files.readdir('/sys/class/iommu')).toEqual([]);
    expect(() => openDevice(kernel, address)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NO_GROUP' }));
  });

  it('has devices that are not handed on to another process', () => {
    for (const by of ['node', 'group'] as const) {
      using opened = openDevice(machine().kernel, address, { by, unsafeNoIommu: true });
      expect(() => opened.share()).toThrow(expect.objectContaining({ code: 'ERR_VFIO_NO_IOMMU' }));
    }
  });

  it('refuses what it cannot have, naming the argument', () => {
    const model = new Edu();
    expect(() => new Machine({ iommu: 'none', devices: [{ model, driver: 'vfio-pci' }] })).toThrow('for driver');
    expect(() => new Machine({ iommu: 'none', devices: [{ model, group: 1 }] })).toThrow('for group');
  });

  it('each step asks for CAP_SYS_RAWIO anew', () => {
    const simulated = machine();
    const seam = new Seam(simulated.kernel);
    const [container, group] = [seam.container(), seam.noIommuGroup(place)];
    simulated.rawIo = false;
    expect(answer(seam.setContainer(group, seam.eventfd()))).toBe('EBADFD');
    expect(answer(seam.setContainer(group, container))).toBe('EPERM');
    simulated.rawIo = true;
    expect(answer(seam.setContainer(group, container))).toBe('0');
    simulated.rawIo = false;
    expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('EPERM');
    simulated.rawIo = true;
    expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('0');
    simulated.rawIo = false;
    expect(answer(seam.device(group, address))).toBe('EPERM');
    simulated.rawIo = true;
    expect(seam.device(group, address)).toBeGreaterThanOrEqual(0);
  });

  it('its groups and those of mediated devices do not share a container', () => {
    const { kernel } = new Machine({ iommu: 'none', unsafeNoIommu: true, mediated: ['mtty'], devices: [{ model: new Edu() }] });
    const seam = new Seam(kernel);
    const groups = [seam.noIommuGroup(place), seam.group(new MediatedDevices(kernel).make('mtty-1'))] as const;
    for (const [first, second] of [groups, groups.toReversed()] as [number, number][]) {
      const container = seam.container();
      expect([seam.setContainer(first, container), seam.setContainer(second, container)].map(answer)).toEqual(['0', 'EPERM']);
      expect(answer(kernel.ioctl(first, VFIO_GROUP_UNSET_CONTAINER.number))).toBe('0');
    }
    seam.closeAll();
  });

  it('its devices have no nodes on Linux 6.12, though they are listed', () => {
    const { kernel } = new Machine({ kernel: '6.12', iommu: 'none', unsafeNoIommu: true, devices: [{ model: new Edu() }] });
    expect(kernel.files.readdir(`/sys/bus/pci/devices/${address}/vfio-dev`)).toEqual(['vfio0']);
    expect(answer(kernel.open('/dev/vfio/devices/vfio0', 2))).toBe('ENOENT');
  });

  it('is not asked for where there is an IOMMU', () => {
    const { kernel } = new Machine({ rawIo: false, devices: [{ model: new Edu() }] });
    for (const by of ['group', 'node'] as const) openDevice(kernel, address, { by }).close();
  });

  it('is no way for groups that have an IOMMU', () => {
    const seam = new Seam(new Machine({ unsafeNoIommu: true, devices: [{ model: new Edu() }] }).kernel);
    const [container, group] = [seam.container(), seam.group(place)];
    expect(answer(seam.setContainer(group, container))).toBe('0');
    expect(answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))).toBe('ENODEV');
    expect(answer(seam.setIommu(container))).toBe('0');
    seam.closeAll();
  });

  it('tells no group of a device on the bus that has none', () => {
    const [one, other] = ['0000:01:01.0', '0000:01:02.0'];
    const { kernel } = new Machine({
      iommu: 'none',
      unsafeNoIommu: true,
      devices: [
        { model: new Edu(), address: one },
        { model: new Edu(), address: other, driver: null },
      ],
    });
    using opened = openDevice(kernel, one, { by: 'group', unsafeNoIommu: true });
    expect(() => opened.device.hotResetInfo()).toThrow(/^EPERM/);
  });

  it('lets devices go that have no group', async () => {
    const simulated = new Machine({ iommu: 'none', devices: [{ model: new Edu(), hostDriver: 'nvme', driver: 'nvme' }] });
    await simulated.unbind(address);
    await simulated.device(address).unplug();
    expect(simulated.kernel.files.readdir('/sys/bus/pci/devices')).toEqual([]);
  });

  it('an access to memory that is not the process’s hits nothing and is recorded', async () => {
    const simulated = machine();
    using opened = openDevice(simulated.kernel, address, { unsafeNoIommu: true });
    const { device } = opened;
    const [interrupt] = device.interrupt('msi').enable();
    device.enableBusMaster();
    const { mmio } = device.region(0);
    mmio.write64(0x80, 0x4_0000n);
    mmio.write64(0x88, 0x1000n);
    mmio.write64(0x90, 8n);
    mmio.write64(0x98, 7n);
    await interrupt!.wait({ timeoutMilliseconds: 1000 });
    expect(simulated.faults).toEqual([{ device: address, iova: 0x1000n, size: 8, direction: 'write', reason: 'not mapped' }]);
  });
});

describe('physicalAddress', () => {
  it('finds memory that does not begin at a page, too', () => {
    const { kernel } = machine();
    const memory = new ArrayBuffer(5000);
    expect(physicalAddress(kernel, memory) % 4096n).toBe(kernel.addressOf(memory) % 4096n);
    expect(physicalAddress(kernel, memory, 4999) % 4096n).toBe((kernel.addressOf(memory) + 4999n) % 4096n);
  });

  it('says so where the kernel hides the address', () => {
    const { kernel } = machine();
    const hiding = Object.create(kernel) as typeof kernel;
    Object.defineProperties(hiding, {
      files: { value: kernel.files },
      addressOf: { value: (memory: ArrayBuffer) => kernel.addressOf(memory) },
      open: { value: () => 7 },
      close: { value: () => 0 },
      pread: { value: (_fd: number, bytes: Uint8Array) => new BigUint64Array(bytes.buffer).fill(1n << 63n).byteLength },
    });
    expect(() => physicalAddress(hiding, new ArrayBuffer(8))).toThrow(expect.objectContaining({ code: 'ERR_VFIO_PHYSICAL_ADDRESS' }));
  });

  it('/proc/self/pagemap is read in whole entries, up to the end of the address space', () => {
    const { kernel } = machine();
    const fd = kernel.open('/proc/self/pagemap', 0);
    expect([
      kernel.pread(fd, new Uint8Array(7), 0),
      kernel.pread(fd, new Uint8Array(8), 4),
      kernel.pread(fd, new Uint8Array(8), 2 ** 50),
      kernel.pread(fd, new Uint8Array(16), 0),
    ]).toEqual([-22, -22, 0, 16]);
    kernel.close(fd);
  });

  it('/proc/self/pagemap has no entry of memory that is not there any more', () => {
    const { kernel } = machine();
    const fd = kernel.open('/proc/self/pagemap', 0);
    const mapping = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
    const at = Number(kernel.addressOf(mapping.memory!) / 4096n) * 8;
    const entry = (): bigint => {
      const bytes = new BigUint64Array(1);
      kernel.pread(fd, new Uint8Array(bytes.buffer), at);
      return bytes[0]!;
    };
    expect(entry()).not.toBe(0n);
    mapping.unmap();
    expect(entry()).toBe(0n);
    kernel.close(fd);
  });
});
