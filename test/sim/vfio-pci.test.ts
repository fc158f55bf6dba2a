/** What vfio-pci makes of devices that no machine of the lab has. Held to the kernel's source. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_INTERRUPT_PIN,
  PCI_PM_CAP_D1,
  PCI_PM_CAP_D2,
  PCI_PM_CTRL,
  PCI_PM_CTRL_PME_ENABLE,
} from '../../lib/abi/pci.js';
import {
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  vfio_irq_info,
} from '../../lib/abi/vfio/irq.js';
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../lib/abi/vfio/reset.js';
import { VFIO_DEVICE_GET_REGION_INFO, VFIO_REGION_INFO_FLAG_MMAP, vfio_region_info } from '../../lib/abi/vfio/region.js';
import { VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd } from '../../lib/abi/vfio/cdev.js';
import { VFIO_NOIOMMU_IOMMU } from '../../lib/abi/vfio/container.js';
import {
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_IOEVENTFD_32,
  VFIO_DEVICE_IOEVENTFD_64,
  vfio_device_ioeventfd,
} from '../../lib/abi/vfio/ioeventfd.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { express, Machine, msi, msix, powerManagement, type DeviceOptions } from '../../lib/sim/index.js';
import { Card } from '../support/card.js';
import { answer, readAnswer, Seam } from '../support/seam.js';

const config = 7 * 2 ** 40;
const place = { address: '0000:00:03.0', group: 1 };

let seam: Seam;
afterEach(() => seam.closeAll());

function open(card: Card, others: readonly DeviceOptions[] = []): { kernel: Kernel; device: number } {
  const { kernel } = new Machine({ devices: [{ model: card, group: place.group }, ...others] });
  seam = new Seam(kernel);
  return { kernel, device: seam.ready(place).device };
}

it('a BAR that is less than a page cannot be mapped', () => {
  const { kernel, device } = open(new Card({ bars: { 0: 4096, 1: 2048 } }));
  const mappable = [0, 1].map((index) => {
    const info = Object.assign(vfio_region_info.create(), { argsz: vfio_region_info.size, index });
    expect(answer(kernel.ioctl(device, VFIO_DEVICE_GET_REGION_INFO.number, info.bytes))).toBe('0');
    return (info.flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0;
  });
  expect(mappable).toEqual([true, false]);
  expect(kernel.mmap(device, 4096, 3, 1, 2 ** 40)).toBe(-22);
});

describe('interrupts', () => {
  const [trigger, unmask] = [VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK];
  const eventfds = VFIO_IRQ_SET_DATA_EVENTFD | trigger;
  /** Sets bits of the command register, as the driver sees it. */
  const command = (kernel: Kernel, device: number, bits: number): void => {
    expect(kernel.pwrite(device, new Uint8Array(Uint16Array.of(bits).buffer), config + PCI_COMMAND)).toBe(2);
  };
  const disabled = (card: Card): boolean => (card.readConfig(PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) !== 0;

  it('are of the kinds that the card has', () => {
    const { kernel, device } = open(new Card({ capabilities: [msix({ vectors: 3, bar: 0 })] }));
    const counts = [VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX].map((index) => {
      const info = Object.assign(vfio_irq_info.create(), { argsz: vfio_irq_info.size, index });
      expect(answer(kernel.ioctl(device, VFIO_DEVICE_GET_IRQ_INFO.number, info.bytes))).toBe('0');
      return info.count;
    });
    expect(counts).toEqual([0, 0, 3]);
  });

  it('of a line come to nobody who asked for messages', () => {
    const card = new Card({ intx: true, capabilities: [msi()] });
    const { device } = open(card);
    const eventfd = seam.eventfd();
    expect(seam.setIrqs(device, { index: VFIO_PCI_MSI_IRQ_INDEX, flags: eventfds, data: [eventfd] })).toBe('0');
    card.setIntx(true);
    expect(seam.count(eventfd)).toBe(0);
  });

  it('of a line that the driver disabled are not unmasked', () => {
    const card = new Card({ intx: true });
    const { kernel, device } = open(card);
    command(kernel, device, PCI_COMMAND_INTX_DISABLE);
    const eventfd = seam.eventfd();
    expect(seam.setIrqs(device, { index: VFIO_PCI_INTX_IRQ_INDEX, flags: eventfds, data: [eventfd] })).toBe('0');
    const unmasking = { index: VFIO_PCI_INTX_IRQ_INDEX, flags: VFIO_IRQ_SET_DATA_NONE | unmask, count: 1 };
    expect(seam.setIrqs(device, unmasking)).toBe('0');
    expect(disabled(card)).toBe(true);
    card.setIntx(true);
    expect(seam.count(eventfd)).toBe(0);
    command(kernel, device, 0);
    expect(seam.count(eventfd)).toBe(1);
    // Masked, as it was delivered: another bit changes nothing of that.
    command(kernel, device, PCI_COMMAND_MASTER);
    expect(seam.count(eventfd)).toBe(0);
  });

  it('of a line that nobody asked for are disabled and enabled as the driver says', () => {
    const card = new Card({ intx: true });
    const { kernel, device } = open(card);
    command(kernel, device, PCI_COMMAND_INTX_DISABLE);
    expect(disabled(card)).toBe(true);
    command(kernel, device, 0);
    expect(disabled(card)).toBe(false);
  });

  it('by MSI are of as many vectors as were asked for at first', () => {
    const card = new Card({ capabilities: [msi({ vectors: 4 }), msix({ vectors: 4, bar: 0 })] });
    const { kernel, device } = open(card);
    const [one, two] = [seam.eventfd(), seam.eventfd()];
    const set = (start: number, ...data: number[]): string =>
      seam.setIrqs(device, { index: VFIO_PCI_MSI_IRQ_INDEX, flags: eventfds, start, data });
    expect([set(0, one), set(1, two), set(1, -1)]).toEqual(['0', 'EINVAL', '0']);
    command(kernel, device, PCI_COMMAND_MASTER);
    card.sendMsi(0);
    expect(seam.count(one)).toBe(1);
  });

  it('by MSI stay enabled when the driver writes that they are', () => {
    const card = new Card({ capabilities: [msi({ at: 0x40 })] });
    const { kernel, device } = open(card);
    const write = (flags: number): number => {
      expect(kernel.pwrite(device, Uint8Array.of(flags), config + 0x42)).toBe(1);
      return card.readConfig(0x42, 1) & 1;
    };
    expect(write(1)).toBe(0);
    expect(seam.setIrqs(device, { index: VFIO_PCI_MSI_IRQ_INDEX, flags: eventfds, data: [seam.eventfd()] })).toBe('0');
    expect([write(1), write(0)]).toEqual([1, 0]);
  });

  it.each([
    ['MSI', VFIO_PCI_MSI_IRQ_INDEX, msi({ vectors: 2, maskable: true })],
    ['MSI-X', VFIO_PCI_MSIX_IRQ_INDEX, msix({ vectors: 2, bar: 0 })],
  ] as const)('by %s that nobody is told of wait until somebody is', (_name, index, capability) => {
    const card = new Card({ capabilities: [capability] });
    const { kernel, device } = open(card);
    command(kernel, device, PCI_COMMAND_MASTER | 2);
    const [one, two] = [seam.eventfd(), seam.eventfd()];
    const set = (start: number, ...data: number[]): string => seam.setIrqs(device, { index, flags: eventfds, start, data });
    expect([set(0, one, two), set(1, -1)]).toEqual(['0', '0']);
    card.sendMsi(1);
    expect(set(1, two)).toBe('0');
    expect([seam.count(one), seam.count(two)]).toEqual([0, 1]);
  });
});

