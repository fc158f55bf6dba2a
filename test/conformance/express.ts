/** What PCI Express functions have: MSI-X, a reset of their own and of their bus, ioeventfds, device features. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../../lib/abi/pci.js';
import { VFIO_DEVICE_GET_INFO, vfio_device_info } from '../../lib/abi/vfio/device.js';
import {
  VFIO_DEVICE_FEATURE,
  vfio_device_feature,
  vfio_device_feature_dma_buf,
  vfio_device_low_power_entry_with_wakeup,
  vfio_region_dma_range,
} from '../../lib/abi/vfio/feature.js';
import { VFIO_DEVICE_IOEVENTFD, vfio_device_ioeventfd } from '../../lib/abi/vfio/ioeventfd.js';
import { VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info } from '../../lib/abi/vfio/irq.js';
import { VFIO_DEVICE_GET_REGION_INFO, vfio_region_info } from '../../lib/abi/vfio/region.js';
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../lib/abi/vfio/reset.js';
import { bindDriver } from '../../lib/pci/driver.js';
import { expectGolden } from '../support/golden.js';
import { answer, Seam } from '../support/seam.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';

const regionSpan = 2 ** 40;
const config = 7 * regionSpan;
/** A register of e1000e that keeps what is written and that a reset clears: flow control address low. */
const scratch = 0x28;
const [NONE, BOOL, EVENTFD, TRIGGER] = [1, 2, 4, 32];
const [MSI, MSIX] = [1, 2];
const [GET, SET, PROBE] = [1 << 16, 1 << 17, 1 << 18];

