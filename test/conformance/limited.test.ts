/** A process that may lock little memory. */
import { describe } from 'vitest';
import { limitedVariants } from '../support/subject.js';
import { limited } from './limited.js';

for (const variant of limitedVariants) describe(variant.name, () => limited(variant));
