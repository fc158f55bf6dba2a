/** Machines whose IOMMU does not isolate interrupts. */
import { describe } from 'vitest';
import { unsafeVariants } from '../support/subject.js';
import { cases } from './cases.js';
import { unsafe } from './unsafe.js';

for (const variant of unsafeVariants) {
  describe(variant.name, () => {
    unsafe(variant);
    cases(variant);
  });
}
