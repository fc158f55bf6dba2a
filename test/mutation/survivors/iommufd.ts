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
  {
    file: 'lib/sim/iommufd/compatibility-info.ts',
    code: 'previous !== undefined && room >= total && !argument.copyTo(next, previous + nextOffset)',
    replacement: 'false',
    reason: 'it is in the header of the capability before, which was written there a moment ago',
  },
  {
    file: 'lib/sim/iommufd/page-table-requests.ts',
    code: 'caller.respond() === 0',
    replacement: 'true',
    reason: 'the request was read from where the answer goes, and the simulated process can write to all memory that it can read',
  },
  {
    file: 'lib/sim/iommufd/rfc-2022.ts',
    code: '!argument.copyTo(element.bytes, type.size + index * element.bytes.byteLength)',
    replacement: 'false',
    reason: 'the room for the ranges was read before, and the simulated process can write to all memory that it can read',
  },
  {
    file: 'lib/sim/iommufd/smmu/nested.ts',
    code: 'this.stream === undefined',
    replacement: 'false',
    reason: 'a stream is translated by tables of the guest only once it has a number of the guest’s, and keeps it while it is attached',
  },
];
