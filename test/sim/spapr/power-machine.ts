/** A POWER machine with two devices for each test of a file, and its requests: each answers by name, as `answer` does. */
import { afterEach, beforeEach } from 'vitest';
import type { Request } from '../../../lib/abi/ioctl.js';
import type { StructType } from '../../../lib/abi/struct.js';
import { VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '../../../lib/abi/vfio/container.js';
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  vfio_eeh_pe_op,
  vfio_iommu_spapr_register_memory,
  vfio_iommu_spapr_tce_create,
  vfio_iommu_spapr_tce_remove,
} from '../../../lib/abi/vfio/spapr.js';
import {
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../../lib/abi/vfio/type1.js';
import type { Mapping } from '../../../lib/kernel/kernel.js';
import { Edu, Machine } from '../../../lib/sim/index.js';
import { answer, Seam } from '../../support/seam.js';

export const page = 0x1000n;
export const large = 0x1_0000n;
export const window64 = 1n << 59n;
export const place = { address: '0000:00:03.0', group: 7 };
export const other = { address: '0000:00:04.0', group: 8 };

/** A request whose struct is filled, and what the struct held afterwards. */
interface Made {
  readonly result: string;
  readonly view: ReturnType<StructType['create']>;
}

/** Its functions can be taken out of it before the first test has begun. */
export function powerMachine() {
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
  const make = (fd: number, request: Request, type: StructType, fields: object): Made => {
    const view = type.create();
    Object.assign(view, { argsz: type.size, ...fields });
    return { result: number(fd, request, view.bytes), view };
  };

  return {
    get machine() {
      return machine;
    },
    get seam() {
      return seam;
    },
    get memory() {
      return memory;
    },
    get address() {
      return address;
    },
    number,
    make,
    version1: (): number => seam.ready(place, VFIO_SPAPR_TCE_IOMMU).container,
    version2: (): number => seam.ready(place, VFIO_SPAPR_TCE_v2_IOMMU).container,
    map: (fd: number, fields: object = {}): string =>
      make(fd, VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map, { flags: 3, vaddr: address, iova: 0n, size: page, ...fields }).result,
    unmap: (fd: number, fields: object = {}): string =>
      make(fd, VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, { iova: 0n, size: page, ...fields }).result,
    register: (fd: number, fields: object = {}): string =>
      make(fd, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, vfio_iommu_spapr_register_memory, { vaddr: address, size: large, ...fields }).result,
    unregister: (fd: number, fields: object = {}): string =>
      make(fd, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, vfio_iommu_spapr_register_memory, { vaddr: address, size: large, ...fields }).result,
    create: (fd: number, fields: object = {}): string => {
      const defaults = { page_shift: 16, window_size: 1n << 30n, levels: 1 };
      const { result, view } = make(fd, VFIO_IOMMU_SPAPR_TCE_CREATE, vfio_iommu_spapr_tce_create, { ...defaults, ...fields });
      return result === '0' ? `0x${(view['start_addr'] as bigint).toString(16)}` : result;
    },
    remove: (fd: number, fields: object = {}): string =>
      make(fd, VFIO_IOMMU_SPAPR_TCE_REMOVE, vfio_iommu_spapr_tce_remove, { start_addr: 0n, ...fields }).result,
    eeh: (fd: number, op: number, fields: object = {}): string => make(fd, VFIO_EEH_PE_OP, vfio_eeh_pe_op, { op, ...fields }).result,
    inject: (fd: number, err: object = {}, argsz = 40): string => {
      const view = vfio_eeh_pe_op.create();
      Object.assign(view, { argsz, op: 9 });
      Object.assign(view.err, { type: 0, func: 0, ...err });
      return number(fd, VFIO_EEH_PE_OP, view.bytes);
    },
  };
}
