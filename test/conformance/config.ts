/**
 * Configuration space as vfio-pci shows it, byte by byte: what is there, what a write of each width leaves, and what it
 * changes elsewhere. The tables are goldens of the real kernels.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectGolden } from '../support/golden.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

const config = 7 * 2 ** 40;
/** Real devices are reset some times, each of which takes its time. */
const slow = 120_000;
const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

/** Where firmware and kernel put their choices: BARs, the ROM's address, the interrupt line, the virtual functions' BAR. */
const virtualBar = 0x144;
const isChoice = (name: DeviceName, at: number): boolean =>
  (at >= 0x10 && at < 0x28) || (at >= 0x30 && at < 0x34) || at === 0x3c || (name === 'lone' && at >= virtualBar && at < virtualBar + 4);

export type DeviceName = 'edu' | 'express' | 'nvme' | 'lone';

export function configurationSpace(variant: Variant, names: readonly DeviceName[]): void {
  describe.each(names)('configuration space of %s', (name) => {
    let subject: Subject;
    let seam: Seam;
    let fd: number;
    let size: number;

    const place = (): Place => subject[name];
    beforeEach(() => {
      subject = variant.make();
      seam = new Seam(subject.kernel);
      fd = seam.ready(place()).device;
      size = readBytes(256, 1) === 'EFAULT' ? 256 : 4096;
    });
    afterEach(() => seam.closeAll());

    const readBytes = (at: number, length: number): Uint8Array | string => {
      const bytes = new Uint8Array(length);
      const result = answer(subject.kernel.pread(fd, bytes, config + at));
      return result === String(length) ? bytes : result;
    };
    const bytesAt = (at: number, length: number): Uint8Array => {
      const bytes = readBytes(at, length);
      if (typeof bytes === 'string') throw new Error(`${length} bytes at ${at}: ${bytes}`);
      return bytes;
    };
    const valueAt = (at: number, width: number): bigint =>
      bytesAt(at, width).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    const write = (at: number, width: number, value: bigint): void => {
      const bytes = Uint8Array.from({ length: width }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
      expect(subject.kernel.pwrite(fd, bytes, config + at)).toBe(width);
    };

    it('is as recorded, but for addresses', () => {
      const bytes = bytesAt(0, size);
      const rows = [];
      for (let at = 0; at < size; at += 16) {
        const row = [...bytes.subarray(at, at + 16)].map((byte, index) => (isChoice(name, at + index) ? '..' : hex(byte, 2)));
        if (row.some((byte) => byte !== '00')) rows.push(`${hex(at, 3)}: ${row.join(' ')}`);
      }
      expectGolden(variant, subject, `config-${name}`, rows);
    });

    it.each([1, 2, 4])('keeps of writes of %i bytes what is recorded', { timeout: slow }, (width) => {
      const digits = 2 * width;
      const ones = (1n << BigInt(8 * width)) - 1n;
      const patterns = [ones, 0n, 0x5a5a_5a5an & ones, 0xa5a5_a5a5n & ones];
      const lines: string[] = [];
      const bytesOf = (value: bigint): number[] =>
        Array.from({ length: width }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
      const shown = (value: bigint, at: number): string =>
        bytesOf(value)
          .map((byte, index) => (isChoice(name, at + index) ? '..' : hex(byte, 2)))
          .reverse()
          .join('');
      let from = 0;
      let last = '';
      const close = (end: number): void => {
        if (last !== '') lines.push(`${hex(from, 3)}${end - from > width ? `-${hex(end - 1, 3)}` : ''}: ${last}`);
      };
      for (let at = 0; at < size; at += width) {
        const old = valueAt(at, width);
        const kept = patterns.map((pattern) => {
          write(at, width, pattern);
          const now = valueAt(at, width);
          return `${hex(pattern, digits)} ${now === old && at >= virtualBar ? shown(now, at) : hex(now, digits)}`;
        });
        write(at, width, old);
        const restored = valueAt(at, width);
        const line = [shown(old, at), ...kept, ...(restored === old ? [] : ['not restored'])].join(', ');
        if (line === last) continue;
        close(at);
        from = at;
        last = line;
      }
      close(size);
      expectGolden(variant, subject, `config-writes-${name}-${width}`, lines);
    });

    it('changes elsewhere by a write what is recorded', { timeout: slow }, () => {
      const looked = Math.min(size, 0x160);
      const lines: string[] = [];
      for (let at = 0; at < looked; at += 1) {
        const old = valueAt(at, 1);
        for (const value of [0xffn, 0n]) {
          const before = bytesAt(0, looked);
          write(at, 1, value);
          const after = bytesAt(0, looked);
          after.forEach((byte, where) => {
            if (where !== at && byte !== before[where]) lines.push(`${hex(at, 3)} = ${hex(value, 2)}: ${hex(where, 3)} is ${hex(byte, 2)}`);
          });
        }
        write(at, 1, old);
      }
      expectGolden(variant, subject, `config-effects-${name}`, lines);
    });

    it('takes accesses of any width at any offset, in parts', () => {
      const starts = [0, 1, 3, 0x0e, 0x3d, 0x3f, 0x40, 0x41, 0x43, 0x4d, 0x4e, 0xfc, 0xfd, 0xff];
      const lines = [];
      for (const at of starts)
        for (const length of [1, 2, 3, 4, 5, 8, 13, 64, 257]) {
          const bytes = readBytes(at, length);
          const whole = at + length <= size ? bytesAt(0, size).subarray(at, at + length) : undefined;
          const shown = typeof bytes === 'string' ? bytes : Buffer.from(bytes).equals(whole ?? bytes) ? 'the same' : 'others';
          lines.push(`${length} at ${hex(at, 2)}: ${shown}`);
        }
      for (const [at, length] of [
        [size - 1, 1],
        [size - 1, 2],
        [size - 2, 2],
        [size - 4, 4],
        [size - 4, 8],
        [size, 1],
        [size, 0],
        [size + 1, 1],
        [2 ** 32, 4],
        [2 ** 39, 4],
      ] as const) {
        const bytes = new Uint8Array(length);
        const results = [subject.kernel.pread(fd, bytes, config + at), subject.kernel.pwrite(fd, bytes, config + at)].map(answer);
        lines.push(`${length} at ${at < size ? `end - ${size - at}` : at === size ? 'end' : `end + ${at - size}`}: ${results.join(', ')}`);
      }
      expectGolden(variant, subject, `config-widths-${name}`, lines);
    });

    it('writes nothing of what runs over its end', () => {
      const bytes = Uint8Array.of(0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77);
      expect(answer(subject.kernel.pwrite(fd, bytes, config + size - 4))).toBe('EFAULT');
      expect(valueAt(size - 4, 4)).toBe(0n);
    });

    it('is at the next open what it was at the first, but for bytes that no capability is over', () => {
      const before = bytesAt(0, size);
      const open = (): void => {
        seam.closeAll();
        fd = seam.ready(place()).device;
      };
      for (const at of [0x0c, 0x0d, 0x10, 0x30, 0x3c, 0xfc]) write(at, 1, 0x5an);
      write(4, 2, 0n);
      const changed = [0x0c, 0x0d, 0x10, 0x30, 0x3c, 0xfc, 4].map((at) => hex(valueAt(at, 1), 2));
      open();
      const after = bytesAt(0, size);
      const kept = [...after].flatMap((byte, at) => (byte === before[at] ? [] : [`${hex(at, 3)}: ${hex(byte, 2)}`]));
      write(0xfc, 1, BigInt(before[0xfc] ?? 0));
      expectGolden(variant, subject, `config-reopened-${name}`, [changed.join(' '), ...kept]);
    });
  });
}
