/** SET_IRQS. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../../lib/abi/pci.js';
import { expectGolden } from '../support/golden.js';
import { answer, Seam } from '../support/seam.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';

const NONE = 1;
const BOOL = 2;
const EVENTFD = 4;
const MASK = 8;
const UNMASK = 16;
const TRIGGER = 32;
const [INTX, MSI, MSIX, ERR, REQ] = [0, 1, 2, 3, 4];
const config = 7 * 2 ** 40;

export function irqs(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let fd: number;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    fd = seam.ready(subject.edu).device;
  });
  afterEach(() => seam.closeAll());

  const set = (index: number, flags: number, start: number, count: number, data?: ArrayLike<number>, argsz?: number): string =>
    seam.setIrqs(fd, { index, flags, start, count, data, argsz });
  /** How often an eventfd was signalled since the last look, waiting a little for one that comes from the device. */
  const count = async (eventfd: number, patience = 0): Promise<number> => {
    for (let waited = 0; ; waited += 5) {
      const counted = seam.count(eventfd);
      if (counted > 0 || waited >= patience) return counted;
      await delay(5);
    }
  };
  const write32 = (offset: number, value: number): void => {
    expect(subject.kernel.pwrite(fd, new Uint8Array(Uint32Array.of(value).buffer), offset)).toBe(4);
  };
  const enableBusMaster = (): void => {
    const bytes = new Uint8Array(2);
    subject.kernel.pread(fd, bytes, config + PCI_COMMAND);
    bytes[0] = (bytes[0] ?? 0) | PCI_COMMAND_MASTER;
    subject.kernel.pwrite(fd, bytes, config + PCI_COMMAND);
  };
  const raise = (bits: number): void => write32(0x60, bits);
  const acknowledge = (): void => write32(0x64, 0xffff_ffff);
  const disable = (index: number): string => set(index, NONE | TRIGGER, 0, 0);

  /** Long enough for an interrupt of an emulated device; what must not come is waited for that long. */
  const patience = variant.real ? 2000 : 200;
  const quiet = variant.real ? 100 : 20;

  it('every combination of index, data, action, range and size answers as recorded', () => {
    const good = seam.eventfd();
    const container = seam.container();
    const states: Record<string, () => void> = {
      'nothing enabled': () => undefined,
      'INTx enabled': () => expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [good])).toBe('0'),
      'MSI enabled': () => expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [good])).toBe('0'),
      'REQ enabled': () => expect(set(REQ, EVENTFD | TRIGGER, 0, 1, [good])).toBe('0'),
    };
    const ranges = [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 1],
      [0xffff_ffff, 1],
      [0, 0xffff_ffff],
    ] as const;
    const lines = [
      'columns: start, count = 0,0  0,1  0,2  1,0  1,1  ffffffff,1  0,ffffffff; data: none, ones, eventfds, -1, closed fds, a container',
    ];
    for (const [state, enter] of Object.entries(states)) {
      for (let index = 0; index <= 5; index += 1) {
        for (const action of [0, MASK, UNMASK, TRIGGER, MASK | TRIGGER, 64 | TRIGGER]) {
          const cases: readonly [string, number, number][] = [
            ['no type', 0, 0],
            ['none', NONE, 0],
            ['ones', BOOL, 1],
            ['zeros', BOOL, 0],
            ['eventfds', EVENTFD, good],
            ['-1', EVENTFD, -1],
            ['closed fds', EVENTFD, 0x3fff_fff0],
            ['a container', EVENTFD, container],
            ['two types', NONE | BOOL, 1],
          ];
          for (const [name, type, element] of cases) {
            const results = ranges.map(([start, size]) => {
              for (const each of [INTX, MSI, MSIX, ERR, REQ]) disable(each);
              enter();
              return set(
                index,
                type | action,
                start,
                size,
                Array.from({ length: Math.min(size, 4) }, () => element),
              );
            });
            lines.push(`${state}, index ${index}, action ${action}, ${name}: ${results.join(' ')}`);
          }
        }
      }
    }
    expectGolden(variant, subject, 'set-irqs', lines);
  }, 120_000);

  it('data that does not fit into argsz is EINVAL', () => {
    const eventfd = seam.eventfd();
    expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd], 23)).toBe('EINVAL');
    expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd], 20)).toBe('EINVAL');
    expect(set(REQ, BOOL | TRIGGER, 0, 1, [1], 20)).toBe('EINVAL');
    expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd], 24)).toBe('0');
  });

  it('one of INTx and MSI at a time', () => {
    const eventfd = seam.eventfd();
    expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
    expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('EINVAL');
    expect(disable(INTX)).toBe('0');
    expect(set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
    expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('EINVAL');
    expect(disable(MSI)).toBe('0');
    expect(disable(MSI)).toBe('EINVAL');
  });

  describe.each([
    ['INTx', INTX],
    ['MSI', MSI],
    ['REQ', REQ],
  ] as const)('loopback on %s', (_name, index) => {
    it('TRIGGER comes to who watches the count', async () => {
      const eventfd = seam.eventfd();
      expect(set(index, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
      let sum = 0;
      const watch = subject.kernel.watchCount(eventfd, (count) => (sum += count));
      if (typeof watch === 'number') throw new Error(answer(watch));
      for (let i = 0; i < 3; i += 1) expect(set(index, NONE | TRIGGER, 0, 1)).toBe('0');
      for (let waited = 0; sum < 3 && waited < patience; waited += 5) await delay(5);
      watch.stop();
      expect([sum, await count(eventfd)]).toEqual([3, 0]);
    });

    it('TRIGGER signals the eventfd', async () => {
      const eventfd = seam.eventfd();
      expect(set(index, EVENTFD | TRIGGER, 0, 1, [eventfd])).toBe('0');
      expect(set(index, NONE | TRIGGER, 0, 1)).toBe('0');
      expect(set(index, BOOL | TRIGGER, 0, 1, [1])).toBe('0');
      expect(set(index, BOOL | TRIGGER, 0, 1, [0])).toBe('0');
      expect(await count(eventfd)).toBe(2);
    });

    it('-2 is no eventfd, and takes none away but of a line or a vector; newer kernels refuse it otherwise', async () => {
      const eventfd = seam.eventfd();
      set(index, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      expect(set(index, EVENTFD | TRIGGER, 0, 1, [-2])).toBe(index === REQ && hasNodes(variant) ? 'EINVAL' : '0');
      set(index, NONE | TRIGGER, 0, 1);
      expect(await count(eventfd)).toBe(index === REQ ? 1 : 0);
    });

    it('-1 takes the eventfd away', async () => {
      const eventfd = seam.eventfd();
      set(index, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      expect(set(index, EVENTFD | TRIGGER, 0, 1, [-1])).toBe('0');
      expect(set(index, NONE | TRIGGER, 0, 1)).toBe(index === REQ ? 'EINVAL' : '0');
      expect(await count(eventfd)).toBe(0);
    });

    it('another eventfd replaces the first', async () => {
      const [first, second] = [seam.eventfd(), seam.eventfd()];
      set(index, EVENTFD | TRIGGER, 0, 1, [first]);
      expect(set(index, EVENTFD | TRIGGER, 0, 1, [second])).toBe('0');
      set(index, NONE | TRIGGER, 0, 1);
      expect([await count(first), await count(second)]).toEqual([0, 1]);
    });
  });

  describe('from the device', () => {
    afterEach(() => {
      acknowledge();
    });

    it('MSI comes with bus mastering on, and not without', async () => {
      const eventfd = seam.eventfd();
      set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      raise(1);
      expect(await count(eventfd, quiet)).toBe(0);
      acknowledge();
      enableBusMaster();
      raise(2);
      expect(await count(eventfd, patience)).toBe(1);
    });

    it('INTx comes once and is masked until UNMASK', async () => {
      const eventfd = seam.eventfd();
      set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      raise(1);
      expect(await count(eventfd, patience)).toBe(1);
      expect(await count(eventfd, quiet)).toBe(0);
      acknowledge();
      raise(4);
      expect(await count(eventfd, quiet)).toBe(0);
      expect(set(INTX, NONE | UNMASK, 0, 1)).toBe('0');
      expect(await count(eventfd, patience)).toBe(1);
      acknowledge();
      expect(set(INTX, NONE | UNMASK, 0, 1)).toBe('0');
      expect(await count(eventfd, quiet)).toBe(0);
      raise(8);
      expect(await count(eventfd, patience)).toBe(1);
    });

    it('INTx that is masked comes when it is unmasked', async () => {
      const eventfd = seam.eventfd();
      set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      expect(set(INTX, NONE | MASK, 0, 1)).toBe('0');
      raise(1);
      expect(await count(eventfd, quiet)).toBe(0);
      expect(set(INTX, BOOL | UNMASK, 0, 1, [0])).toBe('0');
      expect(await count(eventfd, quiet)).toBe(0);
      expect(set(INTX, BOOL | UNMASK, 0, 1, [1])).toBe('0');
      expect(await count(eventfd, patience)).toBe(1);
    });

    it('INTx is unmasked by a signal of the eventfd that UNMASK was given', async () => {
      const [eventfd, resample] = [seam.eventfd(), seam.eventfd()];
      set(INTX, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      expect(set(INTX, EVENTFD | UNMASK, 0, 1, [resample])).toBe('0');
      expect(set(INTX, EVENTFD | UNMASK, 0, 1, [resample])).toBe('EBUSY');
      raise(1);
      expect(await count(eventfd, patience)).toBe(1);
      subject.kernel.write(resample, new Uint8Array(BigUint64Array.of(1n).buffer));
      expect(await count(eventfd, patience)).toBe(1);
      expect(set(INTX, EVENTFD | UNMASK, 0, 1, [-1])).toBe('0');
    });

    it('closing the device ends delivery and a new open begins clean', async () => {
      const eventfd = seam.eventfd();
      set(MSI, EVENTFD | TRIGGER, 0, 1, [eventfd]);
      enableBusMaster();
      seam.closeAll();
      fd = seam.ready(subject.edu).device;
      const second = seam.eventfd();
      expect(set(INTX, EVENTFD | TRIGGER, 0, 1, [second])).toBe('0');
      raise(1);
      expect(await count(second, patience)).toBe(1);
    });
  });
}
