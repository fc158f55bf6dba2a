/** Resetting a bus by a device that was opened by its own node: by ids, and by what its /dev/iommu owns. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../lib/abi/vfio/reset.js';
import { bindDriver, Cdev, findDevice, groupDevices, Iommufd, type PciDevice } from '../../lib/index.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

/** A register of e1000e that keeps what is written and that a reset clears: flow control address low. */
const scratch = 0x28;

export function hotReset(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;
  let seam: Seam;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
    seam = new Seam(subject.kernel);
  });
  afterEach(() => {
    seam.closeAll();
    iommufd.close();
  });

  const open = ({ address }: Place | PciDevice): Cdev => Cdev.open(iommufd, findDevice(subject.kernel, address));
  const reset = (device: Cdev, fds: readonly number[], fields: { argsz?: number; flags?: number; count?: number } = {}): string => {
    const view = vfio_pci_hot_reset.create(fds.length * 4);
    Object.assign(view, { argsz: view.bytes.byteLength, flags: 0, count: fds.length, ...fields });
    new Int32Array(view.bytes.buffer, vfio_pci_hot_reset.size, fds.length).set(fds);
    return answer(subject.kernel.ioctl(device.fd, VFIO_DEVICE_PCI_HOT_RESET.number, view.bytes));
  };
  const info = (device: Cdev, room: number): string => {
    const view = vfio_pci_hot_reset_info.create(Math.max(0, room - 12));
    view.argsz = room;
    const result = answer(subject.kernel.ioctl(device.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.number, view.bytes));
    const ids = result === '0' ? view.devices.map(({ devid }) => ` ${devid}`) : [];
    return `${result} flags ${view.flags} count ${view.count}${ids.join('')}`;
  };

  describe('hot reset by node', () => {
    it('is of a function that is alone on its bus, by its id', () => {
      const device = open(subject.express);
      expect(info(device, 20)).toBe('0 flags 3 count 1 1');
      expect(info(device, 19)).toBe('ENOSPC flags 0 count 1');
      expect(info(device, 11)).toBe('EINVAL flags 0 count 0');
      expect(device.hotResetInfo()).toEqual({
        devices: [{ address: subject.express.address, group: undefined, id: device.id, owned: true }],
        allOwned: true,
      });
      const registers = device.region(0).mmio;
      device.hotReset();
      const clean = registers.read32(scratch);
      registers.write32(scratch, 0x55);
      expect(registers.read32(scratch)).not.toBe(clean);
      device.hotReset();
      expect(registers.read32(scratch)).toBe(clean);
    });

    it('takes no groups', () => {
      const device = open(subject.express);
      const group = seam.group(subject.edu);
      expect(reset(device, [], { argsz: 11 })).toBe('EINVAL');
      expect(reset(device, [], { flags: 1 })).toBe('EINVAL');
      expect(reset(device, [group])).toBe('EINVAL');
      expect(reset(device, [0x3fff_fff0])).toBe('EINVAL');
      expect(answer(subject.kernel.ioctl(device.fd, VFIO_DEVICE_PCI_HOT_RESET.number, 0))).toBe('EFAULT');
      expect(() => device.hotReset([{ fd: group }])).toThrow(/^EINVAL: .*by its own node takes none/);
    });

    it('is not where the bus is the root bus', () => {
      const device = open(subject.edu);
      expect(info(device, 64)).toBe('ENODEV flags 0 count 0');
      expect(reset(device, [])).toBe('ENODEV');
      expect(reset(device, [seam.group(subject.express)])).toBe('EINVAL');
    });

    describe('of a bus with two functions in one group', () => {
      let neighbour: PciDevice;

      beforeEach(() => {
        const { address, group } = subject.shared;
        const bus = address.slice(0, 'dddd:bb'.length);
        const found = groupDevices(subject.kernel, group).find((each) => each.address.startsWith(bus) && each.address !== address);
        if (found?.driver === undefined) throw new Error(`The machine lacks a device of a host driver beside ${address}`);
        neighbour = found;
        subject.kernel.files.writeFile(`/sys/bus/pci/drivers/${found.driver}/unbind`, new TextEncoder().encode(found.address));
      });
      afterEach(() => {
        iommufd.close();
        bindDriver(subject.kernel, neighbour.address, neighbour.driver);
      });

      it('one that no VFIO driver has is not owned, and forbids it', () => {
        const device = open(subject.shared);
        expect(info(device, 64)).toBe(`0 flags 1 count 2 1 ${0xffff_ffff}`);
        expect(device.hotResetInfo()).toMatchObject({
          devices: [
            { id: 1, owned: true },
            { id: undefined, owned: false },
          ],
          allOwned: false,
        });
        expect(reset(device, [])).toBe('EINVAL');
      });

      it('one that is not open belongs to who has its group', () => {
        using _binding = bindDriver(subject.kernel, neighbour.address);
        const device = open(subject.shared);
        expect(info(device, 64)).toBe('0 flags 3 count 2 1 0');
        expect(device.hotResetInfo()).toMatchObject({
          devices: [
            { id: 1, owned: true },
            { id: undefined, owned: true },
          ],
          allOwned: true,
        });
        device.hotReset();
        iommufd.close();
      });

      it('both are open and have ids', () => {
        using _binding = bindDriver(subject.kernel, neighbour.address);
        const [device, other] = [open(subject.shared), open(neighbour)];
        expect(info(device, 64)).toBe('0 flags 3 count 2 1 2');
        expect(info(other, 64)).toBe('0 flags 3 count 2 1 2');
        other.hotReset();
        iommufd.close();
      });
    });
  });
}

/** A physical function and its virtual one share a bus, and have groups of their own. */
export function hotResetOfFunctions(variant: Variant): void {
  it('hot reset by node: a virtual function on the bus is never owned, so that nothing there can be reset', () => {
    const subject = variant.make();
    const { physical, virtual } = subject.functions();
    const token = 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3';
    using iommufd = Iommufd.open(subject.kernel);
    const device = Cdev.open(iommufd, findDevice(subject.kernel, physical.address));
    device.setVfToken(token);
    const entry = device.hotResetInfo().devices.find(({ address }) => address === virtual.address);
    expect(entry).toEqual({ address: virtual.address, group: undefined, id: undefined, owned: false });
    expect(device.hotResetInfo().allOwned).toBe(false);
    expect(() => device.hotReset()).toThrow(/^EINVAL/);
    const options = subject.version === '7.3' ? { vfToken: token } : {};
    const second = Cdev.open(iommufd, findDevice(subject.kernel, virtual.address), options);
    const owned = (one: Cdev): readonly (number | undefined)[] => one.hotResetInfo().devices.map(({ id }) => id);
    expect([owned(device), owned(second)]).toEqual([
      [device.id, undefined],
      [undefined, second.id],
    ]);
    expect(device.hotResetInfo().allOwned).toBe(false);
    expect(() => device.hotReset()).toThrow(/^EINVAL/);
    expect(() => second.hotReset()).toThrow(/^EINVAL/);
  });
}
