import { directory, line, link, text, type FileNode } from '../file-node.js';
import type { IommuGroup } from '../iommu-group.js';
import type { Platform } from '../platform.js';
import { bySlot } from './by-slot.js';

/** /sys/kernel/iommu_groups/NUMBER. */
export function groupDirectory(group: IommuGroup, platform: Platform): FileNode {
  return directory(() => ({
    devices: directory(() => bySlot(group.slots, (slot) => link(() => `../../../../${slot.path}`))),
    // A group that no IOMMU made, for a device without one, has a name.
    ...(group.kind === 'noiommu' && { name: line(() => 'vfio-noiommu') }),
    // Where no IOMMU is there is no type, and the kernel has no name for the kind of domain that POWER's default is.
    type: line(() => (group.kind === 'iommu' && platform.iommu.kind !== 'spapr' ? 'DMA' : 'unknown')),
    reserved_regions: text(() =>
      (group.kind === 'iommu' ? platform.iommu.reserved : [])
        .map(({ start, last, type }) => `0x${start.toString(16).padStart(16, '0')} 0x${last.toString(16).padStart(16, '0')} ${type}\n`)
        .join(''),
    ),
  }));
}
