/** Requests of other architectures, which containers here do not know. */
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
} from '../../../lib/abi/vfio/spapr.js';
import { draft } from '../draft.js';
import type { LiveFile } from '../world.js';
import { on, type Recipe } from './recipe.js';

const takesThem = ({ kind }: LiveFile): boolean => kind === 'container' || kind === 'iommufd';
const memory = { vaddr: 'memory+0x0', size: '0x10000' } as const;

export const foreignRecipes: readonly Recipe[] = [
  on(1, takesThem, ({ ref }, random, world) => {
    const request = random.pick([VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE] as const);
    return random.chance(0.5)
      ? { call: 'ioctl', file: ref, request: request.name }
      : draft(random, world, VFIO_IOMMU_SPAPR_TCE_GET_INFO, ref);
  }),
  on(1, takesThem, ({ ref }, random, world) =>
    random.pick([
      draft(random, world, VFIO_EEH_PE_OP, ref, { fields: { op: random.below(10) } }),
      draft(random, world, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, ref, { fields: memory }),
      draft(random, world, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, ref, { fields: memory }),
      draft(random, world, VFIO_IOMMU_SPAPR_TCE_CREATE, ref, { fields: { page_shift: 16, window_size: '0x40000000', levels: 1 } }),
      draft(random, world, VFIO_IOMMU_SPAPR_TCE_REMOVE, ref, { fields: { start_addr: '0x0' } }),
    ]),
  ),
];
