/** A device: its information, its regions, its interrupts' information. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../lib/abi/pci.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import { VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { expectGolden } from '../support/golden.js';
import { answer, Seam } from '../support/seam.js';
import { byContainer, hasNodes, type Subject, type Variant } from '../support/subject.js';

const regionSpan = 2 ** 40;
const config = 7 * regionSpan;
const bar0Size = 1 << 20;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;

export function device(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let fd: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    fd = seam.ready(subject.edu).device;
  });
  afterEach(() => seam.closeAll());

  const read = (offset: number, length: number): string => {
    const bytes = new Uint8Array(length).fill(0xee);
    const result = answer(subject.kernel.pread(fd, bytes, offset));
    return /^\d/.test(result) ? `${result}: ${Buffer.from(bytes.subarray(0, Number(result))).toString('hex')}` : result;
  };
  const write = (offset: number, hex: string): string => answer(subject.kernel.pwrite(fd, new Uint8Array(Buffer.from(hex, 'hex')), offset));
  const setCommand = (bits: number, on: boolean): void => {
    const bytes = new Uint8Array(2);
    subject.kernel.pread(fd, bytes, config + PCI_COMMAND);
    const view = new DataView(bytes.buffer);
    const command = view.getUint16(0, true);
    view.setUint16(0, on ? command | bits : command & ~bits, true);
    subject.kernel.pwrite(fd, bytes, config + PCI_COMMAND);
  };

  describe('information', () => {
    it('of the device, its regions and its interrupts is as recorded, past the last index included', () => {
      const lines: string[] = [];
      const info = vfio_device_info.create();
      info.argsz = vfio_device_info.size;
      lines.push(
        `device: ${answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_INFO.number, info.bytes))} flags ${info.flags} regions ${info.num_regions} irqs ${info.num_irqs} argsz ${info.argsz}`,
      );
      for (const index of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x7fff_ffff, 0xffff_ffff]) {
        const region = vfio_region_info.create();
        region.argsz = vfio_region_info.size;
        region.index = index;
        const result = answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO.number, region.bytes));
        lines.push(
          `region ${index}: ${result}${result === '0' ? ` flags ${region.flags} size 0x${region.size.toString(16)} offset 0x${region.offset.toString(16)}` : ''}`,
        );
      }
      for (const index of [0, 1, 2, 3, 4, 5, 6, 0x7fff_ffff, 0xffff_ffff]) {
        const irq = vfio_irq_info.create();
        irq.argsz = vfio_irq_info.size;
        irq.index = index;
        const result = answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_IRQ_INFO.number, irq.bytes));
        lines.push(`irq ${index}: ${result}${result === '0' ? ` flags ${irq.flags} count ${irq.count}` : ''}`);
      }
      expectGolden(variant, subject, 'device-info', lines);
    });

    it('RESET of a device without a reset of its own is EINVAL', () => {
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('EINVAL');
    });
  });

  describe('configuration space', () => {
    it('is as recorded, but for where the BARs are', () => {
      const bytes = new Uint8Array(256);
      expect(subject.kernel.pread(fd, bytes, config)).toBe(256);
      bytes.fill(0, 0x10, 0x28); // the BARs: firmware puts them where it likes
      bytes.fill(0, 0x3c, 0x3d); // the interrupt line: likewise
      expectGolden(variant, subject, 'config-space', Buffer.from(bytes).toString('hex').match(/.{32}/g) ?? []);
    });

    it('past its end is EFAULT, even when it begins inside', () => {
      expect(read(config + 256, 1)).toBe('EFAULT');
      expect(read(config + 252, 8)).toBe('EFAULT');
      expect(write(config + 256, '00')).toBe('EFAULT');
    });

    it('reads in any width and at any offset', () => {
      expect(read(config, 2)).toBe('2: 3412');
      expect(read(config + 1, 2)).toBe('2: 12e8');
      expect(read(config + 1, 5).slice(0, 10)).toBe('5: 12e8110');
      expect(read(config, 0)).toBe('0: ');
    });

    it('drops writes to identification and takes those to the interrupt line', () => {
      expect(write(config, 'ffffffff')).toBe('4');
      expect(read(config, 4)).toBe('4: 3412e811');
      expect(write(config + 0x3c, '5a')).toBe('1');
      expect(read(config + 0x3c, 1)).toBe('1: 5a');
    });

    it('sizes a BAR: ones written come back from the size up, flags below', () => {
      expect(write(config + 0x10, 'ffffffff')).toBe('4');
      expect(read(config + 0x10, 4)).toBe('4: 0000f0ff');
      expect(write(config + 0x14, 'ffffffff')).toBe('4');
      expect(read(config + 0x14, 4)).toBe('4: 00000000');
    });

    it('bus mastering is off at each open', () => {
      setCommand(PCI_COMMAND_MASTER, true);
      expect(Number.parseInt(read(config + PCI_COMMAND, 1).slice(3), 16) & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
      seam.closeAll();
      fd = seam.ready(subject.edu).device;
      expect(Number.parseInt(read(config + PCI_COMMAND, 1).slice(3), 16) & PCI_COMMAND_MASTER).toBe(0);
    });

    it('MSI cannot be enabled by writing its control register', () => {
      expect(write(config + 0x42, '8100')).toBe('2');
      expect(read(config + 0x42, 2)).toBe('2: 8000');
    });
  });

  describe('regions', () => {
    it('a register reads in its width; narrower and odd accesses are cut into what the bus knows', () => {
      // The register beside it gives the complement of what was last written.
      expect(write(4, 'ffffffff')).toBe('4');
      expect(read(0, 4)).toBe('4: ed000001');
      expect(read(0, 8)).toBe(hasNodes(variant) ? '8: ffffffffffffffff' : '8: ed00000100000000');
      expect(read(0, 2)).toBe('2: 0000');
      expect(read(0, 1)).toBe('1: 00');
      expect(read(4, 4).length).toBe('4: 00000000'.length);
    });

    it('a write reaches the register: liveness gives the complement', () => {
      expect(write(4, '78563412')).toBe('4');
      expect(read(4, 4)).toBe('4: 87a9cbed');
    });

    it('a transfer is cut at the end of the region, and one that begins there is EINVAL', () => {
      expect(read(bar0Size - 4, 16)).toBe('4: ffffffff');
      expect(read(bar0Size, 4)).toBe('EINVAL');
      expect(write(bar0Size, '00000000')).toBe('EINVAL');
    });

    it('regions that are not there are EINVAL', () => {
      for (const index of [1, 2, 3, 4, 5, 6, 8, 9, 100]) expect([index, read(index * regionSpan, 4)]).toEqual([index, 'EINVAL']);
    });

    it('an empty transfer is 0 wherever it is', () => {
      expect(read(0, 0)).toBe('0: ');
      expect(read(bar0Size, 0)).toBe('0: ');
      expect(read(1 * regionSpan, 0)).toBe('0: ');
    });

    it('with memory decode off, BAR transfers are EIO', () => {
      setCommand(PCI_COMMAND_MEMORY, false);
      expect(read(0, 4)).toBe('EIO');
      expect(write(4, '00000000')).toBe('EIO');
      setCommand(PCI_COMMAND_MEMORY, true);
      expect(read(0, 4)).toBe('4: ed000001');
    });
  });

  describe('mapping', () => {
    const map = (length: number, offset: number, protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED): Mapping | string => {
      const result = subject.kernel.mmap(fd, length, protection, flags, offset);
      return typeof result === 'number' ? answer(result) : result;
    };
    const mapped = (length: number, offset: number, protection?: number): Mapping => {
      const result = map(length, offset, protection);
      if (typeof result === 'string') throw new Error(result);
      return result;
    };

    it('of BAR 0 reads and writes registers, and is not memory', () => {
      const bar = mapped(bar0Size, 0);
      expect(bar.memory).toBeUndefined();
      expect(bar.mmio.read32(0)).toBe(0x0100_00ed);
      bar.mmio.write32(4, 0x1234_5678);
      expect(bar.mmio.read32(4)).toBe(0xedcb_a987);
      bar.unmap();
      bar.unmap();
      expect(() => bar.mmio.read32(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    });

    it('that is unmapped twice lets the device go once', () => {
      const bar = mapped(4096, 0);
      bar.unmap();
      bar.unmap();
      expect(read(0, 4)).toBe('4: ed000001');
    });

    it('of a part begins where the part begins', () => {
      const part = mapped(4096, 4096);
      expect(part.mmio.read32(0)).toBe(0xffff_ffff);
      part.unmap();
    });

    it('past the end, of nothing, off the page, private, or of what is no BAR is EINVAL', () => {
      expect(map(bar0Size + 4096, 0)).toBe('EINVAL');
      expect(map(4096, bar0Size)).toBe('EINVAL');
      expect(map(0, 0)).toBe('EINVAL');
      expect(map(4096, 4)).toBe('EINVAL');
      expect(map(4096, 0, PROT_READ, MAP_PRIVATE)).toBe('EINVAL');
      for (const index of [1, 6, 7, 8, 9, 100]) expect(map(4096, index * regionSpan)).toBe('EINVAL');
    });

    it('with memory decode off, an access is a bus fault, and works again when it is on', () => {
      const bar = mapped(4096, 0);
      expect(bar.mmio.read32(0)).toBe(0x0100_00ed);
      setCommand(PCI_COMMAND_MEMORY, false);
      expect(() => bar.mmio.read32(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' }));
      expect(() => bar.mmio.write32(4, 1)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' }));
      setCommand(PCI_COMMAND_MEMORY, true);
      expect(bar.mmio.read32(0)).toBe(0x0100_00ed);
      bar.unmap();
    });

    it('keeps the device open after its fd is closed', () => {
      const bar = mapped(4096, 0);
      seam.closeAll();
      expect(bar.mmio.read32(0)).toBe(0x0100_00ed);
      // Of iommufd, an open device does not hold its group. Another open of it is the same one.
      const held = seam.group(subject.edu);
      expect(held < 0 ? answer(held) : 'open').toBe(byContainer(variant)('EBUSY', 'open'));
      seam.closeAll();
      bar.unmap();
      expect(seam.group(subject.edu)).toBeGreaterThanOrEqual(0);
    });

    it('refuses a write through a mapping that is not writable', () => {
      const bar = mapped(4096, 0, PROT_READ);
      expect(bar.mmio.read32(0)).toBe(0x0100_00ed);
      expect(() => bar.mmio.write32(4, 0)).toThrow('writable');
      bar.unmap();
    });
  });
}
