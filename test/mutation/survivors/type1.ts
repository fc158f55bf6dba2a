import { compiler, type Survivor } from './survivor.js';

const driver = 'lib/sim/type1/driver.ts';

export const type1: readonly Survivor[] = [
  {
    file: driver,
    code: 'case VFIO_TYPE1v2_IOMMU: return 1;',
    replacement: 'case VFIO_TYPE1v2_IOMMU:',
    reason: 'the next answer is 1 too',
  },
  {
    file: driver,
    code: 'platform.vsva2020 !== undefined',
    replacement: 'true',
    reason: 'what it makes is for the proposal’s requests, which no other kernel has',
  },
  { file: driver, code: 'default: return -errno.EINVAL;', replacement: 'default:', reason: compiler },
  {
    file: driver,
    code: 'mapping !== undefined && isPinned(mapping)',
    replacement: 'true',
    reason: 'devices reach memory only through a group with an IOMMU, and then every mapping is pinned',
  },
  {
    file: 'lib/sim/type1/mappings.ts',
    code: 'mapping.pin !== undefined',
    replacement: 'true',
    reason: 'devices reach memory only through a group with an IOMMU, and then every mapping is pinned',
  },
];
