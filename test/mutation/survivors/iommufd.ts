import type { Survivor } from './survivor.js';

export const iommufd: readonly Survivor[] = [
  {
    file: 'lib/sim/iommufd/ioas.ts',
    code: 'first === undefined',
    replacement: 'false',
    reason: 'what is mapped has a part at least, which the compiler does not know',
  },
  {
    file: 'lib/sim/iommufd/ioas.ts',
    code: 'area.pin !== undefined',
    replacement: 'true',
    reason: 'devices reach an address space through its page tables alone, and while there is one every mapping is pinned',
  },
  {
    file: 'lib/sim/iommufd/pin-counts.ts',
    code: 'counted.start === at',
    replacement: 'false',
    reason: 'what is cut where it begins is put back as it was: of two that begin at one place, the second stays',
  },
  {
    file: 'lib/sim/iommufd/vtd-nested.ts',
    code: 'found === undefined',
    replacement: 'false',
    reason: 'a device is attached to no table of an address width that there is not, so that none is walked',
  },
];
