/** The IOMMU of POWER machines, at the seam. No lab machine has one: the kernel's source is what these hold to. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VFIO_CHECK_EXTENSION, VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../../lib/abi/vfio/container.js';
import type { Request } from '../../lib/abi/ioctl.js';
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_eeh_pe_op,
  vfio_iommu_spapr_register_memory,
  vfio_iommu_spapr_tce_create,
  vfio_iommu_spapr_tce_info,
  vfio_iommu_spapr_tce_remove,
} from '../../lib/abi/vfio/spapr.js';
import type { StructType } from '../../lib/abi/struct.js';
import {
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../lib/abi/vfio/type1.js';
import { createMediatedDevice } from '../../lib/index.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../lib/sim/index.js';
import { answer, Seam } from '../support/seam.js';

const page = 0x1000n;
const large = 0x1_0000n;
const window64 = 1n << 59n;
const place = { address: '0000:00:03.0', group: 7 };
const other = { address: '0000:00:04.0', group: 8 };

let machine: Machine;
let seam: Seam;
let memory: Mapping;
let address: bigint;

beforeEach(() => {
  machine = new Machine({
    iommu: 'spapr',
    devices: [
      { model: new Edu(), ...place },
      { model: new Edu(), ...other },
    ],
  });
  seam = new Seam(machine.kernel);
  memory = machine.kernel.mmap(-1, 0x4_0000, 3, 0x22, 0) as Mapping;
  address = machine.kernel.addressOf(memory.memory!);
});
afterEach(() => {
  seam.closeAll();
  memory.unmap();
});

const number = (fd: number, request: Request, argument?: number | Uint8Array): string =>
  answer(machine.kernel.ioctl(fd, request.number, argument));

/** A request whose struct has these fields, and an argsz of its size unless they say otherwise. */
function make(fd: number, request: Request, type: StructType, fields: object): { result: string; view: ReturnType<StructType['create']> } {
  const view = type.create();
  Object.assign(view, { argsz: type.size, ...fields });
  return { result: number(fd, request, view.bytes), view };
}
const map = (fd: number, fields: object = {}): string =>
  make(fd, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, { flags: 3, vaddr: address, iova: 0n, size: page, ...fields }).result;
const unmap = (fd: number, fields: object = {}): string =>
  make(fd, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { iova: 0n, size: page, ...fields }).result;
const register = (fd: number, fields: object = {}): string =>
  make(fd, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, vfio_iommu_spapr_register_memory, { vaddr: address, size: large, ...fields }).result;
const unregister = (fd: number, fields: object = {}): string =>
  make(fd, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, vfio_iommu_spapr_register_memory, { vaddr: address, size: large, ...fields }).result;
const create = (fd: number, fields: object = {}): string => {
  const defaults = { page_shift: 16, window_size: 1n << 30n, levels: 1 };
  const { result, view } = make(fd, VFIO_IOMMU_SPAPR_TCE_CREATE, vfio_iommu_spapr_tce_create, { ...defaults, ...fields });
  return result === '0' ? `0x${(view['start_addr'] as bigint).toString(16)}` : result;
};
const remove = (fd: number, fields: object = {}): string =>
  make(fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, vfio_iommu_spapr_tce_remove, { start_addr: 0n, ...fields }).result;
const eeh = (fd: number, op: number, fields: object = {}): string => make(fd, VFIO_EEH_PE_OP, vfio_eeh_pe_op, { op, ...fields }).result;
const inject = (fd: number, err: object = {}, argsz = 40): string => {
  const view = vfio_eeh_pe_op.create();
  Object.assign(view, { argsz, op: 9 });
  Object.assign(view.err, { type: 0, func: 0, ...err });
  return number(fd, VFIO_EEH_PE_OP, view.bytes);
};

const version1 = (): number => seam.ready(place, VFIO_SPAPR_TCE_IOMMU).container;
const version2 = (): number => seam.ready(place, VFIO_SPAPR_TCE_v2_IOMMU).container;

