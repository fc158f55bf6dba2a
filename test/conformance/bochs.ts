/** mbochs, a mediated display that gives its picture out as a dma-buf. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_DEVICE_GET_GFX_DMABUF, VFIO_DEVICE_QUERY_GFX_PLANE, vfio_device_gfx_plane_info } from '../../lib/abi/vfio/gfx.js';
import { VFIO_DEVICE_SET_IRQS } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { expectGolden } from '../support/golden.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

const registers = 4096;
const edid = 8192;
const memory = 12288;
const size = 4 * 2 ** 20;
const [DMABUF, REGION] = [2, 4];
const primary = 1;

export function bochs(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let devices: MediatedDevices;
  let place: Place;
  let fd: number;
  const opened: Mapping[] = [];

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    devices = new MediatedDevices(subject.kernel);
    place = devices.make('mbochs-small');
    fd = seam.ready(place).device;
  });
  afterEach(() => {
    for (const mapping of opened.splice(0)) mapping.unmap();
    seam.closeAll();
    devices.removeAll();
  });

  const read = (offset: number, length = 4): string => {
    const bytes = new Uint8Array(length);
    const result = subject.kernel.pread(fd, bytes, offset);
    return result === length ? Buffer.from(bytes).toString('hex') : answer(result);
  };
  const write = (offset: number, hex: string): string => answer(subject.kernel.pwrite(fd, new Uint8Array(Buffer.from(hex, 'hex')), offset));
  const dispi = (index: number, value: number): void => {
    const bytes = new Uint8Array(Uint16Array.of(value).buffer);
    expect(subject.kernel.pwrite(fd, bytes, registers + 0x500 + 2 * index)).toBe(2);
  };
  const show = (width: number, height: number, yOffset = 0, xOffset = 0): void => {
    for (const [index, value] of [
      [1, width],
      [2, height],
      [3, 32],
      [8, xOffset],
      [9, yOffset],
      [4, 1],
    ] as const)
      dispi(index, value);
  };
  const query = (flags = DMABUF, type = primary): string => {
    const plane = vfio_device_gfx_plane_info.create();
    plane.bytes.fill(0x5a);
    Object.assign(plane, { argsz: vfio_device_gfx_plane_info.size, flags, drm_plane_type: type });
    const result = answer(subject.kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE.number, plane.bytes));
    if (result !== '0') return result;
    if (plane.width === 0x5a5a5a5a) return 'untouched';
    const { drm_format: format, width, height, stride, size: bytes, dmabuf_id: id } = plane;
    return `${format.toString(16)} ${width}x${height} stride ${stride} size ${bytes} id ${id}`;
  };
  const give = (id: number): number =>
    subject.kernel.ioctl(fd, VFIO_DEVICE_GET_GFX_DMABUF.number, new Uint8Array(Uint32Array.of(id).buffer));
  const map = (file: number, length: number, offset: number, flags = 1): Mapping | string => {
    const mapping = subject.kernel.mmap(file, length, 3, flags, offset);
    if (typeof mapping === 'number') return answer(mapping);
    opened.push(mapping);
    return mapping;
  };

  it('GET_REGION_INFO of the monitor region answers as recorded, whatever the room', () => {
    const lines: string[] = [];
    for (const index of [0, 2, 7, 9, 10]) {
      for (const argsz of [0, 31, 32, 40, 47, 48, 49, 64]) {
        const info = vfio_region_info.create(64);
        info.bytes.fill(0x5a);
        Object.assign(info, { argsz, index });
        const result = answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO.number, info.bytes));
        // Of other regions some kernels give more than they say, and what that is nobody knows.
        lines.push(
          `region ${index} argsz ${argsz}: ${result} ${Buffer.from(info.bytes.subarray(0, index === 9 ? 64 : 32)).toString('hex')}`,
        );
      }
    }
    expectGolden(variant, subject, 'mediated-edid-region', lines);
  });

  it('the monitor is what the user says it is', () => {
    expect(Array.from({ length: 6 }, (_, index) => read(edid + 4 * index))).toEqual([
      '00080000',
      '00040000',
      '00000000',
      '20030000',
      '58020000',
      '00000000',
    ]);
    expect(write(edid + 2048, '00ffffffffffff00')).toBe('8');
    expect(read(edid + 2048, 8)).toBe('00ffffffffffff00');
    for (const offset of [0, 4, 12, 16]) expect(write(edid + offset, 'ffffffff')).toBe('4');
    expect(read(edid + 4)).toBe('00040000');
    expect(read(registers, 8)).toBe('0000000000000000');
    expect([write(edid + 8, '08000000'), write(edid + 20, '01000000')]).toEqual(['4', '4']);
    expect([read(edid + 8), read(edid + 20)]).toEqual(['08000000', '01000000']);
    expect(read(registers, 12)).toBe('00ffffffffffff0000000000');
    write(edid + 20, '02000000');
    expect(read(registers, 8)).toBe('0000000000000000');
  });

  it('the monitor is told whole words, and nothing behind its EDID', () => {
    expect([write(edid + 8, '0800'), read(edid + 8)]).toEqual(['2', '00000000']);
    expect([write(edid + 24, 'ffffffff'), write(edid + 2048 + 1024, 'ffffffff')]).toEqual(['4', '4']);
  });

  it('registers are 16 bits wide, and RESET gives them back', () => {
    expect([read(registers + 0x500, 2), read(registers + 0x514, 2), read(registers + 0x508, 2)]).toEqual(['c5b0', '4000', '0000']);
    dispi(1, 640);
    expect(read(registers + 0x502, 2)).toBe('8002');
    expect(read(registers + 0x500, 4)).toBe('00000000');
    expect(write(registers + 0x504, '11223344')).toBe('4');
    expect(read(registers + 0x504, 2)).toBe('0000');
    expect([read(registers + 0x400), read(registers + 0x600), read(registers + 0xffc)]).toEqual(['00000000', '00000000', '00000000']);
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('0');
    expect(read(registers + 0x502, 2)).toBe('0000');
  });

  it('an access to registers is made of the widest pieces that begin at a multiple of their width', () => {
    expect([write(registers + 0x502, '80021e00'), read(registers + 0x502, 2), read(registers + 0x504, 2)]).toEqual(['4', '8002', '1e00']);
    expect([write(registers + 0x504, '2c0155'), read(registers + 0x504, 2), read(registers + 0x506, 2)]).toEqual(['3', '2c01', '0000']);
  });

  describe('QUERY_GFX_PLANE', () => {
    const nothing = '0 0x0 stride 0 size 0 id 0';

    it('knows dma-bufs, and no regions', () => {
      expect([DMABUF | 1, REGION | 1, DMABUF | REGION | 1, 1, 0, REGION, DMABUF | REGION, DMABUF | 8].map((flags) => query(flags))).toEqual(
        ['untouched', ...Array<string>(7).fill('EINVAL')],
      );
    });

    it('looks at pointer and size first', () => {
      const ask = (argsz: number): string => {
        const plane = Object.assign(vfio_device_gfx_plane_info.create(), { argsz, flags: DMABUF });
        return answer(subject.kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE.number, plane.bytes));
      };
      const { minimum } = VFIO_DEVICE_QUERY_GFX_PLANE;
      expect([ask(minimum - 1), ask(minimum)]).toEqual(['EINVAL', '0']);
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE.number))).toBe('EFAULT');
    });

    it('shows nothing while there is no picture, or for another plane', () => {
      expect(query()).toBe(nothing);
      show(640, 480);
      expect([query(DMABUF, 0), query(DMABUF, 2)]).toEqual([nothing, nothing]);
      for (const [width, height] of [
        [63, 480],
        [640, 63],
        [2048, 1024],
      ] as const) {
        show(width, height);
        expect(query()).toBe(nothing);
      }
      show(1024, 1024, 1);
      expect(query()).toBe(nothing);
      show(640, 480);
      dispi(3, 24);
      expect(query()).toBe(nothing);
    });

    it('knows none while the display is off', () => {
      show(640, 480);
      dispi(4, 0);
      expect(query()).toBe(nothing);
    });

    it('says ENOMEM once for each picture that is new', () => {
      show(640, 480);
      expect(query()).toBe('ENOMEM');
      expect(query()).toBe('34325258 640x480 stride 2560 size 1228800 id 1');
      dispi(6, 1024);
      expect([query(), query()]).toEqual(['ENOMEM', '34325258 640x480 stride 4096 size 1966080 id 2']);
      dispi(6, 0);
      expect(query()).toBe('34325258 640x480 stride 2560 size 1228800 id 1');
    });
  });

  it('tells pictures apart by width, height and place', () => {
    dispi(6, 1024);
    const pictures = [
      [640, 480, 0],
      [800, 480, 0],
      [640, 400, 0],
      [640, 480, 1],
    ] as const;
    const seen = (): string[] =>
      pictures.map(([width, height, row]) => {
        show(width, height, row);
        return query();
      });
    expect(seen()).toEqual(Array(4).fill('ENOMEM'));
    expect(seen()).toEqual([
      '34325258 640x480 stride 4096 size 1966080 id 1',
      '34325258 800x480 stride 4096 size 1966080 id 2',
      '34325258 640x400 stride 4096 size 1638400 id 3',
      '34325258 640x480 stride 4096 size 1966080 id 4',
    ]);
  });

  describe('GET_GFX_DMABUF', () => {
    it('gives a file for other devices, which this process can neither read nor map', () => {
      show(640, 480, 8);
      query();
      const file = give(1);
      expect(file).toBeGreaterThanOrEqual(0);
      const { kernel } = subject;
      const refusals = [
        kernel.mmap(file, 4096, 3, 1, 0),
        kernel.mmap(file, 4096, 1, 1, 0),
        kernel.mmap(file, 4096, 1, 2, 0),
        kernel.mmap(file, 4096, 1, 1, 1228800),
        kernel.read(file, new Uint8Array(4)),
      ].map((result) => answer(result as number));
      // Before anything is expected: the real driver does not survive a dma-buf that outlasts its device.
      kernel.close(file);
      expect(refusals).toEqual(['EACCES', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']);
    });

    it('gives none to be mapped for this process alone, not even to be written', () => {
      show(640, 480, 8);
      query();
      const file = give(1);
      const refusal = subject.kernel.mmap(file, 4096, 3, 2, 0);
      subject.kernel.close(file);
      expect(answer(refusal as number)).toBe('EINVAL');
    });

    it('knows the pictures that were asked for, if they begin at a page', () => {
      expect([0, 1, 0xffff_ffff].map((id) => answer(give(id)))).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_GFX_DMABUF.number))).toBe('EFAULT');
      show(640, 480, 0, 16);
      query();
      expect(answer(give(1))).toBe('EINVAL');
    });

    it('closing the device forgets them, and the memory', () => {
      show(640, 480);
      query();
      (map(fd, 4096, memory) as Mapping).mmio.write32(0, 9);
      for (const mapping of opened.splice(0)) mapping.unmap();
      seam.closeAll();
      fd = seam.ready(place).device;
      expect(answer(give(1))).toBe('ENOENT');
      expect((map(fd, 4096, memory) as Mapping).mmio.read32(0)).toBe(0);
      expect([query(), query()]).toEqual(['ENOMEM', '34325258 640x480 stride 2560 size 1228800 id 2']);
    });
  });

  it('read and write of video memory are two pages off', () => {
    const { mmio } = map(fd, size, memory) as Mapping;
    expect(write(memory, '01020304')).toBe('4');
    expect([mmio.read32(0), mmio.read32(8192)]).toEqual([0, 0x0403_0201]);
    mmio.write32(8196, 0x0807_0605);
    expect(read(memory, 8)).toBe('0102030405060708');
    expect([read(255, 1), read(memory + size, 1), read(4095, 1)]).toEqual(['EFAULT', 'EFAULT', 'EFAULT']);
    expect([map(fd, 4096, 0), map(fd, 4096, memory, 2), map(fd, size + 1, memory)]).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
  });

  it('configuration space takes two BARs', () => {
    for (const offset of [0x10, 0x14, 0x18, 0x1c]) expect(write(offset, 'ffffffff')).toBe('4');
    expect([0x10, 0x14, 0x18, 0x1c].map((offset) => read(offset))).toEqual(['0800c0ff', '00000000', '00f0ffff', '00000000']);
  });

  it('configuration space takes nothing beside the BARs', () => {
    for (const offset of [0x00, 0x14, 0x3c]) expect(write(offset, '78563412')).toBe('4');
    expect([0x00, 0x14, 0x3c].map((offset) => read(offset))).toEqual(['34121111', '00000000', '00000000']);
  });

  it('has no interrupts to set', () => {
    expect(seam.setIrqs(fd, { index: 0, flags: 33 })).toBe('EINVAL');
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_SET_IRQS.number))).toBe('EINVAL');
  });
}
