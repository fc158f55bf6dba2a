/** A Container over /dev/iommu, as users have it. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VFIO_TYPE1_IOMMU } from '../../lib/abi/vfio/container.js';
import { Container, Iommufd, type Device } from '../../lib/index.js';
import type { Subject, Variant } from '../support/subject.js';

const page = 4096n;
const below = 0xfff_ffffn;
const deviceMemory = 0x4_0000n;

export function compatibilityApi(variant: Variant): void {
  let subject: Subject;
  let iommufd: Iommufd;

  beforeEach(() => {
    subject = variant.make();
    iommufd = Iommufd.open(subject.kernel);
  });
  afterEach(() => iommufd.close());

  const use = (container: Container): Device => {
    const device = container.openGroup(subject.edu.group).openDevice(subject.edu.address);
    device.enableBusMaster();
    return device;
  };
  /** The device's own DMA: memory to its buffer, or back. */
  const transfer = async (device: Device, source: bigint, destination: bigint, command: bigint): Promise<void> => {
    const { mmio } = device.region(0);
    mmio.write64(0x80, source);
    mmio.write64(0x88, destination);
    mmio.write64(0x90, 64n);
    mmio.write64(0x98, command);
    for (let waited = 0; waited < 5000 && (mmio.read64(0x98) & 1n) !== 0n; waited += 10) await new Promise((done) => setTimeout(done, 10));
  };
  /** What comes back when the device reads at one IOVA and writes at another. */
  const copies = async (device: Device, from: bigint, to: bigint): Promise<void> => {
    await transfer(device, from, deviceMemory, 0b01n);
    await transfer(device, deviceMemory, to, 0b11n);
  };

  it('of its own: a driver written for containers runs on it', async () => {
    using container = Container.open(subject.kernel, '/dev/iommu');
    const device = use(container);
    container.setIommu();
    const [source, target] = [container.allocate(4096, { below }), container.allocate(4096, { below })];
    source.bytes.fill(0x5a);
    await copies(device, source.iova, target.iova);
    expect([...target.bytes.subarray(62, 66)]).toEqual([0x5a, 0x5a, 0, 0]);
    expect(container.info()).toMatchObject({ mappingsAvailable: 0xffff_ffff, dirtyTracking: undefined });
  });

  it('over an open one: both map in the same address space', async () => {
    const container = Container.over(iommufd);
    expect(iommufd.compatibilityIoas()).toBeUndefined();
    const device = use(container);
    const space = iommufd.compatibilityIoas()!;
    expect([space.id, iommufd.compatibilityIoas()]).toEqual([1, space]);
    expect(container.ranges()).toEqual(space.ranges());
    const [source, target] = [space.allocate(4096, { below }), container.allocate(4096, { below })];
    source.bytes.fill(0x77);
    await copies(device, source.iova, target.iova);
    expect(target.bytes[63]).toBe(0x77);
    expect(container.unmap({ iova: source.iova, size: page })).toBe(page);
    expect(space.unmap({ iova: target.iova, size: page })).toBe(page);
  });

  it('where something is mapped by the other, allocate finds another place', () => {
    const container = Container.over(iommufd);
    use(container);
    const space = iommufd.compatibilityIoas()!;
    const first = container.allocate(4096);
    first.close();
    using buffer = container.allocate(4096);
    expect(buffer.iova).toBe(first.iova);
    space.map({ iova: first.iova + page, address: subject.kernel.addressOf(buffer.memory), size: page });
    using next = container.allocate(4096);
    expect(next.iova).toBe(first.iova + 2n * page);
  });

  it('an address space that is set is what the container maps in', () => {
    const [first, second] = [iommufd.createIoas(), iommufd.createIoas()];
    iommufd.setCompatibilityIoas(second);
    const container = Container.over(iommufd);
    use(container);
    const buffer = container.allocate(4096);
    expect([first.unmapAll(), second.unmap({ iova: buffer.iova, size: page })]).toEqual([0n, page]);
    buffer.close();
    iommufd.setCompatibilityIoas(first);
    expect(iommufd.compatibilityIoas()).toBe(first);
    iommufd.setCompatibilityIoas(undefined);
    expect(iommufd.compatibilityIoas()).toBeUndefined();
    expect(() => container.info()).toThrow(/^ENODEV.*setCompatibilityIoas/);
    expect(() => container.setIommu()).toThrow(/^ENODEV.*put a group in it/);
  });

  it('closing the container leaves the file open, and closing the file closes the container', () => {
    const container = Container.over(iommufd);
    const device = use(container);
    const buffer = container.allocate(4096);
    container.close();
    expect([device.closed, buffer.closed, iommufd.closed]).toEqual([true, true, false]);
    expect(iommufd.compatibilityIoas()!.unmapAll()).toBe(0n);
    const again = Container.over(iommufd);
    const second = use(again);
    iommufd.close();
    expect([again.closed, second.closed]).toEqual([true, true]);
    expect(() => Container.over(iommufd)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
    using own = Container.open(subject.kernel, '/dev/iommu');
    use(own);
  });

  it('a buffer goes with its group away, too', () => {
    const container = Container.over(iommufd);
    const group = container.openGroup(subject.edu.group);
    const buffer = container.allocate(4096);
    group.close();
    buffer.close();
    expect(iommufd.compatibilityIoas()!.unmapAll()).toBe(0n);
  });

  it('the address space that the kernel made can be destroyed when no device is on it', () => {
    const container = Container.over(iommufd);
    const device = use(container);
    const space = iommufd.compatibilityIoas()!;
    expect(() => iommufd.compatibilityIoas()!.close()).toThrow(/^EBUSY/);
    device.close();
    expect(space.closed).toBe(true);
    const again = iommufd.compatibilityIoas()!;
    again.close();
    expect(iommufd.compatibilityIoas()).toBeUndefined();
    expect(() => container.openGroup(subject.shared.group)).not.toThrow();
    expect(iommufd.compatibilityIoas()?.id).toBe(1);
  });

  it('version 1 of type1 takes parts of mappings away', () => {
    const container = Container.over(iommufd);
    use(container);
    container.setIommu(VFIO_TYPE1_IOMMU);
    const buffer = container.allocate(4 * 4096);
    expect(container.unmap({ iova: buffer.iova + page, size: page })).toBe(page);
    expect(container.unmapAll()).toBe(3n * page);
  });

  it('takes an address space of its own file alone', () => {
    using other = Iommufd.open(subject.kernel);
    const foreign = other.createIoas();
    expect(() => iommufd.setCompatibilityIoas(foreign)).toThrow(/^Expected an address space of this iommufd/);
    const closed = iommufd.createIoas();
    closed.close();
    expect(() => iommufd.setCompatibilityIoas(closed)).toThrow(expect.objectContaining({ code: 'ERR_VFIO_CLOSED' }));
  });

  it('maps nothing that nobody may reach', () => {
    const container = Container.over(iommufd);
    use(container);
    using buffer = container.allocate(4096);
    const address = subject.kernel.addressOf(buffer.memory);
    expect(() => container.map({ iova: 0x100_0000n, address, size: page, read: false, write: false })).toThrow(
      /^Expected true for read or write/,
    );
  });
}
