/** One suite, every kernel: the simulated ones on the host, the real one in the lab. */
import { describe } from 'vitest';
import { unsafeVariants, variants } from '../support/subject.js';
import { bochs } from './bochs.js';
import { device } from './device.js';
import { dma } from './dma.js';
import { display } from './display.js';
import { dmaLogging } from './dma-logging.js';
import { driver } from './driver.js';
import { irqs } from './irqs.js';
import { lifecycle } from './lifecycle.js';
import { mediated } from './mediated.js';
import { migration } from './migration.js';
import { serial } from './serial.js';
import { sizes } from './sizes.js';
import { unsafe } from './unsafe.js';

const suites = { lifecycle, sizes, dma, device, irqs, driver, mediated, serial, display, bochs, migration, dmaLogging };

for (const variant of variants.filter((candidate) => !candidate.name.endsWith('virtio'))) {
  describe(variant.name, () => {
    for (const [name, suite] of Object.entries(suites)) describe(name, () => suite(variant));
  });
}

for (const variant of unsafeVariants.filter((candidate) => candidate.name.endsWith('virtio'))) {
  describe(variant.name, () => unsafe(variant));
}
