import type { IommuProfile, KernelProfile } from './profile.js';
import type { Process } from './process.js';
import type { PhysicalMemory } from './physical-memory.js';
import type { UserMemory } from './user-memory.js';
import type { Vsva2020 } from './vsva-2020/machine.js';

/** VFIO's own container, or iommufd in its compatibility mode, as kernels without VFIO_CONTAINER are built. */
export type ContainerProvider = 'vfio' | 'iommufd';

/** What the parts of a machine share. */
export interface Platform {
  readonly kernel: KernelProfile;
  readonly iommu: IommuProfile;
  readonly memory: UserMemory;
  readonly physical: PhysicalMemory;
  /** Who answers as /dev/vfio/vfio. */
  readonly container: ContainerProvider;
  readonly allowUnsafeInterrupts: boolean;
  /** The module's parameter dma_entry_limit, which can be changed: containers take it when they get their type. */
  entryLimit: number;
  readonly lockedMemory: LockedMemory;
  /** Set on a kernel with the proposal of 2020. */
  readonly vsva2020: Vsva2020 | undefined;
  /** The module's parameter enable_unsafe_noiommu_mode: vfio-pci takes devices that have no IOMMU. */
  unsafeNoIommu: boolean;
  /** The process has CAP_SYS_RAWIO. */
  rawIo: boolean;
  /** Who makes the system calls. */
  readonly process: Process;
}

/** Whether there is /dev/iommu. On POWER machines nothing is known of how it behaves. */
export function hasIommufd({ iommu, kernel }: Platform): boolean {
  return kernel.hasIommufd && iommu.kind !== 'spapr';
}

/** The memory a process has locked, against its RLIMIT_MEMLOCK. */
export class LockedMemory {
  /** Bytes; none if it is beyond all memory. */
  readonly limit: bigint;
  #locked = 0n;

  /** Bytes; undefined: none, as with CAP_IPC_LOCK. */
  constructor(limit: number | undefined) {
    this.limit = limit === undefined ? 1n << 64n : BigInt(limit);
  }

  /** False when it would be more than the limit. */
  take(bytes: bigint): boolean {
    if (this.#locked + bytes > this.limit) return false;
    this.#locked += bytes;
    return true;
  }

  give(bytes: bigint): void {
    this.#locked -= bytes;
  }
}
