/** One suite, every kernel: the simulated ones on the host, the real one in the lab. */
import { describe } from 'vitest';
import {
  compatibilityVariants,
  deviceVariants,
  limitedVariants,
  mockVariants,
  noIommuVariants,
  noRawIoVariants,
  olderAmdVariants,
  olderNoIommuVariants,
  olderVariants,
  unsafeVariants,
  variants,
  virtualFunctionVariants,
  type Variant,
} from '../support/subject.js';
import { Transcript } from '../support/transcript.js';
import { accesses } from './accesses.js';
import { addressSpace } from './address-space.js';
import { cdev } from './cdev.js';
import { around } from './around.js';
import { bochs } from './bochs.js';
import { cases } from './cases.js';
import { compatibility } from './compatibility.js';
import { compatibilityApi } from './compatibility-api.js';
import { configurationSpace } from './config.js';
import { containerByIommufd } from './container-by-iommufd.js';
import { device } from './device.js';
import { dirty } from './dirty.js';
import { dma } from './dma.js';
import { display } from './display.js';
import { dmaLogging } from './dma-logging.js';
import { driver } from './driver.js';
import { e1000e } from './e1000e.js';
import { edu } from './edu.js';
import { express } from './express.js';
import { faults } from './faults.js';
import { features } from './features.js';
import { hotReset, hotResetOfFunctions } from './hot-reset.js';
import { ioasChoice } from './ioas-choice.js';
import { ioasSuite } from './ioas.js';
import { iommufdApi } from './iommufd-api.js';
import { files } from './files.js';
import { irqs } from './irqs.js';
import { lifecycle } from './lifecycle.js';
import { limited } from './limited.js';
import { mediatedNodes } from './mediated-nodes.js';
import { mediated } from './mediated.js';
import { migration } from './migration.js';
import { mockDevices } from './mock-devices.js';
import { mockDirty } from './mock-dirty.js';
import { mockPageTableApi } from './mock-page-table-api.js';
import { mockPageTables } from './mock-page-tables.js';
import { pageTableApi } from './page-table-api.js';
import { pageTables } from './page-tables.js';
import { noIommu, noRawIo } from './noiommu.js';
import { noIommuNode, noRawIoNode } from './noiommu-node.js';
import { nvme } from './nvme.js';
import { opening } from './opening.js';
import { mockPasids, pasids } from './pasids.js';
import { regions } from './regions.js';
import { serial } from './serial.js';
import { sizes } from './sizes.js';
import { tokens } from './tokens.js';
import { unsafe } from './unsafe.js';
import { virtualIommu } from './virtual-iommu.js';
import { virtualIommuApi } from './virtual-iommu-api.js';
import { virtualIommuHardware } from './virtual-iommu-hardware.js';

/** What reaches devices through a container. */
const containerSuites = {
  ...{ lifecycle, sizes, dma, device, express, irqs, driver, features },
  ...{ compatibility, compatibilityApi },
};
/** What there is without /dev/iommu too; and of it, what an IOMMU has a part in. */
const olderIommuSuites = { lifecycle, dma, dirty, mediated };
const olderSuites = {
  ...{ ...olderIommuSuites, sizes, device, express, irqs, driver, features },
  ...{ display, bochs, opening },
};
const suites = {
  ...{ ...containerSuites, dirty },
  ...{ mediated, serial, display, bochs, migration, dmaLogging },
  ...{ ioas: ioasSuite, ioasChoice, iommufdApi, cdev, addressSpace, hotReset, opening, around },
  ...{ files, mediatedNodes },
  ...{ pageTables, pageTableApi, pasids },
  ...{ virtualIommuHardware },
};

/** A suite whose calls are recorded, or held to what was. */
function transcribed(variant: Variant, name: string, suite: (variant: Variant) => void): void {
  const transcript = new Transcript(variant, name);
  suite(transcript.variant);
  transcript.hold();
}

for (const variant of variants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries(suites)) describe(name, () => transcribed(variant, name, suite));
    cases(variant);
  });
}

for (const variant of deviceVariants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries({ edu, nvme, e1000e, regions })) describe(name, () => suite(variant));
    configurationSpace(variant, ['edu', 'express', 'nvme', 'lone']);
  });
}

for (const variant of olderVariants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries(olderSuites)) describe(name, () => transcribed(variant, name, suite));
  });
}

for (const variant of olderAmdVariants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries(olderIommuSuites)) describe(name, () => transcribed(variant, name, suite));
  });
}

for (const variant of olderNoIommuVariants) describe(variant.name, () => transcribed(variant, 'noIommu', noIommu));

for (const variant of compatibilityVariants) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries({ ...containerSuites, containerByIommufd }))
      describe(name, () => transcribed(variant, name, suite));
  });
}

for (const variant of virtualFunctionVariants) {
  describe(variant.name, () => {
    tokens(variant);
    hotResetOfFunctions(variant);
  });
}

for (const variant of limitedVariants) describe(variant.name, () => limited(variant));

for (const variant of unsafeVariants) {
  describe(variant.name, () => {
    unsafe(variant);
    cases(variant);
  });
}

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
