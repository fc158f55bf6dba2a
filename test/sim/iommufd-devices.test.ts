/** Devices of one group, and of more than one IOMMU, in one file of /dev/iommu. */
import { describe, expect, it } from 'vitest';
import {
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_SET,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '../../lib/abi/iommufd/object.js';
import { IOMMU_VIOMMU_TYPE_ARM_SMMUV3 } from '../../lib/abi/iommufd/viommu.js';
import { VFIO_DEVICE_BIND_IOMMUFD, vfio_device_bind_iommufd } from '../../lib/abi/vfio/cdev.js';
import { Cdev, findDevice, Iommufd } from '../../lib/index.js';
import { Edu, Machine, PciFunction, type MachineOptions } from '../../lib/sim/index.js';
import { IoasSeam } from '../support/ioas-seam.js';
import * as mock from '../support/mock/abi.js';
import { mockKernel } from '../support/mock/kernel.js';
import { MockSeam } from '../support/mock/seam.js';
import { answer } from '../support/seam.js';
import { Type1Seam } from '../support/type1-seam.js';
import { ViommuSeam } from '../support/viommu-seam.js';

/** An edu on a machine of its own, bound to /dev/iommu. */
function bind(options: MachineOptions = {}, test?: ConstructorParameters<typeof Machine>[1]) {
  const { kernel } = new Machine({ ...options, devices: [{ model: new Edu() }] }, test);
  const iommufd = Iommufd.open(kernel);
  const device = Cdev.open(iommufd, findDevice(kernel, '0000:00:03.0'));
  return { kernel, iommufd, device, [Symbol.dispose]: () => iommufd.close() };
}

describe('devices of one group', () => {
  const addresses = ['0000:01:01.0', '0000:01:02.0'] as const;
  const other = '0000:01:03.0';
  const machine = (): Machine =>
    new Machine({
      devices: [...addresses, other].map((address) => ({ model: new Edu(), address, group: address === other ? 6 : 5 })),
    });

  it('share a page table: the second is attached to no other', () => {
    const { kernel } = machine();
    using iommufd = Iommufd.open(kernel);
    const [first, second] = addresses.map((address) => Cdev.open(iommufd, findDevice(kernel, address))) as [Cdev, Cdev];
    const [space, elsewhere] = [iommufd.createIoas(), iommufd.createIoas()];
    const [one, two] = [space.createPageTable(first), elsewhere.createPageTable(first)];
    first.attach(one);
    expect(() => second.attach(two)).toThrow(/^EINVAL/);
    expect(() => second.attach(elsewhere)).toThrow(/^EINVAL/);
    expect(second.attach(one)).toBe(one.id);
    // All of the group go over.
    expect(second.attach(two)).toBe(two.id);
    first.detach();
    second.detach();
  });

  it('belong together in a reset of their bus, and one of another group does not', () => {
    const { kernel } = machine();
    using iommufd = Iommufd.open(kernel);
    const first = Cdev.open(iommufd, findDevice(kernel, addresses[0]));
    expect(first.hotResetInfo().devices.map(({ address, owned }) => [address, owned])).toEqual([
      ...addresses.map((address) => [address, true]),
      [other, false],
    ]);
    iommufd.createIoas();
    expect(first.hotResetInfo().allOwned).toBe(false);
  });
});

it('memory of a device is not cut in two', () => {
  using here = bind();
  const { kernel, iommufd, device } = here;
  const space = iommufd.createIoas();
  const calls = new IoasSeam(kernel, iommufd.fd);
  const chosen = iommu_vfio_ioas.create();
  Object.assign(chosen, { size: iommu_vfio_ioas.size, op: IOMMU_VFIO_IOAS_SET, ioas_id: space.id });
  expect(kernel.ioctl(iommufd.fd, IOMMU_VFIO_IOAS.number, chosen.bytes)).toBe(0);
  expect(calls.option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, space.id, 0n)).toBe('0');
  using bar = device.exportBar(0, [{ offset: 0n, size: 0x4000n }]);
  const iova = space.mapFile({ fd: bar.fd, size: 0x4000n, iova: 0x10_0000n });
  const type1 = new Type1Seam(kernel, iommufd.fd, 0n);
  expect([type1.unmap(iova, 0x1000n), type1.unmap(iova, 0x4000n)]).toEqual(['EOPNOTSUPP', '0x4000 bytes']);
  calls.close();
});

it('memory of a device is mapped in one piece, while the device decodes it', () => {
  using here = bind();
  const { iommufd, device } = here;
  const space = iommufd.createIoas();
  device.attach(space);
  using whole = device.exportBar(0);
  using parts = device.exportBar(0, [
    { offset: 0n, size: 0x1000n },
    { offset: 0x2000n, size: 0x1000n },
  ]);
  expect(() => space.mapFile({ fd: parts.fd, size: 0x2000n })).toThrow(/^EOPNOTSUPP/);
  expect(space.mapFile({ fd: whole.fd, size: 0x1000n, iova: 0x10_0000n })).toBe(0x10_0000n);
  space.unmapAll();
  device.config.write16(4, 0);
  expect(() => space.mapFile({ fd: whole.fd, size: 0x1000n })).toThrow(/^ENODEV/);
  device.config.write16(4, 2);
  expect(space.mapFile({ fd: whole.fd, size: 0x1000n, iova: 0x10_0000n })).toBe(0x10_0000n);
});

