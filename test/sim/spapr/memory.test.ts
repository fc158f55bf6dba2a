/** What a POWER machine maps, and the memory that has to be registered for it, at the seam. No lab machine is one: the kernel's source is what these hold to. */
import { beforeEach, describe, expect, it } from 'vitest';
import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../../../lib/abi/vfio/container.js';
import {
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_iommu_spapr_register_memory,
} from '../../../lib/abi/vfio/spapr.js';
import type { Kernel, Mapping } from '../../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../../lib/sim/index.js';
import { answer, Seam } from '../../support/seam.js';
import { large, other, page, powerMachine, window64 } from './power-machine.js';

const power = powerMachine();
const { number, map, unmap, register, unregister, create, version1, version2 } = power;

describe('version 1', () => {
  it('maps once it is enabled, and not when it is disabled', () => {
    const container = version1();
    expect([map(container), unmap(container)]).toEqual(['EPERM', 'EPERM']);
    expect(number(container, VFIO_IOMMU_ENABLE)).toBe('0');
    expect(number(container, VFIO_IOMMU_ENABLE)).toBe('EBUSY');
    expect([map(container), unmap(container)]).toEqual(['0', '0']);
    expect(number(container, VFIO_IOMMU_DISABLE)).toBe('0');
    expect(number(container, VFIO_IOMMU_DISABLE)).toBe('0');
    expect(map(container)).toBe('EPERM');
    expect(number(container, VFIO_IOMMU_ENABLE)).toBe('0');
  });

  it('MAP_DMA of memory that is not there is EFAULT, and takes back what it did', () => {
    const container = version1();
    number(container, VFIO_IOMMU_ENABLE);
    expect(map(container, { vaddr: page })).toBe('EFAULT');
    expect(map(container, { vaddr: power.address + 0x3_f000n, size: 2n * page })).toBe('EFAULT');
  });
});

describe('MAP_DMA and UNMAP_DMA', () => {
  let container: number;
  beforeEach(() => {
    container = version2();
    expect(register(container)).toBe('0');
  });

  it('outside every window are ENXIO', () => {
    for (const iova of [0x8000_0000n, window64, (1n << 64n) - page]) {
      expect([map(container, { iova }), unmap(container, { iova })]).toEqual(['ENXIO', 'ENXIO']);
    }
    expect(map(container, { iova: 0x7fff_f000n })).toBe('0');
  });

  it('off the page are EINVAL for address and size, and 1 for the IOVA, which does nothing', () => {
    expect(map(container, { vaddr: power.address + 1n })).toBe('EINVAL');
    expect(map(container, { size: page + 1n })).toBe('EINVAL');
    expect(map(container, { iova: 0x800n })).toBe('1');
    expect(unmap(container, { size: page + 1n })).toBe('EINVAL');
    expect(unmap(container, { iova: 0x800n })).toBe('1');
  });

  it('with flags there are none of, or without a direction, are EINVAL', () => {
    expect([0, 4, 7, 0x8000_0001].map((flags) => map(container, { flags }))).toEqual(['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']);
    expect([1, 2, 4].map((flags) => unmap(container, { flags }))).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
  });

  it('beyond the end of a window are refused', () => {
    expect(map(container, { iova: 0x7fff_f000n, size: 2n * page })).toBe('EINVAL');
    expect(unmap(container, { iova: 0x7fff_f000n, size: 2n * page })).toBe('EINVAL');
  });

  it('of memory that is not registered are EINVAL', () => {
    expect(map(container, { vaddr: power.address + large })).toBe('EINVAL');
    expect(map(container, { vaddr: power.address + large - page, size: 2n * page })).toBe('EINVAL');
    // What was mapped before the failure is not: the region can go, and another take its place.
    expect([unregister(container), register(container, { size: 2n * large })]).toEqual(['0', '0']);
  });

  it('replace and remove single pages, and nothing is a range as well', () => {
    expect(map(container, { size: large })).toBe('0');
    expect(map(container, { iova: page, vaddr: power.address })).toBe('0');
    expect(unmap(container, { iova: page, size: page })).toBe('0');
    expect([map(container, { size: 0n }), unmap(container, { size: 0n })]).toEqual(['0', '0']);
    expect(unmap(container, { size: 0x8000_0000n })).toBe('0');
  });
});

