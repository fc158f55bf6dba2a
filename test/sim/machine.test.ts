import { describe, expect, it } from 'vitest';
import { openDevice, type Container } from '../../lib/index.js';
import type { Mapping, Watch } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';

const text = (bytes: Uint8Array | number): string | number => (typeof bytes === 'number' ? bytes : new TextDecoder().decode(bytes));

describe('Machine', () => {
  it('gives addresses, groups and drivers of its own accord', () => {
    const { files } = new Machine({ devices: [{ model: new Edu() }, { model: new Edu(), group: 9 }, { model: new Edu() }] }).kernel;
    expect(files.readdir('/sys/bus/pci/devices')).toEqual(['0000:00:03.0', '0000:00:04.0', '0000:00:05.0']);
    expect(files.readdir('/dev/vfio')).toEqual(['0', '1', '9', 'devices', 'vfio']);
    expect(files.readlink('/sys/bus/pci/devices/0000:00:04.0/iommu_group')).toBe('../../../kernel/iommu_groups/9');
  });

  it('refuses what makes no machine, naming the argument', () => {
    const model = new Edu();
    const known = '6.1, 6.12, 7.3, 6.12-vsva, 6.12-iommufd-rfc';
    expect(() => new Machine({ kernel: '2.6' as never })).toThrow(`Expected one of ${known} for kernel but received '2.6'`);
    expect(() => new Machine({ container: 'type1' as never })).toThrow("Expected one of vfio, iommufd for container but received 'type1'");
    expect(() => new Machine({ container: 'iommufd', iommu: 'spapr' })).toThrow('Expected one of vfio for container');
    expect(() => new Machine({ iommu: 'sparc' as never })).toThrow('for iommu');
    expect(() => new Machine({ devices: [{ model, address: '3.0' }] })).toThrow('for address');
    expect(
      () =>
        new Machine({
          devices: [
            { model: new Edu(), address: '0000:00:03.0' },
            { model: new Edu(), address: '0000:00:03.0' },
          ],
        }),
    ).toThrow('for address');
    expect(() => new Machine({ devices: [{ model, physicalFunction: '0000:00:04.0' }] })).toThrow('for physicalFunction');
    expect(() => new Machine({ devices: Array.from({ length: 30 }, () => ({ model: new Edu() })) })).toThrow('The bus is full');
    new Machine({ devices: [{ model }] });
    expect(() => new Machine({ devices: [{ model }] })).toThrow('for model');
    for (const device of [Edu, { model: Edu }, new Edu(), {}, undefined])
      expect(() => new Machine({ devices: [device as never] })).toThrow('Expected { model: new Edu() }, or another model, for devices[0]');
  });

  it('its files answer as files do', () => {
    const { files } = new Machine({ iommu: 'amd', devices: [{ model: new Edu() }] }).kernel;
    expect(text(files.readFile('/sys/bus/pci/devices/0000:00:03.0/vendor'))).toBe('0x1234\n');
    expect(text(files.readFile('/sys/bus/pci/devices/../devices/./0000:00:03.0/iommu_group/reserved_regions'))).toBe(
      '0x00000000fee00000 0x00000000feefffff msi\n0x000000fd00000000 0x000000ffffffffff reserved\n',
    );
    const [ENOENT, EACCES, ENOTDIR, EISDIR, EINVAL] = [-2, -13, -20, -21, -22];
    expect(files.readFile('/sys/nothing')).toBe(ENOENT);
    expect(files.readFile('/sys')).toBe(EISDIR);
    expect(files.readFile('/dev/vfio/vfio')).toBe(EACCES);
    expect(files.readFile('/sys/bus/pci/devices/0000:00:03.0/vendor/x')).toBe(ENOTDIR);
    expect(files.readdir('/sys/bus/pci/devices/0000:00:03.0/vendor')).toBe(ENOTDIR);
    expect(files.readlink('/sys')).toBe(EINVAL);
    expect(files.writeFile('/sys/bus/pci/devices/0000:00:03.0/vendor', new Uint8Array(1))).toBe(EACCES);
    expect(files.access('/sys/__proto__')).toBe(ENOENT);
  });

  it("an fd below 0 is no fd at all, and refused as the real kernel's addon refuses it", () => {
    const { kernel } = new Machine();
    const refused = new RangeError('Expected an integer from 0 to 2147483647 for fd but received -1');
    expect(() => kernel.close(-1)).toThrow(refused);
    expect(() => kernel.ioctl(-1, 0)).toThrow(refused);
    for (const call of ['read', 'write'] as const) expect(() => kernel[call](-1, new Uint8Array(8))).toThrow(refused);
    for (const call of ['pread', 'pwrite'] as const) expect(() => kernel[call](-1, new Uint8Array(8), 0)).toThrow(refused);
    expect(() => kernel.watch(-1, () => {})).toThrow(refused);
    expect(kernel.close(0x7fff_ffff)).toBe(-9);
  });

  it('refuses numbers that no call takes, naming the argument', () => {
    const { kernel } = new Machine();
    const fd = kernel.memfd('x', 4096, 0);
    for (const length of [-1, 0.5, 2 ** 48]) expect(() => kernel.mmap(-1, length, 3, 0x22, 0)).toThrow('for length');
    for (const offset of [-1, 0.5, 2 ** 53]) {
      expect(() => kernel.mmap(-1, 4096, 3, 0x22, offset)).toThrow('for offset');
      expect(() => kernel.pread(fd, new Uint8Array(8), offset)).toThrow('for offset');
      expect(() => kernel.pwrite(fd, new Uint8Array(8), offset)).toThrow('for offset');
    }
    for (const size of [-1, 0.5]) expect(() => kernel.memfd('x', size, 0)).toThrow('for size');
    expect(() => kernel.addressOf(new ArrayBuffer(0))).toThrow('for memory');
  });

  it('opens no file that is only to be read', () => {
    const { kernel } = new Machine();
    expect([kernel.open('/sys/class', 0), kernel.open('/sys/nothing', 0)]).toEqual([-13, -2]);
  });

  it('takes devices from whatever driver has them, and none that there is not', async () => {
    const machine = new Machine({ devices: [{ model: new Edu(), driver: 'nvme', hostDriver: 'nvme' }, { model: new Edu() }] });
    await machine.unbind('0000:00:03.0');
    expect(machine.kernel.files.readlink('/sys/bus/pci/devices/0000:00:03.0/driver')).toBe(-2);
    expect(machine.kernel.files.readlink('/sys/bus/pci/devices/0000:00:04.0/driver')).toBe('../../../bus/pci/drivers/vfio-pci');
    await expect(machine.unbind('0000:00:05.0')).rejects.toThrow('for address');
  });

  it('two machines know nothing of each other', () => {
    const [one, two] = [new Machine({ devices: [{ model: new Edu() }] }), new Machine({ devices: [{ model: new Edu() }] })];
    expect(one.kernel.open('/dev/vfio/0', 2)).toBeGreaterThan(0);
    expect(two.kernel.open('/dev/vfio/0', 2)).toBeGreaterThan(0);
    expect(one.kernel.open('/dev/vfio/0', 2)).toBe(-16);
  });
});