it('a ROM is read as far as its images go; past its BAR is EINVAL, even while nothing answers', () => {
  const image = new Uint8Array(2048);
  image.set([0x55, 0xaa]);
  const view = new DataView(image.buffer);
  view.setUint16(0x18, 0x20, true);
  image.set(Buffer.from('PCIR'), 0x20);
  view.setUint16(0x30, 2, true);
  view.setUint8(0x35, 0x80);
  const romRegion = 6 * 2 ** 40;
  const reads = (rom: Uint8Array): string[] => {
    const { kernel, device } = open(new Card({ rom }));
    const read = (at: number): string => readAnswer(kernel, device, romRegion + at, 2);
    const answers = [read(0), read(1024), read(rom.byteLength)];
    expect(kernel.pwrite(device, Uint8Array.of(0, 0), config + PCI_COMMAND)).toBe(2);
    return [...answers, read(0), read(rom.byteLength)];
  };
  expect(reads(image)).toEqual(['2:55aa', '2:ffff', 'EINVAL', 'ENOMEM', 'EINVAL']);
  // Its second structure would be behind the end, as the first one's length leads there.
  view.setUint8(0x35, 0);
  view.setUint16(0x30, 4, true);
  expect(reads(image)[0]).toBe('2:55aa');
  view.setUint16(0x18, 0x7f0, true);
  expect(reads(image)[0]).toBe('ENOMEM');
});