describe.each(['6.12', '7.3'] as const)('a POWER machine with %s', (kernel) => {
  it('shows its IOMMU, and has no type1', () => {
    const { files } = new Machine({ kernel, iommu: 'spapr', devices: [{ model: new Edu() }] }).kernel;
    expect(files.readdir('/sys/class/iommu')).toEqual(['iommu-phb0000']);
    expect(files.readdir('/sys/module')).toEqual(['vfio', 'vfio_iommu_spapr_tce']);
  });
});

describe('a container', () => {
  it('knows the extensions before and after SET_IOMMU', () => {
    for (const container of [seam.container(), version2()]) {
      const extensions = [1, VFIO_SPAPR_TCE_IOMMU, 3, 4, VFIO_EEH, 6, VFIO_SPAPR_TCE_v2_IOMMU, 8, 9, 10];
      expect(extensions.map((extension) => number(container, VFIO_CHECK_EXTENSION, extension)).join(' ')).toBe('0 1 0 0 1 0 1 0 0 0');
    }
  });

  it('takes no type1, and another machine no SPAPR', () => {
    expect(() => seam.ready(place)).toThrow('SET_IOMMU: ENODEV');
    seam.closeAll();
    const intel = new Seam(new Machine({ devices: [{ model: new Edu(), ...place }] }).kernel);
    expect(() => intel.ready(place, VFIO_SPAPR_TCE_v2_IOMMU)).toThrow('SET_IOMMU: ENODEV');
    intel.closeAll();
  });

  it('of version 1 takes one group, of version 2 several', () => {
    for (const [type, result] of [
      [VFIO_SPAPR_TCE_IOMMU, 'EBUSY'],
      [VFIO_SPAPR_TCE_v2_IOMMU, '0'],
    ] as const) {
      const { container } = seam.ready(place, type);
      expect(answer(seam.setContainer(seam.group(other), container))).toBe(result);
      seam.closeAll();
    }
  });

  it('answers ENOTTY to what the other version has, and to what none has', () => {
    const [one, two] = [version1(), seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect([register(one), unregister(one), create(one), remove(one)]).toEqual(['ENOTTY', 'ENOTTY', 'ENOTTY', 'ENOTTY']);
    expect([number(two, VFIO_IOMMU_ENABLE), number(two, VFIO_IOMMU_DISABLE)]).toEqual(['ENOTTY', 'ENOTTY']);
    expect(answer(machine.kernel.ioctl(two, VFIO_EEH_PE_OP.number + 1))).toBe('ENOTTY');
    expect(answer(machine.kernel.ioctl(one, VFIO_EEH_PE_OP.number + 1))).toBe('ENOTTY');
  });

  it('refuses a pointer to nothing with EFAULT', () => {
    const container = version2();
    expect(register(container)).toBe('0');
    for (const request of [
      VFIO_IOMMU_SPAPR_TCE_GET_INFO,
      VFIO_IOMMU_MAP_DMA,
      VFIO_IOMMU_UNMAP_DMA,
      VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
      VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
      VFIO_IOMMU_SPAPR_TCE_CREATE,
      VFIO_IOMMU_SPAPR_TCE_REMOVE,
      VFIO_EEH_PE_OP,
    ]) {
      expect([request.name, number(container, request, 4096)]).toEqual([request.name, 'EFAULT']);
      const short = new Uint8Array(Math.max(request.minimum, 4));
      short[0] = request.minimum - 1;
      expect([request.name, number(container, request, short)]).toEqual([request.name, 'EINVAL']);
    }
  });
});

describe('GET_INFO', () => {
  const info = (container: number, argsz: number): readonly [string, number, number, number, bigint, number, number] => {
    const { result, view } = make(container, VFIO_IOMMU_SPAPR_TCE_GET_INFO, vfio_iommu_spapr_tce_info, { argsz });
    const typed = vfio_iommu_spapr_tce_info.view(view.bytes.buffer);
    const { flags, dma32_window_start, dma32_window_size, ddw } = typed;
    return [result, flags, dma32_window_start, dma32_window_size, ddw.pgsizes, ddw.max_dynamic_windows_supported, ddw.levels];
  };

  it('tells version 2 of dynamic windows, where there is room', () => {
    const container = version2();
    expect(info(container, 32)).toEqual(['0', 1, 0, 0x8000_0000, 0x4021_1000n, 2, 5]);
    expect(info(container, 31)).toEqual(['0', 1, 0, 0x8000_0000, 0n, 0, 0]);
    expect(info(container, 16)).toEqual(['0', 1, 0, 0x8000_0000, 0n, 0, 0]);
  });

  it('tells version 1 of its window alone', () => {
    expect(info(version1(), 32)).toEqual(['0', 0, 0, 0x8000_0000, 0n, 0, 0]);
  });
});

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
    expect(map(container, { vaddr: address + 0x3_f000n, size: 2n * page })).toBe('EFAULT');
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
    expect(map(container, { vaddr: address + 1n })).toBe('EINVAL');
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
    expect(map(container, { vaddr: address + large })).toBe('EINVAL');
    expect(map(container, { vaddr: address + large - page, size: 2n * page })).toBe('EINVAL');
    // What was mapped before the failure is not: the region can go, and another take its place.
    expect([unregister(container), register(container, { size: 2n * large })]).toEqual(['0', '0']);
  });

  it('replace and remove single pages, and nothing is a range as well', () => {
    expect(map(container, { size: large })).toBe('0');
    expect(map(container, { iova: page, vaddr: address })).toBe('0');
    expect(unmap(container, { iova: page, size: page })).toBe('0');
    expect([map(container, { size: 0n }), unmap(container, { size: 0n })]).toEqual(['0', '0']);
    expect(unmap(container, { size: 0x8000_0000n })).toBe('0');
  });
});

