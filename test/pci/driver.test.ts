import { describe, expect, it } from 'vitest';
import { bindDriver, findDevice, findDevices, groupDevices, parseAddress } from '../../lib/pci/index.js';
import { openDevice } from '../../lib/open.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const address = '0000:00:03.0';
const machine = (): Machine =>
  new Machine({
    devices: [
      { model: new Edu(), driver: 'edu', hostDriver: 'edu', group: 1 },
      { model: new Edu(), driver: null, group: 1 },
    ],
  });

describe('discovery', () => {
  it('finds devices by id, with driver and group', () => {
    const { kernel } = machine();
    expect(findDevices(kernel, { vendor: 0x1234 }).map((device) => device.address)).toEqual([address, '0000:00:04.0']);
    expect(findDevices(kernel, { vendor: 0x8086 })).toEqual([]);
    expect(findDevice(kernel, '00:03.0')).toEqual({
      address,
      vendor: 0x1234,
      device: 0x11e8,
      classCode: 0x00ff00,
      driver: 'edu',
      group: 1,
      noIommu: false,
    });
    expect(groupDevices(kernel, 1).map((device) => device.driver)).toEqual(['edu', undefined]);
  });

  it('of a group are those of PCI', () => {
    const files = { '/sys/kernel/iommu_groups/1/devices/serial8250': { link: '../../../../devices/platform/serial8250' } };
    const { kernel } = new Machine({ devices: [{ model: new Edu(), group: 1 }], files });
    expect(groupDevices(kernel, 1).map((device) => device.address)).toEqual([address]);
  });

  it('a device that is not there is ENOENT', () => {
    expect(() => findDevice(machine().kernel, '0000:05:00.0')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});

describe('parseAddress', () => {
  it.each([
    ['3:00.0', '0000:03:00.0'],
    ['0000:AB:1f.7', '0000:ab:1f.7'],
    ['10000:01:00.0', '10000:01:00.0'],
  ])('%s is %s', (text, full) => {
    expect(parseAddress(text)).toBe(full);
  });
  it.each(['', 'x', '00:20.0', '0000:00:00.8', '0000:00:00', '1:2:3:4.0', '../../etc'])('%s is none', (text) => {
    expect(() => parseAddress(text)).toThrow(RangeError);
  });
});

describe('bindDriver', () => {
  it('gives a device to vfio-pci and back', () => {
    const { kernel } = machine();
    const binding = bindDriver(kernel, address);
    expect(binding.previous).toBe('edu');
    expect(findDevice(kernel, address).driver).toBe('vfio-pci');
    openDevice(kernel, address).close();
    binding.restore();
    binding.restore();
    expect(findDevice(kernel, address).driver).toBe('edu');
    expect(new TextDecoder().decode(kernel.files.readFile(`/sys/bus/pci/devices/${address}/driver_override`) as Uint8Array)).toBe(
      '(null)\n',
    );
  });

  it('gives a device that had no driver back to none', () => {
    const { kernel } = machine();
    {
      using binding = bindDriver(kernel, '0000:00:04.0');
      expect(binding.previous).toBeUndefined();
      expect(findDevice(kernel, '0000:00:04.0').driver).toBe('vfio-pci');
    }
    expect(findDevice(kernel, '0000:00:04.0').driver).toBeUndefined();
  });

  it('leaves a device alone that is with the driver already', () => {
    const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
    bindDriver(kernel, address).restore();
    expect(findDevice(kernel, address).driver).toBe('vfio-pci');
  });

  it('unbinds nothing for a driver that is not there', () => {
    const { kernel } = machine();
    expect(() => bindDriver(kernel, address, 'uio_pci_generic')).toThrow('Load it: modprobe uio_pci_generic');
    expect(findDevice(kernel, address).driver).toBe('edu');
  });

  it('a device in use is not taken away', async () => {
    const { kernel } = machine();
    const binding = bindDriver(kernel, address);
    using opened = openDevice(kernel, address);
    const [request] = opened.device.interrupt('req').enable();
    expect(() => binding.restore()).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    await expect(request!.wait({ timeoutMilliseconds: 1000 })).resolves.toBe(1);
  });
});