it('an eventfd may write beside the table of MSI-X, not into it', () => {
  const capabilities = [msix({ vectors: 2, bar: 0, table: 0x800, pendingBits: 0xc00 })];
  const { kernel, device } = open(new Card({ bars: { 0: 4096, 1: 4096 }, capabilities }));
  const eventfd = seam.eventfd();
  const set = (offset: number, flags: number): string => {
    const request = vfio_device_ioeventfd.create();
    Object.assign(request, { argsz: request.bytes.byteLength, flags, offset: BigInt(offset), fd: eventfd });
    return answer(kernel.ioctl(device, VFIO_DEVICE_IOEVENTFD.number, request.bytes));
  };
  const [four, eight] = [VFIO_DEVICE_IOEVENTFD_32, VFIO_DEVICE_IOEVENTFD_64];
  expect([set(0x7f8, eight), set(0x7fc, four), set(0x800, four), set(0x81c, four), set(0x820, four)]).toEqual([
    ...['0', '0', 'EINVAL', 'EINVAL', '0'],
  ]);
  expect(set(2 ** 40 + 0x800, four)).toBe('0');
});

it('what is no group cannot be shown for a reset of the bus, though all groups are', () => {
  const machine = new Machine({
    devices: ['0000:02:00.0', '0000:02:00.1'].map((address) => ({ model: new Card({ capabilities: [express()] }), address, group: 5 })),
  });
  seam = new Seam(machine.kernel);
  const files = seam.ready({ address: '0000:02:00.0', group: 5 });
  const reset = (...fds: number[]): string => {
    const request = vfio_pci_hot_reset.create(4 * fds.length);
    Object.assign(request, { argsz: request.bytes.byteLength, count: fds.length });
    request.group_fds.set(fds);
    return answer(machine.kernel.ioctl(files.device, VFIO_DEVICE_PCI_HOT_RESET.number, request.bytes));
  };
  expect([reset(files.group), reset(files.group, files.container)]).toEqual(['0', 'EINVAL']);
});

it('a device in no group keeps others from being told of their bus, but by /dev/iommu', () => {
  const machine = new Machine({
    iommu: 'none',
    unsafeNoIommu: true,
    devices: [
      { model: new Card({ capabilities: [express()] }), address: '0000:02:00.0' },
      { model: new Card({ capabilities: [express()] }), address: '0000:02:00.1', driver: 'host' },
    ],
  });
  seam = new Seam(machine.kernel);
  const info = (device: number): string => {
    const request = vfio_pci_hot_reset_info.create(2 * vfio_pci_dependent_device.size);
    request.argsz = request.bytes.byteLength;
    const result = answer(machine.kernel.ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.number, request.bytes));
    return `${result}, ${request.count} devices`;
  };
  const [container, group] = [seam.container(), seam.open('/dev/vfio/noiommu-0')];
  expect([answer(seam.setContainer(group, container)), answer(seam.setIommu(container, VFIO_NOIOMMU_IOMMU))]).toEqual(['0', '0']);
  expect(info(seam.device(group, '0000:02:00.0'))).toBe('EPERM, 0 devices');
  seam.closeAll();
  const iommufd = seam.open('/dev/iommu');
  const device = seam.open('/dev/vfio/devices/noiommu-vfio0');
  const bind = Object.assign(vfio_device_bind_iommufd.create(), { argsz: 16, iommufd });
  expect(answer(machine.kernel.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD.number, bind.bytes))).toBe('0');
  expect(info(device)).toBe('0, 2 devices');
});

it('a silent device takes no writes, and is not reset when it is closed', () => {
  const card = new Card({ capabilities: [express({ functionReset: true })] });
  const machine = new Machine({ devices: [{ model: card, group: place.group }] });
  seam = new Seam(machine.kernel);
  seam.ready(place);
  const { resets } = card;
  machine.device(card).silence();
  card.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  expect(card.config.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MASTER).toBe(0);
  seam.closeAll();
  expect(card.resets).toBe(resets);
  machine.device(card).mend();
  seam.ready(place);
  expect(card.resets).toBe(resets + 1);
});

it('a state that the function is in already is not set again', () => {
  const card = new Card({ capabilities: [powerManagement({ wakes: PCI_PM_CTRL_PME_ENABLE })] });
  const control = card.powerManagementAt! + PCI_PM_CTRL;
  card.config.setUint16(control, card.config.getUint16(control, true) | PCI_PM_CTRL_PME_ENABLE, true);
  const { kernel, device } = open(card);
  expect(kernel.pwrite(device, Uint8Array.of(0, 0), config + control)).toBe(2);
  expect(card.config.getUint16(control, true) & PCI_PM_CTRL_PME_ENABLE).toBe(PCI_PM_CTRL_PME_ENABLE);
});

/** The states that a driver finds the function in after it asked for each of these. */
function states(wanted: readonly number[], capabilities: number, others: readonly DeviceOptions[] = []): number[] {
  const card = new Card({ capabilities: [powerManagement({ capabilities: 3 | capabilities })] });
  const { kernel, device } = open(card, others);
  const control = config + card.powerManagementAt! + PCI_PM_CTRL;
  return wanted.map((state) => {
    const bytes = Uint8Array.of(state);
    expect(kernel.pwrite(device, bytes, control)).toBe(1);
    expect(kernel.pread(device, bytes, control)).toBe(1);
    return bytes[0]! & 3;
  });
}

