import type { IommuProfile, KernelProfile } from './profile.js';
import type { UserMemory } from './user-memory.js';
import type { Vsva2020 } from './vsva-2020/machine.js';

/** What the parts of a machine share. */
export interface Platform {
  readonly kernel: KernelProfile;
  readonly iommu: IommuProfile;
  readonly memory: UserMemory;
  readonly allowUnsafeInterrupts: boolean;
  readonly entryLimit: number;
  /** Set on a kernel with the proposal of 2020. */
  readonly vsva2020: Vsva2020 | undefined;
}
