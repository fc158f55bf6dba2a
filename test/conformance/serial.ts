/** The registers and interrupts of mtty, a mediated serial card. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import { VFIO_DEVICE_RESET } from '../../lib/abi/vfio/reset.js';
import { expectGolden } from '../support/golden.js';
import { MediatedDevices } from '../support/mediated.js';
import { answer, Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

const [TX, RX, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 0, 1, 2, 2, 3, 4, 5, 6, 7];
const [NONE, BOOL, EVENTFD, MASK, UNMASK, TRIGGER] = [1, 2, 4, 8, 16, 32];
const [INTX, MSI] = [0, 1];
const region = (index: number): number => index * 2 ** 40;

export function serial(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let devices: MediatedDevices;
  let place: Place;
  let fd: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    devices = new MediatedDevices(subject.kernel);
    place = devices.make('mtty-2');
    fd = seam.ready(place).device;
    const info = vfio_device_info.create();
    info.argsz = vfio_device_info.size;
    // Before this the driver knows of no interrupts.
    expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_GET_INFO.number, info.bytes))).toBe('0');
  });
  afterEach(() => {
    seam.closeAll();
    devices.removeAll();
  });

  const read = (register: number, bar = 0): number => {
    const byte = new Uint8Array(1);
    expect(subject.kernel.pread(fd, byte, region(bar) + register)).toBe(1);
    return byte[0] ?? 0;
  };
  const write = (register: number, value: number, bar = 0): void =>
    expect(subject.kernel.pwrite(fd, Uint8Array.of(value), region(bar) + register)).toBe(1);
  const send = (text: string, bar = 0): void => {
    for (const letter of text) write(TX, letter.charCodeAt(0), bar);
  };
  const receive = (bar = 0): string => {
    let text = '';
    while ((read(LSR, bar) & 1) !== 0) text += String.fromCharCode(read(RX, bar));
    return text;
  };

  describe('registers', () => {
    it('are what they are after power-on', () => {
      expect([IER, IIR, LCR, MCR, LSR, MSR, SCR].map((register) => read(register).toString(16))).toEqual([
        '0',
        'c1',
        '0',
        '0',
        '60',
        'b3',
        '0',
      ]);
    });

    it('what is sent comes back, port by port', () => {
      send('hello');
      send('world', 1);
      expect(read(LSR)).toBe(0x01);
      expect(receive()).toBe('hello');
      expect(receive(1)).toBe('world');
      expect(read(LSR)).toBe(0x60);
    });

    it('a buffer of sixteen bytes that is full looks empty, and overruns', () => {
      send('0123456789abcdef');
      expect(read(LSR)).toBe(0x60);
      send('!');
      expect(read(LSR)).toBe(0x62);
      write(FCR, 0x07);
      expect(read(LSR)).toBe(0x62);
      send('again');
      expect(read(LSR)).toBe(0x01);
      expect(receive()).toBe('again');
    });

    it('without FIFO the buffer is one byte', () => {
      write(FCR, 0x00);
      send('ab');
      expect(read(LSR)).toBe(0x03);
      expect(receive()).toBe('a');
      expect(read(LSR)).toBe(0x62);
    });

    it('the divisor is behind the latch, which clears it', () => {
      write(IER, 0xff);
      expect(read(IER)).toBe(0x0f);
      write(LCR, 0x83);
      write(TX, 0x34);
      write(IER, 0x12);
      write(TX, 0x41);
      expect([read(RX), read(IER)]).toEqual([0x75, 0x12]);
      write(LCR, 0x03);
      expect([read(IER), read(LCR)]).toEqual([0x0f, 0x03]);
      write(LCR, 0x80);
      expect([read(RX), read(IER)]).toEqual([0, 0]);
    });

    it('identification says what is enabled and pending', () => {
      write(IER, 0x02);
      expect(read(IIR)).toBe(0xc2);
      write(IER, 0x03);
      send('a');
      write(FCR, 0x81);
      expect(read(IIR)).toBe(0xc4);
      write(IER, 0x08);
      write(MCR, 0x03);
      expect(read(IIR)).toBe(0xc1);
    });

    it('without flow control, a full buffer is clear to send', () => {
      send('0123456789abcdef');
      expect(read(MSR)).toBe(0xb3);
    });

    it('with flow control, clear-to-send goes when the buffer is full', () => {
      write(MCR, 0x20);
      expect(read(MSR)).toBe(0xb3);
      send('0123456789abcdef');
      expect(read(MSR)).toBe(0xa2);
    });

    it('an access of several bytes is one of the first', () => {
      expect(subject.kernel.pwrite(fd, Uint8Array.of(0x41, 0x42, 0x43, 0x44, 0x45), region(0))).toBe(5);
      expect(receive()).toBe('A');
      expect(subject.kernel.pwrite(fd, Uint8Array.of(0x55, 0x66), region(0) + 6)).toBe(2);
      expect(read(SCR)).toBe(0);
      expect(subject.kernel.pwrite(fd, Uint8Array.of(0x66), region(0) + SCR)).toBe(1);
      expect(read(SCR)).toBe(0x66);
      expect(subject.kernel.pwrite(fd, Uint8Array.of(1), region(0) + 0x100)).toBe(1);
    });

    it('a region that is none refuses with EFAULT, an empty access is nothing, and nothing can be mapped', () => {
      const byte = new Uint8Array(1);
      for (const index of [6, 8, 9, 100]) {
        expect(answer(subject.kernel.pread(fd, byte, region(index)))).toBe('EFAULT');
        expect(answer(subject.kernel.pwrite(fd, byte, region(index)))).toBe('EFAULT');
      }
      expect(subject.kernel.pread(fd, new Uint8Array(), region(6))).toBe(0);
      expect([0, 7].map((index) => answer(subject.kernel.mmap(fd, 4096, 3, 1, region(index)) as number))).toEqual(['EINVAL', 'EINVAL']);
    });

    it('RESET leaves them, and so does closing', () => {
      send('kept');
      write(SCR, 0x12);
      expect(answer(subject.kernel.ioctl(fd, VFIO_DEVICE_RESET.number))).toBe('0');
      expect(read(SCR)).toBe(0x12);
      seam.closeAll();
      fd = seam.ready(place).device;
      expect(receive()).toBe('kept');
    });
  });

  it('configuration space takes BARs and the interrupt line', () => {
    const config = region(7);
    const write32 = (offset: number, value: number): number =>
      subject.kernel.pwrite(fd, new Uint8Array(Uint32Array.of(value).buffer), config + offset);
    const read32 = (offset: number): string => {
      const bytes = new Uint8Array(4);
      subject.kernel.pread(fd, bytes, config + offset);
      return (new Uint32Array(bytes.buffer)[0] ?? 0).toString(16);
    };
    for (const offset of [0x00, 0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x2c, 0x3c, 0x40]) expect(write32(offset, 0xffff_ffff)).toBe(4);
    const all = [0x00, 0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x2c, 0x3c, 0x40].map(read32);
    expect(all).toEqual(['32534348', '2000001', 'fffffff9', 'fffffff9', '0', '0', '0', '0', '32534348', '1ff', '80000023']);
    write32(0x10, 0x1230);
    expect(read32(0x10)).toBe('1231');
  });

  describe('interrupts', () => {
    const set = (index: number, flags: number, start: number, count: number, data?: ArrayLike<number>): string =>
      seam.setIrqs(fd, { index, flags, start, count, data });
    /** How often it was signalled since the last look. Everything happens inside the call that causes it. */
    const count = (eventfd: number): number => seam.count(eventfd);
    const raise = (): void => {
      write(IER, 0x00);
      write(IER, 0x02);
    };

    it('every combination of index, data, action and range answers as recorded', () => {
      const good = seam.eventfd();
      const container = seam.container();
      const states: Record<string, () => void> = {
        'nothing enabled': () => undefined,
        'INTx enabled': () => expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [good])).toBe('0'),
        'MSI enabled': () => expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [good])).toBe('0'),
      };
      const lines = ['columns: start, count = 0,0  0,1  0,2  1,0  1,1  0,6  5,1'];
      for (const [state, enter] of Object.entries(states)) {
        for (let index = 0; index <= 5; index += 1) {
          for (const action of [0, MASK, UNMASK, TRIGGER, MASK | TRIGGER]) {
            for (const [name, type, value] of [
              ['no type', 0, 0],
              ['none', NONE, 0],
              ['zeros', BOOL, 0],
              ['ones', BOOL, 1],
              ['eventfds', EVENTFD, good],
              ['-1', EVENTFD, -1],
              ['closed fds', EVENTFD, 0x3fff_fff0],
              ['a container', EVENTFD, container],
            ] as const) {
              const answers = [
                [0, 0],
                [0, 1],
                [0, 2],
                [1, 0],
                [1, 1],
                [0, 6],
                [5, 1],
              ].map(([start = 0, many = 0]) => {
                set(INTX, NONE | TRIGGER, 0, 0);
                set(MSI, NONE | TRIGGER, 0, 0);
                enter();
                return set(index, type | action, start, many, Array<number>(type === NONE || type === 0 ? 0 : many).fill(value));
              });
              lines.push(`${state}, index ${index}, action ${action}, ${name}: ${answers.join(' ')}`);
            }
          }
        }
      }
      expectGolden(variant, subject, 'mediated-set-irqs', lines);
    });

    it('MSI comes each time', () => {
      const eventfd = seam.eventfd();
      expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
      raise();
      raise();
      expect(count(eventfd)).toBe(2);
      expect(set(MSI, NONE | TRIGGER, 0, 1)).toBe('0');
      expect(set(MSI, BOOL | TRIGGER, 0, 1, [1])).toBe('0');
      expect(set(MSI, BOOL | TRIGGER, 0, 1, [0])).toBe('0');
      expect(count(eventfd)).toBe(2);
      expect(set(MSI, NONE | TRIGGER, 0, 0)).toBe('0');
      raise();
      expect(count(eventfd)).toBe(0);
    });

    it('INTx comes once, masked until it is unmasked, and forgets what came meanwhile', () => {
      const eventfd = seam.eventfd();
      expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
      raise();
      raise();
      expect(count(eventfd)).toBe(1);
      expect(set(INTX, NONE | TRIGGER, 0, 1)).toBe('0');
      expect(count(eventfd)).toBe(0);
      expect(set(INTX, NONE | UNMASK, 0, 1)).toBe('0');
      expect(count(eventfd)).toBe(0);
      expect(set(INTX, NONE | TRIGGER, 0, 1)).toBe('0');
      expect(count(eventfd)).toBe(1);
      expect(set(INTX, BOOL | UNMASK, 0, 1, [0])).toBe('0');
      raise();
      expect(count(eventfd)).toBe(0);
      expect(set(INTX, BOOL | UNMASK, 0, 1, [1])).toBe('0');
      expect(set(INTX, NONE | MASK, 0, 1)).toBe('0');
      raise();
      expect(count(eventfd)).toBe(0);
    });

    it('another eventfd for INTx starts unmasked, and -1 ends it', () => {
      const [first, second] = [seam.eventfd(), seam.eventfd()];
      set(INTX, EVENTFD | TRIGGER, 0, 1, [first]);
      raise();
      set(INTX, EVENTFD | TRIGGER, 0, 1, [second]);
      raise();
      expect([count(first), count(second)]).toEqual([1, 1]);
      expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [-1])).toBe('0');
      expect(set(INTX, NONE | UNMASK, 0, 1)).toBe('EINVAL');
      expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [first])).toBe('0');
    });

    it('come for received bytes, for an overrun, and for the modem', () => {
      const eventfd = seam.eventfd();
      set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      const after = (action: () => void): number => {
        action();
        return count(eventfd);
      };
      write(FCR, 0x01);
      write(IER, 0x01);
      expect(after(() => send('a'))).toBe(1);
      expect(after(() => send('b'))).toBe(0);
      write(IER, 0x02);
      expect(after(() => void read(RX))).toBe(0);
      expect(after(() => void read(RX))).toBe(1);
      write(FCR, 0x00);
      write(IER, 0x04);
      expect(after(() => send('ab'))).toBe(1);
      write(IER, 0x08);
      expect(after(() => write(MCR, 0x08))).toBe(1);
      expect(after(() => write(MCR, 0x0b))).toBe(2);
      expect(after(() => write(MCR, 0x00))).toBe(0);
    });

    it('end when the device is closed', () => {
      const eventfd = seam.eventfd();
      set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      seam.close(fd);
      seam.closeAll();
      fd = seam.ready(place).device;
      expect(set(MSI, NONE | TRIGGER, 0, 1)).toBe('EINVAL');
      expect(set(INTX, NONE | TRIGGER, 0, 0)).toBe('EINVAL');
    });
  });
}
