/** openDevice: the way it takes, what it says of it, and what is left when a way is closed. */
import { beforeEach, expect, it } from 'vitest';
import { errno } from '../../lib/abi/errno.js';
import { Cdev, Container, findDevice, openDevice } from '../../lib/index.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { Seam } from '../support/seam.js';
import { hasNodes, type Subject, type Variant } from '../support/subject.js';

/** The kernel, with files that do not open. */
function without(kernel: Kernel, refused: Readonly<Record<string, number>>): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      if (name === 'open') return (path: string, flags: number) => refused[path] ?? target.open(path, flags);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...given: unknown[]) => unknown).bind(target) : value;
    },
  });
}

export function opening(variant: Variant): void {
  if (hasNodes(variant)) openingWithNodes(variant);
  else
    it('takes the group where the kernel gives no nodes, and says so', () => {
      const { kernel, edu } = variant.make();
      using opened = openDevice(kernel, edu.address);
      expect([opened.way, opened.reason]).toEqual(['group', 'The kernel gave the device no node of its own.']);
      expect(() => openDevice(kernel, edu.address, { by: 'node' })).toThrow(/^ENOENT: .*\/dev\/iommu/);
    });
}

function openingWithNodes(variant: Variant): void {
  let subject: Subject;
  let address: string;
  let node: string;

  beforeEach(() => {
    subject = variant.make();
    address = subject.edu.address;
    node = findDevice(subject.kernel, address).node ?? '';
  });

  const nothingIsOpen = (): void => {
    openDevice(subject.kernel, address, { by: 'node' }).close();
    openDevice(subject.kernel, address, { by: 'group' }).close();
  };

  it('takes the node where it can, and says so', () => {
    using opened = openDevice(subject.kernel, address);
    expect([opened.way, opened.reason]).toEqual(['node', `The kernel has ${node} and /dev/iommu, and lets them be opened.`]);
    expect(opened.device).toBeInstanceOf(Cdev);
    expect(opened.device.address).toBe(address);
  });

  it.each([
    ['node', 'Ioas'],
    ['group', 'Container'],
  ] as const)('takes the %s alone where that is asked for', (by, kind) => {
    using opened = openDevice(subject.kernel, address, { by });
    expect([opened.way, opened.reason, opened.dma.constructor.name]).toEqual([by, 'It was asked for.', kind]);
    opened.close();
    opened.close();
    expect(opened.device.closed).toBe(true);
    nothingIsOpen();
  });

  it('takes the group where the kernel has no /dev/iommu, or not for this user', () => {
    for (const [path, result, code] of [
      ['/dev/iommu', -errno.ENOENT, 'ENOENT'],
      ['/dev/iommu', -errno.EACCES, 'EACCES'],
      [node, -errno.EACCES, 'EACCES'],
    ] as const) {
      const kernel = without(subject.kernel, { [path]: result });
      using opened = openDevice(kernel, address);
      expect(opened.way).toBe('group');
      expect(opened.reason).toContain(`Its own node is not to be used: ${code}: `);
      expect(opened.reason).toContain(`open '${path}'`);
      expect(() => openDevice(kernel, address, { by: 'node' })).toThrow(expect.objectContaining({ code }));
    }
    nothingIsOpen();
  });

  it('tells of both ways when neither is open', () => {
    const group = `/dev/vfio/${subject.edu.group}`;
    const kernel = without(subject.kernel, { '/dev/iommu': -errno.EACCES, [group]: -errno.EACCES });
    expect(() => openDevice(kernel, address)).toThrow(
      expect.objectContaining({ code: 'EACCES', path: group, cause: expect.objectContaining({ code: 'EACCES', path: '/dev/iommu' }) }),
    );
    nothingIsOpen();
  });

  it('does not try the group where the node refuses the device', () => {
    const { kernel } = subject;
    {
      using container = Container.open(kernel);
      container.openGroup(subject.edu.group);
      expect(() => openDevice(kernel, address)).toThrow(/^EBUSY: .*VFIO_DEVICE_BIND_IOMMUFD.*through its group or by its own node/);
    }
    using first = openDevice(kernel, address);
    expect(() => openDevice(kernel, address)).toThrow(/^EINVAL: .*VFIO_DEVICE_BIND_IOMMUFD/);
    expect(() => openDevice(kernel, address, { by: 'group' })).toThrow(/^EBUSY/);
    expect(first.device.region(0).mmio.read32(0)).toBe(0x0100_00ed);
  });

  it('refuses a way that there is not', () => {
    expect(() => openDevice(subject.kernel, address, { by: 'magic' as 'node' })).toThrow(
      "Expected one of node, group, compatibility for by but received 'magic'",
    );
  });

  it('leaves nothing open when the device is of a group that a host driver shares', () => {
    for (const by of ['node', 'group'] as const)
      expect(() => openDevice(subject.kernel, subject.shared.address, { by })).toThrow(expect.objectContaining({ code: 'EPERM' }));
    const seam = new Seam(subject.kernel);
    expect(seam.group(subject.shared)).toBeGreaterThanOrEqual(0);
    seam.closeAll();
  });
}
