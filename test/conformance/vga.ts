/** The region of displays, at addresses that no BAR places. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_MEMORY } from '../../lib/abi/pci.js';
import { MAP_SHARED, PROT_READ } from '../../lib/abi/system.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import { expectGolden } from '../support/golden.js';
import { answer, readAnswer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const regionSpan = 2 ** 40;
const [config, vga] = [7 * regionSpan, 8 * regionSpan];
const lengths = [0, 1, 2, 3, 4, 8, 9, 16, 64] as const;
/** Memory of text mode, which is as firmware leaves the display, and the ports of the register that says where the cursor is. */
const [text, index, value] = [0xb_8000, 0x3d4, 0x3d5];
const cursorLow = 0x0f;

export function displayRegion(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let fd: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    fd = seam.ready(subject.display).device;
  });
  afterEach(() => seam.closeAll());

  const read = (offset: number, length: number): string => readAnswer(subject.kernel, fd, offset, length);
  const write = (offset: number, ...bytes: number[]): string => answer(subject.kernel.pwrite(fd, Uint8Array.from(bytes), offset));

  it('ends with the memory at 0xa0000, and cannot be mapped', () => {
    const info = vfio_region_info.create();
    Object.assign(info, { argsz: vfio_region_info.size, index: 8 });
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO.number, info.bytes))).toBe('0');
    expect([info.size, info.offset, info.flags]).toEqual([0xc_0000n, BigInt(vga), 3]);
    expect(answer(subject.kernel.mmap(fd, 4096, PROT_READ, MAP_SHARED, vga + 0xa_0000) as number)).toBe('EINVAL');
  });

  it('takes accesses of any length in three ranges, each cut at its end, as recorded', () => {
    const edges = [0, 0x3af, 0x3b0, 0x3b1, 0x3bb, 0x3bc, 0x3bf, 0x3c0, 0x3dc, 0x3df, 0x3e0, 0x9_ffff];
    const lines = [...edges, 0xa_0000, 0xa_0001, 0xb_fff8, 0xb_ffff, 0xc_0000, 2 ** 39].map((at) => {
      const counts = lengths.map((length) => read(vga + at, length).split(':')[0]);
      return `${at === 2 ** 39 ? '2^39' : `0x${at.toString(16)}`}: ${counts.join(' ')}`;
    });
    expectGolden(variant, subject, 'regions-vga', lines);
  });

  it('reaches memory and ports of the display', () => {
    expect(write(vga + text, 0x41, 0x07, 0x42, 0x17, 0x43, 0x27, 0x44, 0x37, 0x45)).toBe('9');
    expect(read(vga + text, 9)).toBe('9:410742174327443745');
    expect(read(vga + text + 1, 2)).toBe('2:0742');
    expect([write(vga + index, cursorLow), write(vga + value, 0x5a), read(vga + index, 2)]).toEqual(['1', '1', '2:0f5a']);
    expect(write(vga + index, cursorLow, 0xa5)).toBe('2');
    expect([read(vga + value, 1), read(vga + index, 1)]).toEqual(['1:a5', '1:0f']);
  });

  it('is accessed whatever the command register says of memory and ports', () => {
    const command = parseInt(read(config + PCI_COMMAND, 1).slice(2), 16);
    expect(write(vga + text, 0x55)).toBe('1');
    expect(write(config + PCI_COMMAND, command & ~(PCI_COMMAND_MEMORY | PCI_COMMAND_IO))).toBe('1');
    expect([read(vga + text, 1).slice(0, 2), write(vga + text, 0x56), read(vga + index, 1).slice(0, 2)]).toEqual(['1:', '1', '1:']);
    expect(write(config + PCI_COMMAND, command)).toBe('1');
  });
}
