import { errno } from '../../abi/errno.js';
import { directory, line, type FileNode } from '../file-node.js';
import { hasIommufd, type Platform } from '../platform.js';

/** /sys/module, as far as it is of VFIO. */
export function moduleEntries(platform: Platform): Record<string, FileNode> {
  return {
    ...iommuModules(platform),
    vfio_pci: directory(() => ({
      parameters: directory(() => ({ disable_denylist: line(() => 'N'), nointxmask: line(() => 'N') })),
    })),
    vfio: directory(() => ({
      parameters: directory(() => ({
        enable_unsafe_noiommu_mode: line(
          () => (platform.unsafeNoIommu ? 'Y' : 'N'),
          (text) => setUnsafeNoIommu(platform, text),
        ),
      })),
    })),
  };
}

/** Where iommufd is the container there is no type1. */
function iommuModules(platform: Platform): Record<string, FileNode> {
  if (platform.iommu.kind === 'spapr') return { vfio_iommu_spapr_tce: directory(() => ({})) };
  return {
    ...(hasIommufd(platform) && { iommufd: iommufdModule() }),
    ...(platform.container === 'vfio' && { vfio_iommu_type1: type1Module(platform) }),
  };
}

function iommufdModule(): FileNode {
  return directory(() => ({ parameters: directory(() => ({ allow_unsafe_interrupts: line(() => 'N') })) }));
}

function type1Module(platform: Platform): FileNode {
  return directory(() => ({
    parameters: directory(() => ({
      allow_unsafe_interrupts: line(() => (platform.allowUnsafeInterrupts ? 'Y' : 'N')),
      dma_entry_limit: line(
        () => String(platform.entryLimit),
        (text) => setEntryLimit(platform, text),
      ),
    })),
  }));
}

function setEntryLimit(platform: Platform, text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0 || limit > 0xffff_ffff) return -errno.EINVAL;
  platform.entryLimit = limit;
  return 0;
}

/** As the kernel reads booleans, by their first letters; a write of nothing is none. */
function setUnsafeNoIommu(platform: Platform, text: string): number {
  if (text === '') return 0;
  const [, yes, no] = /^(?:([yt1]|on)|([nf0]|of))/i.exec(text) ?? [];
  if (yes === undefined && no === undefined) return -errno.EINVAL;
  platform.unsafeNoIommu = yes !== undefined;
  return 0;
}
