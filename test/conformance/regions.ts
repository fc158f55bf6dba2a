/** Reads and writes of a device's regions through its fd: which widths at which offsets arrive as what. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../lib/abi/pci.js';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../lib/abi/system.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import type { Mapping } from '../../lib/kernel/kernel.js';
import { expectGolden } from '../support/golden.js';
import { answer, readAnswer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const regionSpan = 2 ** 40;
const config = 7 * regionSpan;
const lengths = [0, 1, 2, 3, 4, 5, 8, 9, 16] as const;
/** Where e1000e's power management register and flow control address are: the latter keeps what is written. */
const [powerControl, scratch] = [0xcc, 0x28];

export function regions(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let fd: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
  });
  afterEach(() => seam.closeAll());

  const open = (name: 'edu' | 'express'): void => {
    fd = seam.ready(subject[name]).device;
    if (name === 'express') return;
    // So that it is known what its registers hold: liveness, and the factorial, which in 32 bits is 0 of 34.
    write(4, 0x78, 0x56, 0x34, 0x12);
    write(0x20, 0, 0, 0, 0);
    write(8, 34, 0, 0, 0);
    expect(computed()).toBe(true);
  };
  const read = (offset: number, length: number): string => readAnswer(subject.kernel, fd, offset, length);
  const write = (offset: number, ...bytes: number[]): string => answer(subject.kernel.pwrite(fd, Uint8Array.from(bytes), offset));
  const computed = (): boolean => {
    for (let looks = 0; looks < 100_000; looks += 1) if (read(0x20, 4).startsWith('4:00')) return true;
    return false;
  };
  const command = (): number => parseInt(read(config + PCI_COMMAND, 1).slice(2), 16);
  const setCommand = (value: number): void => {
    expect(write(config + PCI_COMMAND, value)).toBe('1');
  };
  const sizeOf = (index: number): number => {
    const info = vfio_region_info.create();
    Object.assign(info, { argsz: vfio_region_info.size, index });
    return subject.kernel.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO.number, info.bytes) < 0 ? 0 : Number(info.size);
  };

  it.each(['edu', 'express'] as const)('of %s take accesses of any length at any offset as recorded', (name) => {
    open(name);
    const lines: string[] = [];
    for (let index = 0; index <= 9; index += 1) {
      if (index === 7) continue;
      const size = sizeOf(index);
      const starts = new Map([
        ...[0, 1, 2, 3, 4, 6, 7, 8].map((at) => [String(at), at] as const),
        ...[8, 4, 3, 2, 1].map((left) => [`end - ${left}`, size - left] as const),
        ['end', size],
        ['end + 1', size + 1],
        ['2^39', 2 ** 39],
      ]);
      for (const [where, at] of starts) {
        if (at < 0) continue;
        const results = lengths.map((length) => {
          // A ROM's contents are whoever's made it; what a device's register holds now is not the kernel's business.
          const [count, contents = ''] = read(index * regionSpan + at, length).split(':');
          const known = index !== 6 && !(name === 'express' && index < 3);
          return known && contents !== '' ? `${count}:${contents}` : count;
        });
        lines.push(`region ${index} at ${where}: ${results.join(' ')}`);
      }
    }
    expectGolden(variant, subject, `regions-read-${name}`, lines);
  });

  it('of edu take writes of any length at any offset as recorded', () => {
    open('edu');
    const lines: string[] = [];
    for (let index = 0; index <= 9; index += 1) {
      if (index === 7) continue;
      const size = sizeOf(index);
      for (const at of [4, 5, 6, 0x80, size - 4, size - 1, size, size + 4, 2 ** 39]) {
        if (at < 0) continue;
        const results = lengths.map((length) => {
          const result = write(index * regionSpan + at, ...Array<number>(length).fill(0x11));
          return `${result}${at < 16 && index === 0 ? `:${read(4, 4).slice(2)}` : ''}`;
        });
        lines.push(`region ${index} at ${at === 2 ** 39 ? '2^39' : at}: ${results.join(' ')}`);
      }
    }
    expectGolden(variant, subject, 'regions-write-edu', lines);
  });

  describe('of PCI Express functions', () => {
    beforeEach(() => open('express'));

    it('answer EIO while memory is not decoded, but for the MSI-X table and ports', () => {
      const table = 3 * regionSpan;
      const ports = 2 * regionSpan;
      setCommand(command() & ~PCI_COMMAND_MEMORY);
      // In the ROM the kernel looks for an image first, and finds none.
      expect([read(0, 4), write(scratch, 1, 2, 3, 4), read(6 * regionSpan, 4)]).toEqual(['EIO', 'EIO', 'ENOMEM']);
      expect([read(table, 8), read(table + 76, 8), read(table + 80, 4)]).toEqual(['8:ffffffffffffffff', 'EIO', 'EIO']);
      expect(read(ports, 4).slice(0, 2)).toBe('4:');
      setCommand(command() & ~PCI_COMMAND_IO);
      expect([read(ports, 4), write(ports, 0, 0, 0, 0)]).toEqual(['4:ffffffff', '4']);
      setCommand(command() | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
      expect([read(0, 4).slice(0, 2), read(ports, 4)]).toEqual(['4:', '4:00000000']);
    });

    it('answer EIO in D3hot, and a mapping faults; configuration space answers', () => {
      const bar = subject.kernel.mmap(fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0) as Mapping;
      expect(write(scratch, 0x55, 0, 0, 0)).toBe('4');
      expect(bar.mmio.read32(scratch)).toBe(0x55);
      expect(write(config + powerControl, 3, 0)).toBe('2');
      expect(read(config + powerControl, 2)).toBe('2:0300');
      expect([read(scratch, 4), write(scratch, 1, 0, 0, 0), read(3 * regionSpan + 4096, 4)]).toEqual(['EIO', 'EIO', 'EIO']);
      const fault: unknown = expect.objectContaining({ code: 'ERR_VFIO_BUS_FAULT' });
      expect(() => bar.mmio.read32(scratch)).toThrow(fault);
      expect(() => bar.mmio.write32(scratch, 1)).toThrow(fault);
      expect(read(config, 4)).toBe('4:8680d310');
      expect(write(config + powerControl, 0, 0)).toBe('2');
      expect([read(scratch, 4), bar.mmio.read32(scratch)]).toEqual(['4:55000000', 0x55]);
      bar.unmap();
    });

    it('have no MSI and no MSI-X to give while they sleep', () => {
      const eventfd = seam.eventfd();
      const enable = (index: number, ...data: number[]): string => seam.setIrqs(fd, { index, flags: 0x24, data });
      expect(write(config + powerControl, 3)).toBe('1');
      expect([enable(1, eventfd), enable(2, eventfd), enable(1), enable(2)]).toEqual(['EINVAL', 'EINVAL', 'EINVAL', 'ERANGE']);
      expect(write(config + powerControl, 0)).toBe('1');
      expect([enable(1), enable(2), enable(2, eventfd)]).toEqual(['ERANGE', 'ERANGE', '0']);
    });

    it('come back from D3hot with the command register as it was', () => {
      setCommand(command() | PCI_COMMAND_MASTER);
      const before = command();
      expect(write(config + powerControl, 3)).toBe('1');
      expect(write(config + powerControl, 0)).toBe('1');
      expect(command()).toBe(before);
    });

    it('wake for a reset of the function', () => {
      expect(write(config + powerControl, 3)).toBe('1');
      expect(read(scratch, 4)).toBe('EIO');
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('0');
      expect(read(config + powerControl, 1)).toBe('1:00');
      expect(read(scratch, 4).slice(0, 2)).toBe('4:');
    });

    it('have states between that this device lacks: asked for, they change nothing', () => {
      for (const state of [1, 2]) {
        expect(write(config + powerControl, state)).toBe('1');
        expect(read(config + powerControl, 1)).toBe('1:00');
        expect(read(scratch, 4).slice(0, 2)).toBe('4:');
      }
    });

    it('keep the MSI-X table for the kernel, which masks each vector; a mapping reaches it', () => {
      const table = subject.kernel.mmap(fd, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, 3 * regionSpan) as Mapping;
      expect([0, 1, 2, 3, 4].map((vector) => table.mmio.read32(16 * vector + 12))).toEqual([1, 1, 1, 1, 1]);
      table.mmio.write32(8, 0x1234);
      expect(table.mmio.read32(8)).toBe(0x1234);
      expect(read(3 * regionSpan + 8, 4)).toBe('4:ffffffff');
      table.unmap();
    });
  });

  it('of a ROM are read only, and end with its BAR', () => {
    open('express');
    const rom = 6 * regionSpan;
    const size = sizeOf(6);
    expect([size, read(rom, 2), write(rom, 0x55)]).toEqual([0x4_0000, '2:55aa', 'EINVAL']);
    expect([read(rom + size - 4, 8), read(rom + size, 1)]).toEqual(['4:ffffffff', 'EINVAL']);
    // The bit that turns it on is the driver's copy: the kernel turns it on for each read.
    expect(write(config + 0x30, 0)).toBe('1');
    expect(read(rom, 2)).toBe('2:55aa');
  });
}