it('power states are those that the function has, and reached from higher ones', () => {
  expect(states([1, 2, 1, 3, 2, 1, 0, 2, 0], PCI_PM_CAP_D1 | PCI_PM_CAP_D2)).toEqual([1, 2, 2, 3, 3, 3, 0, 2, 0]);
  seam.closeAll();
  expect(states([1, 2, 3, 0], PCI_PM_CAP_D1)).toEqual([1, 1, 3, 0]);
  seam.closeAll();
  expect(states([1, 2, 3, 0], PCI_PM_CAP_D2)).toEqual([0, 2, 3, 0]);
});

it('a function that has virtual ones stays awake', () => {
  const virtual = { model: new Card({}), physicalFunction: place.address };
  expect(states([1, 2, 3], PCI_PM_CAP_D1 | PCI_PM_CAP_D2, [virtual])).toEqual([0, 0, 0]);
});

it('a virtual function whose physical one has another driver knows no token', () => {
  const { kernel } = new Machine({
    devices: [
      { model: new Card({}), driver: 'nvme', hostDriver: 'nvme' },
      { model: new Card({}), address: '0000:00:04.0', group: 4, physicalFunction: place.address },
    ],
  });
  seam = new Seam(kernel);
  const { group, device } = seam.ready({ address: '0000:00:04.0', group: 4 });
  expect(device).toBeGreaterThanOrEqual(0);
  expect(answer(seam.device(group, '0000:00:04.0 vf_token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3'))).toBe('EINVAL');
});

it('what is written while it sleeps stays, of a function that keeps its registers, and goes, of one that does not', () => {
  const mastering = (keepsRegisters: boolean): boolean => {
    const card = new Card({ capabilities: [powerManagement({ keepsRegisters })] });
    const { kernel, device } = open(card);
    const control = config + card.powerManagementAt! + PCI_PM_CTRL;
    kernel.pwrite(device, Uint8Array.of(3), control);
    kernel.pwrite(device, Uint8Array.of(card.command | PCI_COMMAND_MASTER), config + PCI_COMMAND);
    kernel.pwrite(device, Uint8Array.of(0), control);
    return (card.command & PCI_COMMAND_MASTER) !== 0;
  };
  expect([mastering(true), mastering(false)]).toEqual([true, false]);
});

it('on the first bus a function is reset by a way of its own, or not', () => {
  const reset = (keepsRegisters: boolean): string => {
    const { kernel, device } = open(new Card({ capabilities: [powerManagement({ keepsRegisters })] }));
    return answer(kernel.ioctl(device, VFIO_DEVICE_RESET.number));
  };
  expect(reset(false)).toBe('0');
  seam.closeAll();
  expect(reset(true)).toBe('EINVAL');
});

it('a virtual function is not reset with its bus, even where it is alone there', () => {
  const { kernel } = new Machine({
    devices: [
      { model: new Card({}) },
      { model: new Card({}), address: '0000:01:00.0', group: 4, physicalFunction: place.address },
      { model: new Card({}), address: '0000:02:00.0', group: 5 },
    ],
  });
  seam = new Seam(kernel);
  const single = seam.ready({ address: '0000:02:00.0', group: 5 }).device;
  expect(answer(kernel.ioctl(single, VFIO_DEVICE_RESET.number))).toBe('0');
  const virtual = seam.ready({ address: '0000:01:00.0', group: 4 }).device;
  expect(answer(kernel.ioctl(virtual, VFIO_DEVICE_RESET.number))).toBe('EINVAL');
});

it('a virtual function has no pin', () => {
  const { kernel } = new Machine({
    devices: [
      { model: new Card({}) },
      { model: new Card({ intx: true }), address: '0000:01:00.0', group: 4, physicalFunction: place.address },
    ],
  });
  seam = new Seam(kernel);
  const { device } = seam.ready({ address: '0000:01:00.0', group: 4 });
  expect(readAnswer(kernel, device, config + PCI_INTERRUPT_PIN, 1)).toBe('1:00');
});

it('a second open finds the device as it is', () => {
  const card = new Card({});
  const { kernel } = new Machine({ devices: [{ model: card, group: place.group }] });
  seam = new Seam(kernel);
  const { group, device } = seam.ready(place);
  expect(kernel.pwrite(device, Uint8Array.of(card.command | PCI_COMMAND_MASTER), config + PCI_COMMAND)).toBe(1);
  expect(seam.device(group, place.address)).toBeGreaterThanOrEqual(0);
  expect(card.command & PCI_COMMAND_MASTER).toBe(PCI_COMMAND_MASTER);
});
