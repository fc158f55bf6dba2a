/** Migration, as the VFIO core has it for all drivers, on mtty. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_DEVICE_FEATURE } from '../../lib/abi/vfio/feature.js';
import { VFIO_MIG_GET_PRECOPY_INFO, vfio_device_feature_mig_state, vfio_precopy_info } from '../../lib/abi/vfio/migration.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import { expectGolden } from '../support/golden.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Subject, Variant } from '../support/subject.js';

const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];
const states = ['ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'];
const [STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] = [1, 2, 3, 4, 5, 6, 7];
const header = 24;

export function migration(variant: Variant): void {
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

  const feature = (fd: number, flags: number, payload: Uint8Array): string => answer(seam.feature(fd, flags, payload));
  const device = (type = 'mtty-1'): number => seam.ready(devices.make(type)).device;
  const setState = (fd: number, state: number): { result: string; file: number } => {
    const payload = vfio_device_feature_mig_state.create();
    Object.assign(payload, { device_state: state, data_fd: 77 });
    const result = feature(fd, SET | 2, payload.bytes);
    expect(payload.device_state).toBe(state);
    return { result, file: payload.data_fd };
  };
  const state = (fd: number): string => {
    const payload = vfio_device_feature_mig_state.create();
    payload.data_fd = 77;
    expect(feature(fd, GET | 2, payload.bytes)).toBe('0');
    expect(payload.data_fd).toBe(-1);
    return states[payload.device_state] ?? String(payload.device_state);
  };
  const reset = (fd: number): void => expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('0');
  const drain = (file: number, piece = 64): Uint8Array => {
    const parts: Uint8Array[] = [];
    for (;;) {
      const bytes = new Uint8Array(piece);
      const count = subject.kernel.read(file, bytes);
      if (count <= 0) break;
      parts.push(bytes.subarray(0, count));
    }
    return new Uint8Array(Buffer.concat(parts));
  };
  const streamOf = (fd: number): Uint8Array => {
    const { file } = setState(fd, STOP_COPY);
    const bytes = drain(file);
    subject.kernel.close(file);
    setState(fd, RUNNING);
    return bytes;
  };
  const write = (file: number, bytes: Uint8Array): string => answer(subject.kernel.write(file, bytes));
  const bar0 = (fd: number, register: number, value?: number): number => {
    const byte = Uint8Array.of(value ?? 0);
    if (value === undefined) subject.kernel.pread(fd, byte, register);
    else subject.kernel.pwrite(fd, byte, register);
    return byte[0] ?? 0;
  };
  const precopyInfo = (file: number, flags = 0, argsz = vfio_precopy_info.size): string => {
    const info = vfio_precopy_info.create();
    Object.assign(info, { argsz, flags, initial_bytes: 7n, dirty_bytes: 8n });
    const result = answer(subject.kernel.ioctl(file, VFIO_MIG_GET_PRECOPY_INFO.number, info.bytes));
    return result === '0' ? `flags ${info.flags} initial ${info.initial_bytes} dirty ${info.dirty_bytes}` : result;
  };

  it('PROBE, GET and SET of features 0 to 15 answer as recorded', () => {
    const operations = [0, GET, SET, GET | SET, PROBE, PROBE | GET, PROBE | SET, PROBE | GET | SET, (1 << 19) | GET];
    const lines = ['columns: none, GET, SET, both, PROBE, PROBE GET, PROBE SET, PROBE both, an unknown flag; payloads: 0, 8, 24, 32 bytes'];
    for (const type of ['mtty-1', 'mdpy-vga']) {
      const fd = device(type);
      for (let number = 0; number <= 15; number += 1) {
        for (const room of [0, 8, 24, 32])
          lines.push(
            `${type} ${number}, ${room}: ${operations.map((flags) => feature(fd, flags | number, new Uint8Array(room))).join(' ')}`,
          );
      }
      seam.closeAll();
    }
    // Of vfio-pci, what the core answers for it.
    const { device: edu } = seam.ready(subject.edu);
    for (const number of [1, 2, 6, 7, 8, 9, 12])
      lines.push(`edu ${number}: ${operations.map((flags) => feature(edu, flags | number, new Uint8Array(32))).join(' ')}`);
    expectGolden(variant, subject, 'mediated-features', lines);
  });

  it('a feature wants room for its header, and a pointer', () => {
    const fd = device();
    const bytes = new Uint8Array(16);
    bytes[0] = 7;
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_FEATURE.number, bytes))).toBe('EINVAL');
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_FEATURE.number))).toBe('EFAULT');
  });

  it('MIGRATION says all there is, and MIG_DATA_SIZE what each card has', () => {
    for (const [type, size] of [
      ['mtty-1', 60],
      ['mtty-2', 96],
    ] as const) {
      const fd = device(type);
      const payload = new BigUint64Array(1);
      expect(feature(fd, GET | 1, new Uint8Array(payload.buffer))).toBe('0');
      expect(payload[0]).toBe(7n);
      expect(feature(fd, GET | 9, new Uint8Array(payload.buffer))).toBe('0');
      expect(payload[0]).toBe(BigInt(size));
    }
  });

  describe('states', () => {
    it('every pair of states answers as recorded', () => {
      const fd = device();
      const stream = streamOf(fd);
      const lines: string[] = [];
      const starts = [STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P].flatMap((from) =>
        from === RESUMING
          ? [
              { from, whole: false },
              { from, whole: true },
            ]
          : [{ from, whole: false }],
      );
      for (const { from, whole } of starts) {
        for (const to of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xffff_ffff]) {
          reset(fd);
          expect(state(fd)).toBe('RUNNING');
          const start = setState(fd, from);
          expect(start.result).toBe('0');
          if (whole) expect(write(start.file, stream)).toBe('60');
          const { result, file } = setState(fd, to);
          lines.push(
            `${states[from]}${whole ? ' with a whole stream' : ''} -> ${states[to] ?? to}: ${result}, ${file === -1 ? 'no file' : 'a file'}, now ${state(fd)}`,
          );
          for (const open of [start.file, file]) if (open >= 0) expect(subject.kernel.close(open)).toBe(0);
        }
      }
      expectGolden(variant, subject, 'mediated-migration-states', lines);
    });

    it('RESET takes the device to RUNNING from each, and ends its files', () => {
      const fd = device();
      for (const from of [STOP, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P]) {
        const { file } = setState(fd, from);
        reset(fd);
        expect(state(fd)).toBe('RUNNING');
        if (file < 0) continue;
        const bytes = new Uint8Array(4);
        expect(answer(from === RESUMING ? subject.kernel.write(file, bytes) : subject.kernel.read(file, bytes))).toBe('ENODEV');
        subject.kernel.close(file);
      }
    });

    it('end, and their files with them, when the device runs on', () => {
      const fd = device();
      const { file } = setState(fd, PRE_COPY);
      setState(fd, RUNNING);
      const rest = answer(subject.kernel.read(file, new Uint8Array(4)));
      subject.kernel.close(file);
      expect(rest).toBe('ENODEV');
    });

    it('outlast who set them, and their files do not', () => {
      const place = devices.make('mtty-1');
      const { file } = setState(seam.ready(place).device, PRE_COPY);
      seam.closeAll();
      expect(answer(subject.kernel.read(file, new Uint8Array(4)))).toBe('ENODEV');
      const fd = seam.ready(place).device;
      expect(state(fd)).toBe('PRE_COPY');
      expect(precopyInfo(file)).toBe('ENODEV');
      expect(setState(fd, PRE_COPY_P2P)).toEqual({ result: '0', file: -1 });
      const next = setState(fd, STOP_COPY);
      expect(drain(next.file).byteLength).toBe(60);
      subject.kernel.close(file);
      subject.kernel.close(next.file);
    });
  });

  describe('the data file', () => {
    it('is read or written, never both, and has no positions', () => {
      const fd = device();
      const { kernel } = subject;
      const bytes = new Uint8Array(8);
      const saving = setState(fd, STOP_COPY).file;
      expect([kernel.pread(saving, bytes, 0), kernel.pwrite(saving, bytes, 0), kernel.write(saving, bytes)].map(answer)).toEqual([
        'ESPIPE',
        'ESPIPE',
        'EBADF',
      ]);
      expect(kernel.read(saving, new Uint8Array())).toBe(0);
      reset(fd);
      const resuming = setState(fd, RESUMING).file;
      expect([kernel.pread(resuming, bytes, 0), kernel.pwrite(resuming, bytes, 0), kernel.read(resuming, bytes)].map(answer)).toEqual([
        'ESPIPE',
        'ESPIPE',
        'EBADF',
      ]);
      expect(precopyInfo(resuming)).toBe('ENOTTY');
      expect(answer(kernel.ioctl(saving, 0x5401))).toBe('ENOTTY');
      kernel.close(saving);
      kernel.close(resuming);
    });

    it('may be closed early: the state goes on, and its data is gone', () => {
      const fd = device();
      subject.kernel.close(setState(fd, PRE_COPY).file);
      expect(setState(fd, STOP_COPY)).toEqual({ result: '0', file: -1 });
      expect(setState(fd, RUNNING)).toEqual({ result: '0', file: -1 });
    });

    it('says in the PRE_COPY states how much there is, and only then', () => {
      const fd = device();
      const { file } = setState(fd, PRE_COPY);
      expect(precopyInfo(file)).toBe('flags 0 initial 24 dirty 0');
      expect(subject.kernel.read(file, new Uint8Array(10))).toBe(10);
      expect(precopyInfo(file)).toBe('flags 0 initial 14 dirty 0');
      expect([precopyInfo(file, 0, 23), precopyInfo(file, 0, 0)]).toEqual(['EINVAL', 'EINVAL']);
      expect(answer(subject.kernel.ioctl(file, VFIO_MIG_GET_PRECOPY_INFO.number))).toBe('EFAULT');
      expect(setState(fd, PRE_COPY_P2P)).toEqual({ result: '0', file: -1 });
      expect(drain(file).byteLength).toBe(14);
      expect(precopyInfo(file)).toBe('flags 0 initial 0 dirty 0');
      expect(setState(fd, STOP_COPY)).toEqual({ result: '0', file: -1 });
      expect(precopyInfo(file)).toBe('EINVAL');
      expect(drain(file).byteLength).toBe(60 - header);
      expect(setState(fd, RUNNING).result).toBe('0');
      expect(precopyInfo(file)).toBe('EINVAL');
      const again = setState(fd, PRE_COPY).file;
      expect(precopyInfo(file)).toBe('ENODEV');
      subject.kernel.close(file);
      subject.kernel.close(again);
    });

    it('gives the flags of GET_PRECOPY_INFO back as they came, until told that they mean something', () => {
      const place = devices.make('mtty-1');
      const lines: string[] = [];
      const look = (when: string): void => {
        const fd = seam.ready(place).device;
        const { file } = setState(fd, PRE_COPY);
        lines.push(`${when}: ${precopyInfo(file, 0xf1)}`);
        lines.push(`${when}: MIG_PRECOPY_INFOv2 ${feature(fd, SET | 12, new Uint8Array())}, then ${precopyInfo(file, 0xf1)}`);
        subject.kernel.close(file);
        reset(fd);
        seam.closeAll();
      };
      look('first');
      look('opened again');
      expectGolden(variant, subject, 'mediated-precopy-flags', lines);
    });
  });

  describe('the stream', () => {
    it.each([1, 7, 23, 24, 59, 60, 100])('carries the registers to another card, read and written in pieces of %i', (piece) => {
      const [source, target] = [device(), device()];
      for (const letter of 'moving') bar0(source, 0, letter.charCodeAt(0));
      bar0(source, 1, 0x05);
      bar0(source, 3, 0x83);
      bar0(source, 0, 0x21);
      bar0(source, 1, 0x43);
      bar0(source, 7, 0x99);
      const { file } = setState(source, STOP_COPY);
      const stream = drain(file, piece);
      subject.kernel.close(file);
      expect(stream.byteLength).toBe(60);
      expect(Buffer.from(stream.subarray(0, header)).toString('hex')).toBe(
        '4e2c3e8c89099d7e' + '01000000' + '00000000' + '01000000' + '00000000',
      );
      expect(Buffer.from(stream.subarray(header)).toString('hex')).toBe(
        '0005008300000099' + '6d6f76696e67'.padEnd(32, '0') + '060006' + '01' + '00' + '00' + '2143' + '00' + '10' + '00' + '00',
      );
      const resuming = setState(target, RESUMING).file;
      for (let at = 0; at < stream.byteLength; at += piece) {
        const part = stream.subarray(at, at + piece);
        expect(write(resuming, part.slice())).toBe(String(part.byteLength));
      }
      expect(setState(target, RUNNING)).toEqual({ result: '0', file: -1 });
      expect(write(resuming, new Uint8Array(1))).toBe('ENODEV');
      subject.kernel.close(resuming);
      expect([bar0(target, 0), bar0(target, 1), bar0(target, 3), bar0(target, 7)]).toEqual([0x21, 0x43, 0x83, 0x99]);
      bar0(target, 3, 0x03);
      expect(bar0(target, 1)).toBe(0x05);
      expect(Array.from('moving', () => String.fromCharCode(bar0(target, 0))).join('')).toBe('moving');
    });

    it('that is cut short keeps the device in RESUMING until RESET', () => {
      const fd = device();
      const stream = streamOf(fd);
      const { file } = setState(fd, RESUMING);
      expect(write(file, stream.slice(0, 59))).toBe('59');
      expect(setState(fd, RUNNING)).toEqual({ result: 'EINVAL', file: -1 });
      expect(state(fd)).toBe('RESUMING');
      expect(write(file, stream.slice(59))).toBe('1');
      expect(setState(fd, RUNNING).result).toBe('0');
      subject.kernel.close(file);
    });

    it('that is too long is ENOMEM, and what fits can still be written', () => {
      const fd = device();
      const stream = streamOf(fd);
      const { file } = setState(fd, RESUMING);
      expect(write(file, new Uint8Array(61))).toBe('ENOMEM');
      expect(write(file, stream)).toBe('60');
      expect(write(file, new Uint8Array(1))).toBe('ENOMEM');
      expect(write(file, new Uint8Array())).toBe('0');
      expect(setState(fd, STOP).result).toBe('0');
      subject.kernel.close(file);
    });

    it.each([
      ['magic', 0],
      ['major version', 8],
      ['minor version', 12],
      ['number of ports', 16],
      ['flags', 20],
    ])('with another %s is EFAULT when its header is whole, once', (_name, at) => {
      const fd = device();
      const stream = streamOf(fd);
      stream[at] = (stream[at] ?? 0) ^ 0x55;
      const { file } = setState(fd, RESUMING);
      expect(write(file, stream.slice(0, 20))).toBe('20');
      expect(write(file, stream.slice(20, 30))).toBe('EFAULT');
      // The driver took the bytes all the same.
      expect(write(file, stream.slice(30))).toBe('30');
      expect(setState(fd, RUNNING).result).toBe('0');
      subject.kernel.close(file);
    });

    it('of one card is none for the other', () => {
      const [one, two] = [device('mtty-1'), device('mtty-2')];
      const stream = streamOf(one);
      const { file } = setState(two, RESUMING);
      expect(write(file, stream)).toBe('EFAULT');
      expect(setState(two, RUNNING).result).toBe('EINVAL');
      subject.kernel.close(file);
      expect(streamOf(one).byteLength).toBe(60);
      reset(two);
      expect(streamOf(two).byteLength).toBe(96);
    });
  });
}