describe('registered memory', () => {
  it('must be registered by its pages, whole, once, and be there', () => {
    const container = version2();
    expect(unregister(container)).toBe('EPERM');
    expect([register(container, { vaddr: address + 1n }), register(container, { size: 1n })]).toEqual(['EINVAL', 'EINVAL']);
    expect(register(container, { flags: 1 })).toBe('EINVAL');
    expect(register(container, { vaddr: (1n << 64n) - page, size: 2n * page })).toBe('EINVAL');
    expect(register(container, { size: 0n })).toBe('ENOMEM');
    expect(register(container, { vaddr: page })).toBe('EFAULT');
    expect(map(container)).toBe('EPERM');
    expect(register(container)).toBe('0');
    expect(register(container)).toBe('EBUSY');
    expect(register(container, { size: 2n * large })).toBe('EINVAL');
    expect(register(container, { vaddr: address + page, size: page })).toBe('EINVAL');
    expect(register(container, { vaddr: address + large })).toBe('0');
  });

  it('is unregistered by the very range, by who registered it', () => {
    const [one, two] = [version2(), seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect(register(one)).toBe('0');
    expect([unregister(one, { vaddr: address + 1n }), unregister(one, { flags: 1 })]).toEqual(['EINVAL', 'EINVAL']);
    expect(unregister(one, { size: page })).toBe('ENOENT');
    expect(create(two)).toBe('0x800000000000000');
    expect(unregister(two)).toBe('ENOENT');
    expect(unregister(one)).toBe('0');
    expect(unregister(one)).toBe('ENOENT');
  });

  it("is the process's: another container maps it", () => {
    const [one, two] = [version2(), seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect(register(one)).toBe('0');
    expect(register(two, { vaddr: address + large })).toBe('0');
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
      seam.closeAll();
    }
    const container = version2();
    expect(register(container, { size: 2n * large })).toBe('0');
  });
});

describe('windows', () => {
  it('can be two, each where the platform wants it', () => {
    const container = version2();
    expect(create(container)).toBe('0x800000000000000');
    expect(create(container)).toBe('ENOSPC');
    expect(remove(container, { start_addr: window64 + 5n })).toBe('0');
    expect(remove(container, { start_addr: window64 })).toBe('EINVAL');
    expect(create(container, { page_shift: 21, window_size: 1n << 40n, levels: 2 })).toBe('0x800000000000000');
    expect(remove(container)).toBe('0');
    expect(create(container)).toBe('0x0');
  });

  it('the first can go before it was made, and another takes its place', () => {
    const container = version2();
    expect([remove(container), remove(container)]).toEqual(['0', 'EINVAL']);
    expect(register(container)).toBe('0');
    expect(map(container)).toBe('ENXIO');
    expect(create(container)).toBe('0x0');
    expect(map(container, { size: large })).toBe('0');
  });

  it('of a shape there is none of are EINVAL', () => {
    const container = version2();
    for (const fields of [
      { flags: 1 },
      { page_shift: 13 },
      { page_shift: 0 },
      { page_shift: 64 + 12 },
      { window_size: 0n },
      { window_size: 3n << 30n },
      { window_size: page },
      { levels: 0 },
      { levels: 6 },
      { window_size: 1n << 63n, page_shift: 12 },
    ])
      expect([fields, create(container, fields)]).toEqual([fields, 'EINVAL']);
    expect(remove(container, { flags: 1 })).toBe('EINVAL');
  });

  it('have pages of their own, which memory must lie on', () => {
    const container = version2();
    expect(register(container, { vaddr: address, size: 3n * large })).toBe('0');
    expect(create(container)).toBe('0x800000000000000');
    expect(map(container, { iova: window64, size: page })).toBe('EINVAL');
    expect(map(container, { iova: window64, size: large, vaddr: address + page })).toBe('EINVAL');
    expect(map(container, { iova: window64 + page, size: large })).toBe('1');
    expect(map(container, { iova: window64, size: large })).toBe('0');
  });

  it('cannot have pages larger than what the registered memory consists of', () => {
    const container = version2();
    // Registered from half a large page on: smaller pages are all it has.
    expect(register(container, { vaddr: address + page, size: 3n * large })).toBe('0');
    expect(create(container)).toBe('0x800000000000000');
    expect(map(container, { iova: window64, vaddr: address + large, size: large })).toBe('EINVAL');
    expect(map(container, { iova: 0n, vaddr: address + large, size: large })).toBe('0');
  });

  it('are emptied by a group that leaves, though another stays', () => {
    const container = version2();
    const group = seam.group(other);
    expect(answer(seam.setContainer(group, container))).toBe('0');
    expect([register(container), map(container)]).toEqual(['0', '0']);
    seam.close(group);
    // Nothing maps it now: the last claim takes the region along.
    expect([unregister(container), map(container)]).toEqual(['0', 'EINVAL']);
  });
});

it('a container takes no type that is none of an IOMMU, though it knows the extension', () => {
  const container = seam.container();
  const group = seam.group(place);
  expect([seam.setContainer(group, container), seam.setIommu(container, VFIO_EEH)].map(answer)).toEqual(['0', 'EINVAL']);
});

it('MAP_DMA and CREATE look at argsz, and CREATE at a page size that no number has', () => {
  const container = version1();
  expect(number(container, VFIO_IOMMU_ENABLE)).toBe('0');
  expect([map(container, { argsz: 31 }), map(container)]).toEqual(['EINVAL', '0']);
  seam.closeAll();
  const second = version2();
  expect([create(second, { argsz: 23 }), create(second, { page_shift: 0xffff_ffff }), create(second, { levels: 6 })]).toEqual([
    ...['EINVAL', 'EINVAL', 'EINVAL'],
  ]);
  expect(create(second, { window_size: 0n })).toBe('EINVAL');
});

it('what lies between two windows is in neither', () => {
  const container = version2();
  expect([register(container), create(container)]).toEqual(['0', `0x${window64.toString(16)}`]);
  expect([map(container, { iova: 1n << 40n, size: large }), map(container, { iova: window64, size: large })]).toEqual(['ENXIO', '0']);
});

it('EEH_PE_OP of an error whose struct runs past the end of its memory is EFAULT', () => {
  const container = version2();
  const start = memory.memory!.byteLength - 16;
  new Uint32Array(memory.memory!, start).set([40, 0, 9]);
  expect(number(container, VFIO_EEH_PE_OP, Number(address) + start)).toBe('EFAULT');
});

it('takes no group of mediated devices', () => {
  const { kernel } = new Machine({ iommu: 'spapr', mediated: ['mtty'], devices: [] });
  const mediated = new Seam(kernel);
  using device = createMediatedDevice(kernel, { parent: 'mtty', type: 'mtty-1' });
  const container = mediated.container();
  const group = mediated.open(`/dev/vfio/${device.group}`);
  expect([mediated.setContainer(group, container), mediated.setIommu(container, VFIO_SPAPR_TCE_v2_IOMMU)].map(answer)).toEqual([
    ...['0', 'EINVAL'],
  ]);
  mediated.closeAll();
});

describe('EEH_PE_OP', () => {
  const [disable, enable, unfreezeIo, unfreezeDma, getState, deactivate, hot, fundamental, configure] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

  it('refuses what it does not know', () => {
    const container = version2();
    expect(eeh(container, 10)).toBe('EINVAL');
    expect(eeh(container, getState, { flags: 1 })).toBe('EINVAL');
    expect(eeh(container, getState, { argsz: 12 })).toBe('0');
    expect(inject(container, {}, 39)).toBe('EINVAL');
    expect([inject(container, { func: 20 }), inject(container, { func: 0xffff_ffff })]).toEqual(['EINVAL', 'EINVAL']);
    expect([inject(container, { type: 2 }), inject(container, { type: 2, func: 20 })]).toEqual(['ERANGE', 'EINVAL']);
    expect(eeh(container, getState)).toBe('0');
  });

  it('freezes at an error, and is thawed in two steps, in either order', () => {
    const container = version1();
    expect(inject(container)).toBe('0');
    expect(eeh(container, getState)).toBe('2');
    expect([eeh(container, unfreezeIo), eeh(container, getState)]).toEqual(['0', '4']);
    expect([eeh(container, unfreezeDma), eeh(container, getState)]).toEqual(['0', '0']);
    expect(inject(container, { type: 1, func: 19 })).toBe('0');
    expect([eeh(container, unfreezeDma), eeh(container, getState)]).toEqual(['0', '5']);
    expect([eeh(container, unfreezeIo), eeh(container, getState)]).toEqual(['0', '0']);
  });

  it('ENABLE thaws, DISABLE does nothing', () => {
    const container = version2();
    inject(container);
    expect([eeh(container, disable), eeh(container, getState)]).toEqual(['0', '2']);
    expect([eeh(container, enable), eeh(container, getState)]).toEqual(['0', '0']);
  });

  it.each([hot, fundamental])('a reset (%i) holds until it is deactivated', (kind) => {
    const container = version2();
    expect([eeh(container, kind), eeh(container, getState)]).toEqual(['0', '1']);
    expect([eeh(container, unfreezeIo), eeh(container, unfreezeDma), eeh(container, enable)]).toEqual(['EIO', 'EIO', 'EIO']);
    expect([eeh(container, deactivate), eeh(container, getState)]).toEqual(['0', '0']);
    expect(eeh(container, configure)).toBe('0');
  });

  it('works on each group, and tells the first state that is not normal', () => {
    const container = version2();
    const group = seam.group(other);
    seam.setContainer(group, container);
    expect([inject(container), eeh(container, getState)]).toEqual(['0', '2']);
    seam.close(group);
    expect(eeh(container, getState)).toBe('2');
  });

  it('a device that is opened is thawed', () => {
    const { container, group, device } = seam.ready(place, VFIO_SPAPR_TCE_v2_IOMMU);
    inject(container);
    seam.close(device);
    expect(eeh(container, getState)).toBe('2');
    expect(seam.device(group, place.address)).toBeGreaterThan(0);
    expect(eeh(container, getState)).toBe('0');
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
});
