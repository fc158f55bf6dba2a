/** Containers of a POWER machine, at the seam. No lab machine is one: the kernel's source is what these hold to. */
import { describe, expect, it } from 'vitest';
import { VFIO_CHECK_EXTENSION, VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../../../lib/abi/vfio/container.js';
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_iommu_spapr_tce_info,
} from '../../../lib/abi/vfio/spapr.js';
import { VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../../lib/abi/vfio/type1.js';
import { createMediatedDevice } from '../../../lib/index.js';
import { Edu, Machine } from '../../../lib/sim/index.js';
import { answer, Seam } from '../../support/seam.js';
import { other, place, powerMachine } from './power-machine.js';

const power = powerMachine();
const { make, number, register, unregister, create, remove, version1, version2 } = power;

describe.each(['6.12', '7.3'] as const)('a POWER machine with %s', (kernel) => {
  it('shows its IOMMU, and has no type1', () => {
    const { files } = new Machine({ kernel, iommu: 'spapr', devices: [{ model: new Edu() }] }).kernel;
    expect(files.readdir('/sys/class/iommu')).toEqual(['iommu-phb0000']);
    expect(files.readdir('/sys/module')).toEqual(['vfio', 'vfio_iommu_spapr_tce', 'vfio_pci']);
  });
});

describe('a container', () => {
  it('knows the extensions before and after SET_IOMMU', () => {
    for (const container of [power.seam.container(), version2()]) {
      const extensions = [1, VFIO_SPAPR_TCE_IOMMU, 3, 4, VFIO_EEH, 6, VFIO_SPAPR_TCE_v2_IOMMU, 8, 9, 10];
      expect(extensions.map((extension) => number(container, VFIO_CHECK_EXTENSION, extension)).join(' ')).toBe('0 1 0 0 1 0 1 0 0 0');
    }
  });

  it('takes no type1, and another machine no SPAPR', () => {
    expect(() => power.seam.ready(place)).toThrow('SET_IOMMU: ENODEV');
    power.seam.closeAll();
    const intel = new Seam(new Machine({ devices: [{ model: new Edu(), ...place }] }).kernel);
    expect(() => intel.ready(place, VFIO_SPAPR_TCE_v2_IOMMU)).toThrow('SET_IOMMU: ENODEV');
    intel.closeAll();
  });

  it('of version 1 takes one group, of version 2 several', () => {
    for (const [type, result] of [
      [VFIO_SPAPR_TCE_IOMMU, 'EBUSY'],
      [VFIO_SPAPR_TCE_v2_IOMMU, '0'],
    ] as const) {
      const { container } = power.seam.ready(place, type);
      expect(answer(power.seam.setContainer(power.seam.group(other), container))).toBe(result);
      power.seam.closeAll();
    }
  });

  it('answers ENOTTY to what the other version has, and to what none has', () => {
    const [one, two] = [version1(), power.seam.ready(other, VFIO_SPAPR_TCE_v2_IOMMU).container];
    expect([register(one), unregister(one), create(one), remove(one)]).toEqual(['ENOTTY', 'ENOTTY', 'ENOTTY', 'ENOTTY']);
    expect([number(two, VFIO_IOMMU_ENABLE), number(two, VFIO_IOMMU_DISABLE)]).toEqual(['ENOTTY', 'ENOTTY']);
    expect(answer(power.machine.kernel.ioctl(two, VFIO_EEH_PE_OP.number + 1))).toBe('ENOTTY');
    expect(answer(power.machine.kernel.ioctl(one, VFIO_EEH_PE_OP.number + 1))).toBe('ENOTTY');
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

  it('takes no type that is none of an IOMMU, though it knows the extension', () => {
    const container = power.seam.container();
    const group = power.seam.group(place);
    expect([power.seam.setContainer(group, container), power.seam.setIommu(container, VFIO_EEH)].map(answer)).toEqual(['0', 'EINVAL']);
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
