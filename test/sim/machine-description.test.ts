/** A simulated machine from JSON, as `vfio --sim` reads it. */
import { describe, expect, it } from 'vitest';
import { findDevices, openDevice } from '../../lib/index.js';
import { parseMachine, type MachineDescription } from '../../lib/sim/index.js';

const parse = (description: MachineDescription): ReturnType<typeof parseMachine> => parseMachine(JSON.stringify(description));

describe('a machine from a description', () => {
  it('has its kernel, its IOMMU, and its devices with their drivers', () => {
    const { kernel } = parse({
      kernel: '6.12',
      iommu: { kind: 'intel', addressBits: 39, reserved: [{ start: '0xfee00000', last: '0xfeefffff', type: 'msi' }] },
      devices: [
        { model: 'edu', dmaMask: '0xffffffff' },
        { model: 'nvme', serial: 'one', driver: 'nvme', hostDriver: 'nvme', address: '0000:01:00.0', group: 7 },
        { model: 'e1000e', cable: 0 },
        { model: 'e1000e', cable: 0, station: '52:54:00:12:34:57' },
      ],
    });
    expect(findDevices(kernel).map(({ address, driver, group }) => [address, driver, group])).toEqual([
      ['0000:00:03.0', 'vfio-pci', 0],
      ['0000:00:04.0', 'vfio-pci', 1],
      ['0000:00:05.0', 'vfio-pci', 2],
      ['0000:01:00.0', 'nvme', 7],
    ]);
    using opened = openDevice(kernel, '0000:00:03.0');
    expect(opened.dma.ranges().at(-1)?.last).toBe(0x7f_ffff_ffffn);
  });

  it.each([
    ['{', SyntaxError, 'JSON'],
    ['[]', RangeError, 'an object for the machine'],
    ['{"device": []}', RangeError, "for the machine but received 'device'"],
    ['{"devices": {}}', RangeError, 'a list for devices'],
    ['{"devices": [{}]}', RangeError, 'one of edu, nvme, e1000e for devices[0].model but received undefined'],
    ['{"devices": [null]}', RangeError, 'one of edu, nvme, e1000e for devices[0].model'],
    ['{"devices": [{"model": "edu", "serial": "x"}]}', RangeError, "for devices[0] but received 'serial'"],
    ['{"devices": [{"model": "edu", "dmaMask": 4}]}', RangeError, 'for devices[0].dmaMask but received 4'],
    ['{"kernel": "5.0"}', RangeError, 'for kernel but received'],
    ['{"files": {"/x": 1}}', RangeError, "a text, { link: 'target' }, or null for files['/x'] but received 1"],
  ])('%s is none', (text, kind, message) => {
    expect(() => parseMachine(text)).toThrow(kind);
    expect(() => parseMachine(text)).toThrow(message);
  });
});