describe('memory of a simulated process', () => {
  it('mapped memory lies on a page, other memory does not, and each keeps its address', () => {
    const { kernel } = new Machine();
    const mapping = kernel.mmap(-1, 10_000, 3, 0x22, 0) as Mapping;
    const other = new ArrayBuffer(10);
    expect(kernel.addressOf(mapping.memory!) % 4096n).toBe(0n);
    expect(kernel.addressOf(other) % 4096n).toBe(16n);
    expect(kernel.addressOf(other)).toBe(kernel.addressOf(other));
    expect(kernel.addressOf(other)).not.toBe(kernel.addressOf(new ArrayBuffer(10)));
    mapping.unmap();
    expect(mapping.memory!.byteLength).toBe(0);
    // Pages are of 4 KiB here.
    const small = [1, 2].map(() => kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping);
    expect(small.map(({ memory }) => kernel.addressOf(memory!) % 0x1_0000n)).not.toEqual([0n, 0n]);
    for (const each of small) each.unmap();
    expect(() => mapping.mmio.read8(0)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });

  it('stays for devices as long as one mapping of it is left', () => {
    class Reader extends Edu {
      byteAt(iova: bigint): number | undefined {
        const byte = new Uint8Array(1);
        return this.dma.read(iova, byte) ? byte[0] : undefined;
      }
    }
    const model = new Reader();
    const { kernel } = new Machine({ devices: [{ model }] });
    using opened = openDevice(kernel, '0000:00:03.0', { by: 'group' });
    opened.device.enableBusMaster();
    const memory = kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
    memory.mmio.write8(0, 7);
    const address = kernel.addressOf(memory.memory!);
    const container = opened.dma as Container;
    for (const iova of [0x1000_0000n, 0x2000_0000n]) container.map({ iova, address, size: 4096n });
    memory.unmap();
    container.unmap({ iova: 0x1000_0000n, size: 4096n });
    expect([model.byteAt(0x1000_0000n), model.byteAt(0x2000_0000n)]).toEqual([undefined, 7]);
    container.unmap({ iova: 0x2000_0000n, size: 4096n });
    const entry = new BigUint64Array(1);
    const pagemap = kernel.open('/proc/self/pagemap', 0);
    expect(kernel.pread(pagemap, new Uint8Array(entry.buffer), Number(address / 4096n) * 8)).toBe(8);
    expect(entry[0]).toBe(0n);
    kernel.close(pagemap);
  });

  it('is read and written in every width', () => {
    const mapping = new Machine().kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping;
    const { mmio } = mapping;
    mmio.write64(8, 0x1122_3344_5566_7788n);
    expect([mmio.read8(8), mmio.read16(8), mmio.read32(12), mmio.read64(8)]).toEqual([0x88, 0x7788, 0x1122_3344, 0x1122_3344_5566_7788n]);
    mmio.write8(0, 1);
    mmio.write16(2, 2);
    mmio.write32(4, 3);
    expect([...new Uint8Array(mapping.memory!, 0, 8)]).toEqual([1, 0, 2, 0, 3, 0, 0, 0]);
    mapping.unmap();
  });

  it('takes accesses of a mapping that lie in it, at multiples of their width, and that it was mapped for', () => {
    const { kernel } = new Machine();
    const [both, writable] = [3, 2].map((protection) => kernel.mmap(-1, 4096, protection, 0x22, 0) as Mapping);
    for (const offset of [-4, 2, 0.5, 4096]) {
      expect(() => both!.mmio.read32(offset)).toThrow('Expected a multiple of 4 from 0 to 4092 for offset');
      expect(() => both!.mmio.write32(offset, 0)).toThrow('Expected a multiple of 4 from 0 to 4092 for offset');
    }
    writable!.mmio.write32(4092, 1);
    expect(() => writable!.mmio.read32(4092)).toThrow('Expected a mapping that is readable');
    for (const mapping of [both, writable]) mapping!.unmap();
  });

  it('an eventfd that would block for ever says so', () => {
    const { kernel } = new Machine();
    const fd = kernel.eventfd(0, 0);
    expect(() => kernel.read(fd, new Uint8Array(8))).toThrow('EFD_NONBLOCK');
    expect(kernel.read(kernel.eventfd(0, 0x800), new Uint8Array(8))).toBe(-11);
    expect(kernel.read(kernel.eventfd(3, 0x800), new Uint8Array(4))).toBe(-22);
    const add = (value: bigint): number => kernel.write(full, new Uint8Array(BigUint64Array.of(value).buffer));
    const full = kernel.eventfd(0, 0x800);
    expect([add(2n ** 64n - 1n), add(2n ** 64n - 2n), add(1n), kernel.write(full, new Uint8Array(4))]).toEqual([-22, 8, -11, -22]);
  });

  it('a watch keeps the process alive while it is to', () => {
    const { kernel } = new Machine();
    const fd = kernel.eventfd(0, 0x800);
    const timers = (): number => process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length;
    const before = timers();
    const watch = kernel.watch(fd, () => {}) as Watch;
    watch.ref();
    watch.ref();
    expect(timers()).toBe(before + 1);
    watch.unref();
    expect(timers()).toBe(before);
    watch.ref();
    watch.stop();
    watch.ref();
    expect(timers()).toBe(before);
    kernel.close(fd);
  });
});

it('a watch calls back once a turn, however often something came, and only while there is something to read', async () => {
  const { kernel } = new Machine();
  const counter = kernel.eventfd(0, 0x800);
  let calls = 0;
  const watch = kernel.watch(counter, () => (calls += 1)) as Watch;
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect(calls).toBe(0);
  for (let i = 0; i < 3; i += 1) kernel.write(counter, new Uint8Array(BigUint64Array.of(1n).buffer));
  await new Promise(setImmediate);
  expect(calls).toBe(1);
  await new Promise(setImmediate);
  expect(calls).toBe(2);
  kernel.read(counter, new Uint8Array(8));
  await new Promise(setImmediate);
  expect(calls).toBe(2);
  watch.stop();
  kernel.close(counter);
});