describe('registered memory', () => {
  it('must be registered by its pages, whole, once, and be there', () => {
    const container = version2();
    expect(unregister(container)).toBe('EPERM');
    expect([register(container, { vaddr: power.address + 1n }), register(container, { size: 1n })]).toEqual(['EINVAL', 'EINVAL']);
    expect(register(container, { flags: 1 })).toBe('EINVAL');
    expect(register(container, { vaddr: (1n << 64n) - page, size: 2n * page })).toBe('EINVAL');
    expect(register(container, { size: 0n })).toBe('ENOMEM');
    expect(register(container, { vaddr: page })).toBe('EFAULT');
    expect(map(container)).toBe('EPERM');
    expect(register(container)).toBe('0');
    expect(register(container)).toBe('EBUSY');
    expect(register(container, { size: 2n * large })).toBe('EINVAL');
    expect(register(container, { vaddr: power.address + page, size: page })).toBe('EINVAL');
    expect(register(container, { vaddr: power.address + large })).toBe('0');
  });

  it('is unregistered by the very range, by who registered it', () => {
    const [one, two] = [version2(), power.seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect(register(one)).toBe('0');
    expect([unregister(one, { vaddr: power.address + 1n }), unregister(one, { flags: 1 })]).toEqual(['EINVAL', 'EINVAL']);
    expect(unregister(one, { size: page })).toBe('ENOENT');
    expect(create(two)).toBe('0x800000000000000');
    expect(unregister(two)).toBe('ENOENT');
    expect(unregister(one)).toBe('0');
    expect(unregister(one)).toBe('ENOENT');
  });

  it("is the process's: another container maps it", () => {
    const [one, two] = [version2(), power.seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect(register(one)).toBe('0');
    expect(register(two, { vaddr: power.address + large })).toBe('0');
    expect(map(two)).toBe('0');
    expect(register(two)).toBe('0');
    expect([unregister(one), unregister(two)]).toEqual(['0', '0']);
  });

  it('that is mapped stays registered when it is unregistered, with answer 0', () => {
    const container = version2();
    expect([register(container), map(container)]).toEqual(['0', '0']);
    expect([unregister(container), unregister(container)]).toEqual(['0', 'ENOENT']);
    expect(map(container, { iova: page })).toBe('0');
    expect(register(container)).toBe('0');
  });

  it('goes with the container', () => {
    for (let round = 0; round < 2; round += 1) {
      const container = version2();
      expect([register(container), map(container)]).toEqual(['0', '0']);
      power.seam.closeAll();
    }
    const container = version2();
    expect(register(container, { size: 2n * large })).toBe('0');
  });
});

describe('with locked memory limited', () => {
  const limited = (type: number, lockedMemoryLimit: number): { kernel: Kernel; container: number; seam: Seam } => {
    const { kernel } = new Machine({ iommu: 'spapr', lockedMemoryLimit, devices: [{ model: new Edu(), group: 3 }] });
    const seam = new Seam(kernel);
    return { kernel, seam, container: seam.ready({ address: '0000:00:03.0', group: 3 }, type).container };
  };

  it('ENABLE accounts for the whole window, and DISABLE gives it back', () => {
    const short = limited(VFIO_SPAPR_TCE_IOMMU, 0x7fff_ffff);
    expect(answer(short.kernel.ioctl(short.container, VFIO_IOMMU_ENABLE.number))).toBe('ENOMEM');
    const enough = limited(VFIO_SPAPR_TCE_IOMMU, 0x8000_0000);
    for (const request of [VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE, VFIO_IOMMU_ENABLE])
      expect(answer(enough.kernel.ioctl(enough.container, request.number))).toBe('0');
    for (const { seam } of [short, enough]) seam.closeAll();
  });

  it('REGISTER_MEMORY accounts for what it registers, and UNREGISTER_MEMORY gives it back', () => {
    const { kernel, container, seam } = limited(VFIO_SPAPR_TCE_v2_IOMMU, 0x2_0000);
    const memory = kernel.mmap(-1, 0x3_0000, 3, 0x22, 0) as Mapping;
    const call = (request: { number: number }, size: bigint): string => {
      const view = vfio_iommu_spapr_register_memory.create();
      Object.assign(view, { argsz: view.bytes.byteLength, flags: 0, vaddr: kernel.addressOf(memory.memory!), size });
      return answer(kernel.ioctl(container, request.number, view.bytes));
    };
    expect(call(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 0x3_0000n)).toBe('ENOMEM');
    expect(call(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 0x2_0000n)).toBe('0');
    expect(call(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0x2_0000n)).toBe('0');
    expect(call(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 0x2_0000n)).toBe('0');
    seam.closeAll();
    memory.unmap();
  });
});

it('memory that is mapped begins at pages of 64 KiB', () => {
  const { kernel } = new Machine({ iommu: 'spapr' });
  const mappings = [0, 1].map(() => kernel.mmap(-1, 4096, 3, 0x22, 0) as Mapping);
  expect(mappings.map(({ memory }) => kernel.addressOf(memory!) % 0x1_0000n)).toEqual([0n, 0n]);
  for (const mapping of mappings) mapping.unmap();
});
