/** The picture of mdpy, a mediated display. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_DEVICE_QUERY_GFX_PLANE, vfio_device_gfx_plane_info } from '../../lib/abi/vfio/gfx.js';
import { VFIO_DEVICE_SET_IRQS } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { expectGolden } from '../support/golden.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const memory = 4096;
const stride = 640 * 4;
const size = 2 ** 21;

export function display(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let devices: MediatedDevices;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    devices = new MediatedDevices(subject.kernel);
  });
  afterEach(() => {
    seam.closeAll();
    devices.removeAll();
  });

  it('QUERY_GFX_PLANE answers as recorded, for every combination of flags', () => {
    const lines: string[] = [];
    for (const type of ['mdpy-vga', 'mdpy-xga', 'mdpy-hd']) {
      const { device } = seam.ready(devices.make(type));
      for (let flags = 0; flags < 16; flags += 1) {
        const plane = vfio_device_gfx_plane_info.create();
        plane.bytes.fill(0x5a);
        Object.assign(plane, { argsz: vfio_device_gfx_plane_info.size, flags });
        const result = answer(subject.kernel.ioctl(device, VFIO_DEVICE_QUERY_GFX_PLANE.number, plane.bytes));
        lines.push(`${type} flags ${flags}: ${result} ${Buffer.from(plane.bytes).toString('hex')}`);
      }
      seam.closeAll();
    }
    expectGolden(variant, subject, 'mediated-plane', lines);
  });

  describe('of 640 by 480', () => {
    let fd: number;
    const opened: Mapping[] = [];
    beforeEach(() => {
      fd = seam.ready(devices.make('mdpy-vga')).device;
    });
    afterEach(() => {
      for (const mapping of opened.splice(0)) mapping.unmap();
    });

    const map = (length = size, offset = memory, flags = 1): Mapping => {
      const mapping = subject.kernel.mmap(fd, length, 3, flags, offset);
      if (typeof mapping === 'number') throw new Error(answer(mapping));
      opened.push(mapping);
      return mapping;
    };
    const refusal = (length: number, offset: number, flags = 1): string => {
      const mapping = subject.kernel.mmap(fd, length, 3, flags, offset);
      if (typeof mapping === 'number') return answer(mapping);
      mapping.unmap();
      return 'mapped';
    };
    const transfer = (offset: number, bytes: Uint8Array, write = false): string =>
      answer(subject.kernel[write ? 'pwrite' : 'pread'](fd, bytes, offset));

    it('QUERY_GFX_PLANE wants room up to the region, no more, and a pointer', () => {
      const ask = (argsz: number): string => {
        const plane = vfio_device_gfx_plane_info.create();
        Object.assign(plane, { argsz, flags: 4 });
        return answer(subject.kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE.number, plane.bytes));
      };
      const { minimum } = VFIO_DEVICE_QUERY_GFX_PLANE;
      expect([minimum - 1, minimum, vfio_device_gfx_plane_info.size].map(ask)).toEqual(['EINVAL', '0', '0']);
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE.number))).toBe('EFAULT');
    });

    it('the picture is a gradient from black, row by row', () => {
      const { mmio } = map();
      expect([0, 1, 2, 100, 240, 479].map((row) => mmio.read32(row * stride + 4).toString(16))).toEqual(
        [0, 0, 0x01010101, 0x35353535, 0x7f7f7f7f, 0xfefefefe].map((value) => value.toString(16)),
      );
      expect(mmio.read32(480 * stride)).toBe(0);
    });

    it('what one mapping writes another reads, until RESET paints anew', () => {
      const [one, two] = [map(), map(8192)];
      one.mmio.write32(4096, 0x00ff_8800);
      expect(two.mmio.read32(4096)).toBe(0x00ff_8800);
      one.mmio.write32(480 * stride, 7);
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('0');
      expect(two.mmio.read32(4096)).toBe(0);
      expect(one.mmio.read32(480 * stride)).toBe(7);
    });

    it('maps from its start, shared, and within its size', () => {
      expect(refusal(size, memory)).toBe('mapped');
      expect(refusal(1, memory)).toBe('mapped');
      expect(refusal(size + 1, memory)).toBe('EINVAL');
      expect(refusal(4096, 0)).toBe('EINVAL');
      expect(refusal(4096, 2 * memory)).toBe('EINVAL');
      expect(refusal(4096, memory, 2)).toBe('EINVAL');
      expect(refusal(4096, 16 * 2 ** 40)).toBe('EINVAL');
    });

    it('a mapping keeps the device', () => {
      const mapping = map();
      seam.closeAll();
      mapping.mmio.write32(0, 9);
      expect(mapping.mmio.read32(0)).toBe(9);
    });

    it('read and write reach its start wherever they aim, four bytes at a time', () => {
      const { mmio } = map();
      mmio.write32(0, 0x4433_2211);
      const bytes = new Uint8Array(10);
      expect(transfer(memory + 400, bytes)).toBe('10');
      expect([...bytes]).toEqual([0x11, 0x22, 0x33, 0x44, 0x11, 0x22, 0x33, 0x44, 0x11, 0x22]);
      expect(transfer(memory + 1000, Uint8Array.of(9, 8), true)).toBe('2');
      expect([mmio.read32(0), mmio.read32(1000)]).toEqual([0x4433_0809, 0]);
    });

    it('read and write outside of config space and frame buffer are EFAULT', () => {
      for (const [offset, length] of [
        [255, 1],
        [256, 4],
        [memory - 1, 1],
        [memory + size, 1],
        [memory + size - 4, 8],
      ] as const)
        for (const write of [false, true])
          expect([offset, length, transfer(offset, new Uint8Array(length), write)]).toEqual([offset, length, 'EFAULT']);
    });

    it('configuration space takes its BAR', () => {
      const write32 = (offset: number, value: number): string => transfer(offset, new Uint8Array(Uint32Array.of(value).buffer), true);
      const read32 = (offset: number): string => {
        const bytes = new Uint8Array(4);
        transfer(offset, bytes);
        return (new Uint32Array(bytes.buffer)[0] ?? 0).toString(16);
      };
      for (const offset of [0, 4, 0x10, 0x14, 0x3c, 0x48]) expect(write32(offset, 0xffff_ffff)).toBe('4');
      expect([0, 4, 0x10, 0x14, 0x3c, 0x48].map(read32)).toEqual(['f1b36', '100003', 'ffe00008', '0', '0', '280']);
      write32(0x10, 0xfe12_3456);
      expect(read32(0x10)).toBe('fe123458');
    });

    it('has no interrupts to set', () => {
      expect(seam.setIrqs(fd, { index: 0, flags: 33 })).toBe('EINVAL');
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_SET_IRQS.number))).toBe('EINVAL');
    });
  });
}
