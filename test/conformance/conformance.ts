/** One suite, every kernel: the simulated ones on the host, each version in a test file of its own, and the real one in the lab. */
import { describe } from 'vitest';
import type { KernelVersion } from '../../lib/sim/index.js';
import {
  compatibilityVariants,
  deviceVariants,
  olderAmdVariants,
  olderVariants,
  type Variant,
  variants,
  virtualFunctionVariants,
} from '../support/subject.js';
import { adopting } from './adopting.js';
import { addressLists } from './address-lists.js';
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
import { features } from './features.js';
import { hotReset, hotResetOfFunctions } from './hot-reset.js';
import { ioasChoice } from './ioas-choice.js';
import { ioasSuite } from './ioas.js';
import { iommufdApi } from './iommufd-api.js';
import { files } from './files.js';
import { irqs } from './irqs.js';
import { lifecycle } from './lifecycle.js';
import { longMaps } from './long-maps.js';
import { mediatedNodes } from './mediated-nodes.js';
import { mediated } from './mediated.js';
import { migration } from './migration.js';
import { pageTableApi } from './page-table-api.js';
import { pageTables } from './page-tables.js';
import { nodes } from './nodes.js';
import { nvme } from './nvme.js';
import { opening } from './opening.js';
import { pasids } from './pasids.js';
import { regions } from './regions.js';
import { serial } from './serial.js';
import { sizes } from './sizes.js';
import { sysfs, sysfsOfFunctions } from './sysfs.js';
import { tokens } from './tokens.js';
import { displayRegion } from './vga.js';
import { virtualIommuHardware } from './virtual-iommu-hardware.js';
import { transcribed } from '../support/transcript.js';

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
  ...{ ioas: ioasSuite, ioasChoice, iommufdApi, cdev, addressSpace, addressLists, longMaps, hotReset, opening, around },
  ...{ files, mediatedNodes },
  ...{ pageTables, pageTableApi, pasids },
  ...{ virtualIommuHardware },
};

export function conformance(version: KernelVersion): void {
  const ofVersion = (all: readonly Variant[]): readonly Variant[] => all.filter((variant) => variant.version === version);
  for (const variant of ofVersion(variants)) {
    describe(variant.name, () => {
      for (const [name, suite] of Object.entries(suites)) describe(name, () => transcribed(variant, name, suite));
      cases(variant);
    });
  }

  for (const variant of ofVersion(deviceVariants)) {
    describe(variant.name, () => {
      nodes(variant);
      for (const [name, suite] of Object.entries({ edu, nvme, e1000e, regions, displayRegion, sysfs, adopting }))
        describe(name, () => suite(variant));
      configurationSpace(variant, ['edu', 'express', 'nvme', 'lone']);
    });
  }

  for (const variant of ofVersion(olderVariants)) {
    describe(variant.name, () => {
      for (const [name, suite] of Object.entries(olderSuites)) describe(name, () => transcribed(variant, name, suite));
      nodes(variant);
      adopting(variant);
    });
  }

  for (const variant of ofVersion(olderAmdVariants)) {
    describe(variant.name, () => {
      for (const [name, suite] of Object.entries(olderIommuSuites)) describe(name, () => transcribed(variant, name, suite));
    });
  }

  for (const variant of ofVersion(compatibilityVariants)) {
    describe(variant.name, () => {
      for (const [name, suite] of Object.entries({ ...containerSuites, containerByIommufd }))
        describe(name, () => transcribed(variant, name, suite));
    });
  }

  for (const variant of ofVersion(virtualFunctionVariants)) {
    describe(variant.name, () => {
      tokens(variant);
      hotResetOfFunctions(variant);
      sysfsOfFunctions(variant);
    });
  }
}
