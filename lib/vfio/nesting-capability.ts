import type { Capability } from '../abi/chain.js';
import { vfio_iommu_type1_info_cap_migration } from '../abi/vfio/type1.js';
import { VFIO_IOMMU_TYPE1_INFO_CAP_NESTING, vfio_iommu_type1_info_cap_nesting } from '../abi/vfio/vsva-2020.js';
import { findCapability } from '../kernel/answer.js';

/** What a nesting container can do. */
export interface NestingCapability {
  /** VFIO_IOMMU_PASID_REQS: PASIDs can be allocated. */
  readonly capabilities: number;
  /** The format of guest page tables: 1 is VT-d's. */
  readonly stage1Format: number;
}

/**
 * Capability 2 is two things: mainline's migration capability, 32 bytes long, and the proposal's nesting capability, 16
 * bytes long. Both have version 1, and asking for extension 9 tells no more, since both kernels answer 1. What tells
 * them apart is their length: no later form of a capability is shorter than an earlier one. So the shorter is the
 * proposal's, and one of another version is neither.
 *
 * The header does not say how long a capability is: its bytes go to the next one, or to the end of an answer that has
 * no room to spare, as `container.info()` asks for it.
 */
export function isNestingCapability({ id, version, bytes }: Capability): boolean {
  const { size } = vfio_iommu_type1_info_cap_migration;
  return id === VFIO_IOMMU_TYPE1_INFO_CAP_NESTING && version === 1 && bytes.byteLength < size;
}

/**
 * The proposal's nesting capability among those of `container.info()`; undefined on every kernel that does not have the
 * proposal, whose migration capability has the same number (see `isNestingCapability`).
 * @throws BadAnswerError when it is shorter than its struct.
 */
export function nestingCapability(capabilities: readonly Capability[]): NestingCapability | undefined {
  const nesting = capabilities.filter(isNestingCapability);
  const found = findCapability(nesting, VFIO_IOMMU_TYPE1_INFO_CAP_NESTING, vfio_iommu_type1_info_cap_nesting);
  return found && { capabilities: found.nesting_capabilities, stage1Format: found.stage1_format };
}