export function express(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;
  let files: ReturnType<Seam['ready']>;
  let fd: number;

  const open = (which: 'express' | 'edu'): void => {
    files = seam.ready(subject[which]);
    fd = files.device;
  };
  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
    open('express');
  });
  afterEach(() => seam.closeAll());

  const ioctl = (request: { number: number }, argument?: number | Uint8Array, file = fd): string =>
    answer(subject.kernel.ioctl(file, request.number, argument));
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  const read = (offset: number, length = 4): string => {
    const bytes = new Uint8Array(length);
    const result = answer(subject.kernel.pread(fd, bytes, offset));
    return result === String(length) ? hex(bytes) : result;
  };
  const write = (offset: number, ...bytes: number[]): string => answer(subject.kernel.pwrite(fd, Uint8Array.from(bytes), offset));
  const count = (eventfd: number): number => seam.count(eventfd);
  /** What the device does for an eventfd happens soon, not at once. */
  const eventually = async (look: () => unknown, wanted: unknown): Promise<void> => {
    for (let waited = 0; waited < 2000 && look() !== wanted; waited += 5) await delay(5);
    expect(look()).toBe(wanted);
  };
  const setIrqs = (index: number, flags: number, start: number, data: readonly number[], size?: number): string =>
    seam.setIrqs(fd, { index, flags: flags | TRIGGER, start, data, count: size });

  it('information of device, regions and interrupts is as recorded', () => {
    const info = vfio_device_info.create();
    info.argsz = vfio_device_info.size;
    const lines = [
      `device: ${ioctl(VFIO_DEVICE_GET_INFO, info.bytes)} flags ${info.flags} regions ${info.num_regions} irqs ${info.num_irqs}`,
    ];
    for (let index = 0; index <= 9; index += 1) {
      for (const room of [32, 36, 40, 64]) {
        const region = vfio_region_info.create(room - 32);
        Object.assign(region, { argsz: room, index });
        const result = ioctl(VFIO_DEVICE_GET_REGION_INFO, region.bytes);
        const text = `argsz ${region.argsz} flags ${region.flags} size 0x${region.size.toString(16)} capabilities ${region.cap_offset} ${hex(region.bytes.subarray(32))}`;
        lines.push(`region ${index} in ${room} bytes: ${result}${result === '0' ? ` ${text}` : ''}`);
      }
    }
    for (let index = 0; index <= 5; index += 1) {
      const irq = vfio_irq_info.create();
      Object.assign(irq, { argsz: vfio_irq_info.size, index });
      const result = ioctl(VFIO_DEVICE_GET_IRQ_INFO, irq.bytes);
      lines.push(`irq ${index}: ${result}${result === '0' ? ` flags ${irq.flags} count ${irq.count}` : ''}`);
    }
    expectGolden(variant, subject, `express-info-${subject.iommu}`, lines);
  });

  describe('MSI-X', () => {
    const table = 3 * regionSpan;

    it('takes eventfds for any of its vectors, and signals those it is asked to', () => {
      const eventfds = Array.from({ length: 5 }, () => seam.eventfd());
      expect(setIrqs(MSIX, EVENTFD, 0, eventfds)).toBe('0');
      expect(setIrqs(MSIX, NONE, 1, [], 2)).toBe('0');
      expect(setIrqs(MSIX, BOOL, 0, [1, 0, 0, 1, 0])).toBe('0');
      expect(eventfds.map(count)).toEqual([1, 1, 1, 1, 0]);
      expect(setIrqs(MSIX, EVENTFD, 5, [eventfds[0]!])).toBe('EINVAL');
    });

    it('grows and shrinks vector by vector while others are enabled', () => {
      const [first, second, third] = [seam.eventfd(), seam.eventfd(), seam.eventfd()];
      expect(setIrqs(MSIX, EVENTFD, 0, [first!])).toBe('0');
      const grown = setIrqs(MSIX, EVENTFD, 3, [second!]);
      expectGolden(variant, subject, `msix-growth-${subject.iommu}`, [`a second vector beyond the first: ${grown}`]);
      expect(setIrqs(MSIX, EVENTFD, 0, [-1])).toBe('0');
      expect(setIrqs(MSIX, EVENTFD, 0, [third!])).toBe('0');
      // Where they cannot grow, there is one and no more.
      expect(setIrqs(MSIX, NONE, 0, [], 5)).toBe(hasNodes(variant) ? '0' : 'EINVAL');
      expect(setIrqs(MSIX, NONE, 0, [], 1)).toBe('0');
      const signals = hasNodes(variant) ? 2 : 1;
      expect([first!, second!, third!].map(count)).toEqual([0, grown === '0' ? 1 : 0, signals]);
    });

    it('a range past the vectors that were taken at first is refused as a whole, by kernels that add none', () => {
      const [first, second] = [seam.eventfd(), seam.eventfd()];
      const past = hasNodes(variant) ? '0' : 'EINVAL';
      expect(setIrqs(MSIX, EVENTFD, 0, [first])).toBe('0');
      expect(setIrqs(MSIX, EVENTFD, 0, [second, -1])).toBe(past);
      expect(setIrqs(MSIX, EVENTFD, 1, [])).toBe(past);
      expect(setIrqs(MSIX, NONE, 0, [], 1)).toBe('0');
      expect([first, second].map(count)).toEqual(hasNodes(variant) ? [0, 1] : [1, 0]);
    });

    it('excludes MSI and INTx, and a bad eventfd takes the block back', () => {
      const eventfd = seam.eventfd();
      expect(setIrqs(MSIX, EVENTFD, 0, [eventfd, 0x3fff_fff0])).toBe('EBADF');
      expect(setIrqs(MSI, EVENTFD, 0, [eventfd])).toBe('0');
      expect(setIrqs(MSIX, EVENTFD, 0, [eventfd])).toBe('EINVAL');
      expect(setIrqs(MSI, NONE, 0, [], 0)).toBe('0');
      expect(setIrqs(MSIX, EVENTFD, 0, [eventfd])).toBe('0');
      expect(setIrqs(0, EVENTFD, 0, [eventfd])).toBe('EINVAL');
      expect(setIrqs(MSIX, NONE, 0, [], 0)).toBe('0');
      expect(setIrqs(MSIX, NONE, 0, [], 1)).toBe('EINVAL');
    });

    it("its table, the kernel's, reads as ones and drops what is written", () => {
      expect(read(table, 80)).toBe('ff'.repeat(80));
      expect(write(table, 1, 2, 3, 4)).toBe('4');
      expect(read(table + 76, 8)).toBe('ffffffff00000000');
    });
  });

  describe('reset', () => {
    const setScratch = (): void => {
      expect(write(scratch, 0x55, 0, 0, 0)).toBe('4');
      expect(read(scratch)).not.toBe(clean);
    };
    let clean: string;
    beforeEach(() => {
      hotReset([files.group]);
      clean = read(scratch);
    });
    const master = (): boolean => (parseInt(read(config + PCI_COMMAND, 1), 16) & PCI_COMMAND_MASTER) !== 0;
    const setMaster = (): void => {
      write(config + PCI_COMMAND, parseInt(read(config + PCI_COMMAND, 1), 16) | PCI_COMMAND_MASTER);
    };
    const hotReset = (fds: readonly number[], fields: { argsz?: number; flags?: number; count?: number } = {}): string => {
      const view = vfio_pci_hot_reset.create(fds.length * 4);
      Object.assign(view, { argsz: view.bytes.byteLength, flags: 0, count: fds.length, ...fields });
      new Int32Array(view.bytes.buffer, 12, fds.length).set(fds);
      return ioctl(VFIO_DEVICE_PCI_HOT_RESET, view.bytes);
    };
    const hotResetInfo = (room: number): string => {
      const view = vfio_pci_hot_reset_info.create(Math.max(0, room - 12));
      view.argsz = room;
      const result = ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, view.bytes);
      const devices =
        result === '0' ? view.devices.map(({ group_id, segment, bus, devfn }) => [group_id, segment, bus, devfn].join(':')) : [];
      return `${result} flags ${view.flags} count ${view.count} ${devices.join(' ')}`.trim();
    };

    // The kernel's way is a power cycle here, which QEMU's device takes without losing its registers.
    it('of the function keeps what the kernel configured', () => {
      setMaster();
      expect(ioctl(VFIO_DEVICE_RESET)).toBe('0');
      expect(master()).toBe(true);
    });

    it('of the bus says what goes along', () => {
      const { address, group } = subject.express;
      const devfn = (parseInt(address.slice(8, 10), 16) << 3) | Number(address.at(-1));
      expect(hotResetInfo(20)).toBe(`0 flags 0 count 1 ${group}:0:${parseInt(address.slice(5, 7), 16)}:${devfn}`);
      expect(hotResetInfo(64)).toBe(hotResetInfo(20));
      expect(hotResetInfo(19)).toBe('ENOSPC flags 0 count 1');
      expect(hotResetInfo(12)).toBe('ENOSPC flags 0 count 1');
      expect(hotResetInfo(11)).toBe('EINVAL flags 0 count 0');
      expect(ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 0)).toBe('EFAULT');
    });

    it('of the bus takes the groups of all that goes along, and resets them', () => {
      setScratch();
      setMaster();
      expect(hotReset([files.group])).toBe('0');
      expect([read(scratch), master()]).toEqual([clean, true]);
    });

    it('of the bus is refused without the right groups', () => {
      setScratch();
      expect(hotReset([])).toBe('EINVAL');
      expect(hotReset([files.group], { flags: 1 })).toBe('EINVAL');
      expect(hotReset([files.group], { argsz: 11 })).toBe('EINVAL');
      expect(hotReset([files.group, files.group])).toBe('EINVAL');
      expect(hotReset([0x3fff_fff0])).toBe('EBADF');
      expect(hotReset([files.container])).toBe('EINVAL');
      expect(hotReset([seam.group(subject.edu)])).toBe('EINVAL');
      expect(ioctl(VFIO_DEVICE_PCI_HOT_RESET, 0)).toBe('EFAULT');
      expect(read(scratch)).not.toBe(clean);
    });

    it('of a device on the root bus is neither', () => {
      seam.closeAll();
      open('edu');
      expect(ioctl(VFIO_DEVICE_RESET)).toBe('EINVAL');
      expect(hotResetInfo(64)).toBe('ENODEV flags 0 count 0');
      expect(hotReset([files.group])).toBe('ENODEV');
    });
  });

  describe('IOEVENTFD', () => {
    const bar0 = 0;
    const ioeventfd = (fields: Partial<Record<'argsz' | 'flags' | 'fd', number>> & Partial<Record<'offset' | 'data', bigint>>): string => {
      const view = vfio_device_ioeventfd.create();
      Object.assign(view, { argsz: view.bytes.byteLength, flags: 4, offset: BigInt(bar0 + scratch), data: 0x77n, fd: -1, ...fields });
      return ioctl(VFIO_DEVICE_IOEVENTFD, view.bytes);
    };
    const signal = (eventfd: number): void => {
      expect(subject.kernel.write(eventfd, new Uint8Array(BigUint64Array.of(1n).buffer))).toBe(8);
    };
    const end = BigInt(0x2_0000);

    it('writes the register when the eventfd is signalled, until it is taken away', async () => {
      ioctl(VFIO_DEVICE_RESET);
      const eventfd = seam.eventfd();
      expect(ioeventfd({ fd: eventfd })).toBe('0');
      const before = read(scratch);
      signal(eventfd);
      await eventually(() => read(scratch), '77000000');
      expect(before).not.toBe('77000000');
      expect(ioeventfd({})).toBe('0');
      write(scratch, 0, 0, 0, 0);
      signal(eventfd);
      await delay(variant.real ? 100 : 5);
      expect(read(scratch)).toBe('00000000');
      expect(count(eventfd)).toBe(1);
    });

    it('of the same register and value is EEXIST, of another value another', () => {
      const eventfd = seam.eventfd();
      expect(ioeventfd({ fd: eventfd })).toBe('0');
      expect(ioeventfd({ fd: eventfd })).toBe('EEXIST');
      expect(ioeventfd({ fd: eventfd, data: 0x78n })).toBe('0');
      expect(ioeventfd({ data: 0x79n })).toBe('ENODEV');
      expect(ioeventfd({ data: 0x78n })).toBe('0');
      expect(ioeventfd({ data: 0x78n })).toBe('ENODEV');
    });

    it('looks at pointer, size, flags, fd, place and eventfd', () => {
      const eventfd = seam.eventfd();
      expect(ioctl(VFIO_DEVICE_IOEVENTFD, 0)).toBe('EFAULT');
      expect(ioeventfd({ argsz: 27, fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ argsz: 28, fd: eventfd })).toBe('0');
      expect([0, 3, 16, 5].map((flags) => ioeventfd({ flags, fd: eventfd }))).toEqual(Array(4).fill('EINVAL'));
      expect(ioeventfd({ fd: -2 })).toBe('EINVAL');
      expect(ioeventfd({ offset: end - 4n, fd: eventfd })).toBe('0');
      expect(ioeventfd({ offset: end - 3n, fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ offset: BigInt(config), fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ offset: BigInt(4 * regionSpan), fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ fd: 0x3fff_fff0, data: 1n })).toBe('EBADF');
      expect(ioeventfd({ fd: files.container, data: 1n })).toBe('EINVAL');
    });

    it('writes one, two, four or eight bytes', () => {
      const eventfd = seam.eventfd();
      for (const width of [1, 2, 4, 8]) {
        expect(ioeventfd({ flags: width, fd: eventfd })).toBe('0');
        expect(ioeventfd({ flags: width })).toBe('0');
      }
    });

    it('takes a thousand of them', () => {
      const eventfd = seam.eventfd();
      const answers = new Set(Array.from({ length: 1000 }, (_, index) => ioeventfd({ fd: eventfd, data: BigInt(index) })));
      expect([...answers]).toEqual(['0']);
      expect(ioeventfd({ fd: eventfd, data: 1000n })).toBe('ENOSPC');
      expect(ioeventfd({ data: 7n })).toBe('0');
      expect(ioeventfd({ fd: eventfd, data: 1000n })).toBe('0');
    });

    it('does not reach the MSI-X table', () => {
      const eventfd = seam.eventfd();
      const table = BigInt(3 * regionSpan);
      expect(ioeventfd({ offset: table, fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ offset: table + 78n, fd: eventfd })).toBe('EINVAL');
      expect(ioeventfd({ offset: table + 80n, fd: eventfd })).toBe('0');
    });
  });

  describe('FEATURE', () => {
    const feature = (flags: number, payload: Uint8Array = new Uint8Array(), argsz?: number): string => {
      const view = vfio_device_feature.create(payload.byteLength);
      view.data.set(payload);
      Object.assign(view, { argsz: argsz ?? view.bytes.byteLength, flags });
      const result = subject.kernel.ioctl(fd, VFIO_DEVICE_FEATURE.number, view.bytes);
      payload.set(view.data);
      if (result > 0) seam.close(result);
      return result > 0 ? 'an fd' : answer(result);
    };

    it('PROBE, GET and SET of each number answer as recorded', () => {
      const operations = {
        PROBE,
        'PROBE|GET': PROBE | GET,
        'PROBE|SET': PROBE | SET,
        'PROBE|GET|SET': PROBE | GET | SET,
        none: 0,
        GET,
        'GET|SET': GET | SET,
      };
      const lines = Array.from({ length: 17 }, (_, number) => {
        const answers = Object.entries(operations).map(([name, flags]) => `${name} ${feature(flags | number, new Uint8Array(64))}`);
        return `${number}: ${answers.join(', ')}`;
      });
      expectGolden(variant, subject, 'express-features', lines);
    });

    it('looks at pointer, size and flags first', () => {
      expect(ioctl(VFIO_DEVICE_FEATURE, 0)).toBe('EFAULT');
      expect(feature(PROBE | SET | 3, new Uint8Array(), 7)).toBe('EINVAL');
      expect(feature(PROBE | SET | 3 | (1 << 19))).toBe('EINVAL');
      expect(feature(PROBE | SET | 3)).toBe('0');
    });

    it('LOW_POWER_ENTRY once, until EXIT', () => {
      const [ENTRY, EXIT] = [3, 5];
      expect(feature(SET | EXIT)).toBe('0');
      expect(feature(SET | ENTRY)).toBe('0');
      expect(feature(SET | ENTRY)).toBe('EINVAL');
      expect(read(config)).toBe('8680d310');
      expect(feature(SET | ENTRY)).toBe('EINVAL');
      expect(feature(SET | EXIT)).toBe('0');
      expect(feature(SET | ENTRY)).toBe('0');
      seam.closeAll();
      open('express');
      expect(feature(SET | ENTRY)).toBe('0');
      expect(feature(SET | EXIT)).toBe('0');
    });

    it('a device that slept is in D0, whatever state its driver had put it into', async () => {
      const powerControl = config + 0xcc;
      expect(write(powerControl, 3)).toBe('1');
      expect(read(powerControl, 1)).toBe('03');
      expect(feature(SET | 3)).toBe('0');
      await subject.asleep(subject.express.address);
      expect(read(powerControl, 1)).toBe('00');
    });

    it('LOW_POWER_ENTRY_WITH_WAKEUP tells by its eventfd when somebody wakes the device', async () => {
      const entry = (eventfd: number): string => {
        const payload = vfio_device_low_power_entry_with_wakeup.create();
        payload.wakeup_eventfd = eventfd;
        return feature(SET | 4, payload.bytes);
      };
      expect(entry(-1)).toBe('EINVAL');
      expect(entry(0x3fff_fff0)).toBe('EBADF');
      expect(entry(files.container)).toBe('EINVAL');
      expect(feature(SET | 4, new Uint8Array(7))).toBe('EINVAL');
      const eventfd = seam.eventfd();
      expect(entry(eventfd)).toBe('0');
      await subject.asleep(subject.express.address);
      expect(count(eventfd)).toBe(0);
      expect(read(scratch, 4)).toMatch(/^[0-9a-f]{8}$/);
      expect(count(eventfd)).toBe(1);
      expect(entry(eventfd)).toBe('0');
    });

    it('DMA_BUF gives an fd over pages of a BAR', () => {
      const dmaBuf = (
        fields: { region_index?: number; flags?: number; nr_ranges?: number },
        ranges: readonly (readonly [bigint, bigint])[],
      ): string => {
        const view = vfio_device_feature_dma_buf.create(ranges.length * vfio_region_dma_range.size);
        Object.assign(view, { region_index: 0, open_flags: 0o2000002, flags: 0, nr_ranges: ranges.length, ...fields });
        ranges.forEach(([offset, length], index) => Object.assign(view.dma_ranges[index] ?? {}, { offset, length }));
        return feature(GET | 11, view.bytes);
      };
      const page = 4096n;
      const lines = [
        [
          'two ranges',
          dmaBuf({}, [
            [0n, page],
            [2n * page, 4n * page],
          ]),
        ],
        ['no range', dmaBuf({}, [])],
        ['flags', dmaBuf({ flags: 1 }, [[0n, page]])],
        ['ROM', dmaBuf({ region_index: 6 }, [[0n, page]])],
        ['no BAR', dmaBuf({ region_index: 4 }, [[0n, page]])],
        ['of nothing', dmaBuf({}, [[0n, 0n]])],
        ['off the page', dmaBuf({}, [[8n, page]])],
        ['past the end', dmaBuf({}, [[0x2_0000n, page]])],
        ['ports', dmaBuf({ region_index: 2 }, [[0n, page]])],
      ].map(([name, result]) => `${name}: ${result}`);
      expectGolden(variant, subject, 'dma-buf', lines);
    });
  });

  it('REQ asks for the device back, and unbinding goes on when it is let go', async () => {
    const eventfd = seam.eventfd();
    const { address } = subject.express;
    expect(setIrqs(4, EVENTFD, 0, [eventfd])).toBe('0');
    let unbound = false;
    const unbinding = subject.unbind(address).then(() => (unbound = true));
    let asked = 0;
    await eventually(() => (asked += count(eventfd)) > 0, true);
    expect(unbound).toBe(false);
    expect(read(config)).toBe('8680d310');
    seam.closeAll();
    await unbinding;
    expect(answer(seam.open(`/dev/vfio/${subject.express.group}`))).toBe('ENOENT');
    seam.closeAll();
    bindDriver(subject.kernel, address);
    open('express');
  }, 60_000);
}
