/** Configuration space and reset methods in sysfs, as files. */
import { describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_INTERRUPT_LINE } from '../../lib/abi/pci.js';
import { O_RDONLY, O_RDWR } from '../../lib/abi/system.js';
import { E1000e, Edu, Machine, Nvme } from '../../lib/sim/index.js';

const EACCES = -13;
const path = '/sys/bus/pci/devices/0000:00:03.0/config';

describe('config', () => {
  it('is all of configuration space, of the length that the function has', () => {
    const { files } = new Machine({ devices: [{ model: new Edu() }, { model: new Nvme() }] }).kernel;
    const edu = files.readFile(path) as Uint8Array;
    expect([...edu.subarray(0, 4)]).toEqual([0x34, 0x12, 0xe8, 0x11]);
    expect([edu.length, (files.readFile('/sys/bus/pci/devices/0000:00:04.0/config') as Uint8Array).length]).toEqual([256, 4096]);
    expect(files.stat(path)).toMatchObject({ mode: 0o644 });
  });

  it('opened, is read and written in parts, past the driver that has the device', () => {
    const { kernel } = new Machine({ devices: [{ model: new Edu() }] });
    const fd = kernel.open(path, O_RDWR);
    const line = new Uint8Array(3);
    expect([kernel.pwrite(fd, Uint8Array.of(1, 2, 3), PCI_INTERRUPT_LINE), kernel.pread(fd, line, PCI_INTERRUPT_LINE)]).toEqual([3, 3]);
    expect(line[0]).toBe(1);
    expect(kernel.pwrite(fd, Uint8Array.of(2, 0), PCI_COMMAND)).toBe(2);
    const command = new Uint8Array(2);
    kernel.pread(fd, command, PCI_COMMAND);
    expect([...command]).toEqual([2, 0]);
    expect([kernel.pread(fd, new Uint8Array(8), 252), kernel.pread(fd, new Uint8Array(1), 256)]).toEqual([4, 0]);
    kernel.close(fd);
  });

  it('is written by root alone, and files that are only text are not opened', () => {
    const { kernel } = new Machine({ user: 1000, devices: [{ model: new Edu() }] });
    expect(kernel.open(path, O_RDWR)).toBe(EACCES);
    expect(kernel.close(kernel.open(path, O_RDONLY))).toBe(0);
    expect(kernel.open('/sys/bus/pci/devices/0000:00:03.0/vendor', O_RDONLY)).toBe(EACCES);
  });
});

it('reset_method names the ways there are, and is not there without any', () => {
  const { files } = new Machine({
    devices: [{ model: new Edu() }, { model: new Nvme() }, { model: new E1000e(), address: '0000:01:00.0' }],
  }).kernel;
  const methods = (address: string): string | number => {
    const bytes = files.readFile(`/sys/bus/pci/devices/${address}/reset_method`);
    return typeof bytes === 'number' ? bytes : new TextDecoder().decode(bytes);
  };
  expect(['0000:00:03.0', '0000:00:04.0', '0000:01:00.0'].map(methods)).toEqual([-2, 'flr\n', 'pm bus\n']);
});