it('registers of a device are reached by another as wide as they can be, each at a multiple of its width', () => {
  const accesses: string[] = [];
  class Watched extends PciFunction {
    constructor() {
      super({ vendor: 0x1af4, device: 0x10f0, classCode: 0xff0000, bars: { 0: 4096 } });
    }
    override readBar(_bar: number, offset: number, width: number): bigint {
      accesses.push(`${width} at ${offset}`);
      return 0n;
    }
  }
  class Reader extends PciFunction {
    constructor() {
      super({ vendor: 0x1af4, device: 0x10f1, classCode: 0xff0000, bars: { 0: 4096 } });
    }
    read(iova: bigint, length: number): boolean {
      return this.dma.read(iova, new Uint8Array(length));
    }
  }
  const reader = new Reader();
  const { kernel } = new Machine({ devices: [{ model: new Watched() }, { model: reader }] });
  using iommufd = Iommufd.open(kernel);
  const [watched, reading] = ['0000:00:03.0', '0000:00:04.0'].map((address) => Cdev.open(iommufd, findDevice(kernel, address)));
  const space = iommufd.createIoas();
  watched!.attach(space);
  reading!.attach(space);
  reading!.enableBusMaster();
  using bar = watched!.exportBar(0);
  const iova = space.mapFile({ fd: bar.fd, size: 0x1000n });
  expect(reader.read(iova + 1n, 22)).toBe(true);
  expect(accesses).toEqual(['1 at 1', '2 at 2', '4 at 4', '8 at 8', '4 at 16', '2 at 20', '1 at 22']);
});

describe('devices of two IOMMUs', () => {
  /** The ids of an edu and of a mock device, on the machine's IOMMU and the mocks'. */
  const bindBesideMock = (options: MachineOptions) => {
    const { kernel, iommufd, device, ...bound } = bind(options, mockKernel);
    const [spaces, viommus] = [new IoasSeam(kernel, iommufd.fd), new ViommuSeam(kernel, iommufd.fd)];
    const { device: mocked } = new MockSeam(kernel, iommufd.fd).device(spaces.alloc());
    const close = (): void => {
      viommus.close();
      spaces.close();
      bound[Symbol.dispose]();
    };
    return { spaces, viommus, device: device.id, mocked, [Symbol.dispose]: close };
  };

  it('have no page tables, virtual IOMMUs and names on them in common', () => {
    using here = bindBesideMock({ iommuFeatures: ['nesting'] });
    const { spaces, viommus, device, mocked } = here;
    const [space, mockSpace] = [spaces.alloc(), spaces.alloc()];
    const [parent, mockParent] = [Number(viommus.table(device, space)), Number(viommus.table(mocked, mockSpace))];
    const data = { data_type: 1, data_len: 24, data_uptr: viommus.address };
    expect(Number(viommus.table(device, parent, { flags: 0, ...data }))).toBeGreaterThan(0);
    expect(viommus.table(device, mockParent, { flags: 0, ...data })).toBe('EINVAL');
    expect(viommus.nested(mocked, parent)).toBe('EINVAL');
    const viommu = Number(viommus.alloc(mocked, mockParent));
    expect(viommus.table(device, viommu, { flags: 0, data_type: mock.IOMMU_HWPT_DATA_SELFTEST, data_len: 4 })).toBe('EINVAL');
    expect(viommus.device(viommu, device, 1n)).toBe('EINVAL');
    expect(Number(viommus.device(viommu, mocked, 1n))).toBeGreaterThan(0);
  });

  it('have no virtual IOMMU of an SMMU on a page table of another', () => {
    using here = bindBesideMock({ iommu: 'smmuv3', iommuFeatures: ['nesting'] });
    const { spaces, viommus, device, mocked } = here;
    const [parent, mockParent] = [Number(viommus.table(device, spaces.alloc())), Number(viommus.table(mocked, spaces.alloc()))];
    const smmu = { type: IOMMU_VIOMMU_TYPE_ARM_SMMUV3 };
    expect(viommus.alloc(device, mockParent, smmu)).toBe('EINVAL');
    expect(Number(viommus.alloc(device, parent, smmu))).toBeGreaterThan(0);
  });
});

it('a device that is bound is bound to nothing else, whatever that is', () => {
  using here = bind();
  const { kernel, device } = here;
  const request = vfio_device_bind_iommufd.create();
  Object.assign(request, { argsz: 16, iommufd: 999 });
  expect(answer(kernel.ioctl(device.fd, VFIO_DEVICE_BIND_IOMMUFD.number, request.bytes))).toBe('EINVAL');
});
