import type { IommuProfile, KernelProfile } from './profile.js';
import type { UserMemory } from './user-memory.js';

/** What the parts of a machine share. */
export interface Platform {
  readonly kernel: KernelProfile;
  readonly iommu: IommuProfile;
  readonly memory: UserMemory;
  readonly allowUnsafeInterrupts: boolean;
  readonly entryLimit: number;
}
