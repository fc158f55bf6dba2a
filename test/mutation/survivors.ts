/** Deleted checks that no test can notice, each with the reason, by the folder that it is in. */
import type { Mutant } from './mutants.js';
import { iommufd } from './survivors/iommufd.js';
import { machine } from './survivors/machine.js';
import { mdev } from './survivors/mdev.js';
import { models } from './survivors/models.js';
import { spapr } from './survivors/spapr.js';
import type { Survivor } from './survivors/survivor.js';
import { type1 } from './survivors/type1.js';
import { vfioPci } from './survivors/vfio-pci.js';

export const survivors: readonly Survivor[] = [...iommufd, ...machine, ...mdev, ...models, ...spapr, ...type1, ...vfioPci];

export function explains({ file, code, replacement }: Survivor, mutant: Mutant): boolean {
  return mutant.file === file && mutant.code === code && mutant.replacement === replacement;
}

export function reasonOf(mutant: Mutant): string | undefined {
  return survivors.find((survivor) => explains(survivor, mutant))?.reason;
}
