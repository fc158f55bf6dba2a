/** What sysfs shows of PCI functions: configuration space, addresses, link, power, resets and interrupts. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_MSIX_IRQ_INDEX } from '../../lib/abi/vfio/irq.js';
import { Seam } from '../support/seam.js';
import type { Place, Subject, Variant } from '../support/subject.js';

interface Shown {
  /** Bytes of configuration space. */
  readonly config: number;
  /** Sizes and flags of its BARs and its ROM, by their places among the lines of `resource`. */
  readonly resources: Readonly<Record<number, readonly [size: number, flags: number]>>;
  /** Their contents, or undefined where there is no such file. */
  readonly files: Readonly<Record<string, string | undefined>>;
}

const noLink = { current_link_speed: undefined, max_link_speed: undefined, current_link_width: undefined, max_link_width: undefined };
const slowLink = { current_link_speed: '2.5 GT/s PCIe', max_link_speed: '2.5 GT/s PCIe', current_link_width: '1', max_link_width: '1' };
const unknownLink = { current_link_speed: 'Unknown', max_link_speed: 'Unknown', current_link_width: '0', max_link_width: '255' };
const notVirtual = { sriov_totalvfs: undefined, sriov_numvfs: undefined };

const devices = {
  edu: {
    config: 256,
    resources: { 0: [1 << 20, 0x4_0200] },
    files: { ...noLink, ...notVirtual, reset_method: undefined, modalias: 'pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00' },
  },
  nvme: {
    config: 4096,
    resources: { 0: [0x4000, 0x14_0204] },
    files: { ...unknownLink, ...notVirtual, reset_method: 'flr', modalias: 'pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02' },
  },
  express: {
    config: 4096,
    resources: {
      0: [0x2_0000, 0x4_0200],
      1: [0x2_0000, 0x4_0200],
      2: [32, 0x4_0101],
      3: [0x4000, 0x4_0200],
      6: [0x4_0000, 0x4_6200],
    },
    files: { ...slowLink, ...notVirtual, reset_method: 'pm bus', modalias: 'pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00' },
  },
  lone: {
    config: 4096,
    resources: { 0: [0x4000, 0x14_0204] },
    files: { sriov_totalvfs: '2', sriov_numvfs: '0', reset_method: 'flr bus' },
  },
} satisfies Record<string, Shown>;

export function sysfs(variant: Variant): void {
  let subject: Subject;
  let seam: Seam;

  beforeEach(() => {
    subject = variant.make();
    seam = new Seam(subject.kernel);
  });
  afterEach(() => seam.closeAll());

  const path = ({ address }: Place, file: string): string => `/sys/bus/pci/devices/${address}/${file}`;
  const read = (place: Place, file: string): string | undefined => {
    const bytes = subject.kernel.files.readFile(path(place, file));
    return typeof bytes === 'number' ? undefined : new TextDecoder().decode(bytes).replace(/\n$/, '');
  };
  const interrupts = (place: Place): string[] => {
    const names = subject.kernel.files.readdir(path(place, 'msi_irqs'));
    return typeof names === 'number' ? [] : names.map((name) => read(place, `msi_irqs/${name}`) ?? '');
  };

  describe.each(Object.entries(devices) as [keyof typeof devices, Shown][])('sysfs of %s', (name, { config, resources, files }) => {
    it('has its configuration space, as long as it is, its ids first', () => {
      const bytes = subject.kernel.files.readFile(path(subject[name], 'config'));
      expect(typeof bytes === 'number' ? bytes : bytes.byteLength).toBe(config);
      const [a = 0, b = 0, c = 0, d = 0] = bytes as Uint8Array;
      expect([a | (b << 8), c | (d << 8)]).toEqual(['vendor', 'device'].map((file) => Number(read(subject[name], file))));
    });

    it('has the sizes and kinds of its BARs and its ROM, at addresses that they can be at', () => {
      const lines = read(subject[name], 'resource')?.split('\n') ?? [];
      expect(lines).toHaveLength(13);
      for (const [index, line] of lines.slice(0, 7).entries()) {
        const [start = 0, last = 0, flags = 0] = line.split(' ').map(Number);
        const [size, kind] = (resources as Shown['resources'])[index] ?? [0, 0];
        expect([index, size === 0 ? last : last - start + 1, flags]).toEqual([index, size, kind]);
        expect([index, size > 0 && start % size]).toEqual([index, size > 0 && 0]);
      }
    });

    it.each(Object.entries(files))('has %s: %s', (file, wanted) => {
      expect(read(subject[name], file)).toBe(wanted);
    });
  });

  it('a device that can sleep does so while nobody has it open, and is enabled by whoever opens it', async () => {
    const { nvme, edu } = subject;
    await subject.asleep(nvme.address);
    expect([read(nvme, 'power_state'), read(nvme, 'enable'), read(edu, 'power_state'), read(edu, 'enable')]).toEqual([
      ...['D3hot', '0', 'D0', '0'],
    ]);
    seam.ready(nvme);
    expect([read(nvme, 'power_state'), read(nvme, 'enable')]).toEqual(['D0', '1']);
    seam.closeAll();
    expect(read(nvme, 'enable')).toBe('0');
  });

  it('message-signalled interrupts are there while they are allocated, with their kind', () => {
    const { nvme } = subject;
    expect(interrupts(nvme)).toEqual([]);
    const { device } = seam.ready(nvme);
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    expect(seam.setIrqs(device, { flags, index: VFIO_PCI_MSIX_IRQ_INDEX, data: [seam.eventfd(), seam.eventfd(), seam.eventfd()] })).toBe(
      '0',
    );
    expect(interrupts(nvme)).toEqual(['msix', 'msix', 'msix']);
    seam.closeAll();
    expect(interrupts(nvme)).toEqual([]);
  });

  it('the first device of a bus was found when it was alone there, and a reset of the bus is among its ways', () => {
    expect(read(subject.shared, 'reset_method')).toBe('bus');
    const second = { ...subject.shared, address: subject.shared.address.replace(':01.0', ':02.0') };
    expect([read(second, 'vendor') === undefined, read(second, 'reset_method')]).toEqual([false, undefined]);
  });

  it('a ROM cannot be read before it is turned on', () => {
    expect(subject.kernel.files.readFile(path(subject.express, 'rom'))).toBe(-errno.EINVAL);
    expect(subject.kernel.files.access(path(subject.edu, 'rom'))).toBe(-errno.ENOENT);
  });
}

/** Of a physical function and a virtual one of it. */
export function sysfsOfFunctions(variant: Variant): void {
  it('a physical function and its virtual ones lead to each other', () => {
    const subject = variant.make();
    const { kernel } = subject;
    const { physical, virtual } = subject.functions();
    const folder = ({ address }: Place): string => `/sys/bus/pci/devices/${address}`;
    expect(kernel.files.readlink(`${folder(virtual)}/physfn`)).toBe(`../${physical.address}`);
    expect(kernel.files.readlink(`${folder(physical)}/virtfn0`)).toBe(`../${virtual.address}`);
    const count = kernel.files.readFile(`${folder(physical)}/sriov_numvfs`);
    expect(typeof count === 'number' ? count : Number(new TextDecoder().decode(count))).toBeGreaterThan(0);
  });
}
