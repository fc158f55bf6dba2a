/** Machines without an IOMMU, where the kernel's mock devices are too. */
import { describe } from 'vitest';
import { mockVariants, noIommuVariants, noRawIoVariants, olderNoIommuVariants } from '../support/subject.js';
import { accesses } from './accesses.js';
import { cases } from './cases.js';
import { faults } from './faults.js';
import { mockDevices } from './mock-devices.js';
import { mockDirty } from './mock-dirty.js';
import { mockPageTableApi } from './mock-page-table-api.js';
import { mockPageTables } from './mock-page-tables.js';
import { noIommu, noRawIo } from './noiommu.js';
import { noIommuNode, noRawIoNode } from './noiommu-node.js';
import { mockPasids } from './pasids.js';
import { virtualIommu } from './virtual-iommu.js';
import { virtualIommuApi } from './virtual-iommu-api.js';
import { transcribed } from '../support/transcript.js';

for (const variant of olderNoIommuVariants) describe(variant.name, () => transcribed(variant, 'noIommu', noIommu));

for (const variant of noIommuVariants) {
  describe(variant.name, () => {
    noIommu(variant);
    describe('by node', () => noIommuNode(variant));
    cases(variant);
  });
}
for (const variant of noRawIoVariants) {
  describe(variant.name, () => {
    noRawIo(variant);
    noRawIoNode(variant);
  });
}

const mockSuites = {
  ...{ accesses },
  ...{ mockDevices, mockPageTables, mockDirty, mockPageTableApi, faults, mockPasids },
  ...{ virtualIommu, virtualIommuApi },
};

for (const variant of mockVariants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries(mockSuites)) describe(name, () => transcribed(variant, name, suite));
  });
}
