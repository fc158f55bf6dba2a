/** Every request that is declared, and what follows from having them all in one list. */
import type { Request } from './ioctl.js';
import { IOMMU_FAULT_QUEUE_ALLOC } from './iommufd/fault.js';
import {
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
} from './iommufd/hwpt.js';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
} from './iommufd/ioas.js';
import { IOMMU_DESTROY, IOMMU_IOAS_CHANGE_PROCESS, IOMMU_OPTION, IOMMU_VFIO_IOAS } from './iommufd/object.js';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC, IOMMU_VIOMMU_ALLOC } from './iommufd/viommu.js';
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_DETACH_IOMMUFD_PT } from './vfio/cdev.js';
import { VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from './vfio/container.js';
import { VFIO_DEVICE_GET_INFO } from './vfio/device.js';
import { VFIO_DEVICE_FEATURE } from './vfio/feature.js';
import { VFIO_DEVICE_GET_GFX_DMABUF, VFIO_DEVICE_QUERY_GFX_PLANE } from './vfio/gfx.js';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_GET_STATUS, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER } from './vfio/group.js';
import { VFIO_DEVICE_IOEVENTFD } from './vfio/ioeventfd.js';
import { VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS } from './vfio/irq.js';
import { VFIO_MIG_GET_PRECOPY_INFO } from './vfio/migration.js';
import { VFIO_DEVICE_GET_REGION_INFO } from './vfio/region.js';
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET, VFIO_DEVICE_RESET } from './vfio/reset.js';
import {
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
} from './vfio/spapr.js';
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from './vfio/type1.js';
import { proposedRequests } from './vfio/vsva-2020.js';

export const requests: readonly Request[] = [
  VFIO_GET_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_SET_IOMMU,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_SET_IRQS,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_MIG_GET_PRECOPY_INFO,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  IOMMU_DESTROY,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
  IOMMU_HWPT_ALLOC,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_IOAS_NOIOMMU_GET_PA,
];

/** Names of the requests whose argument begins with a length word, by number. A number may have several. */
const sized = new Map<number, string>();
// Proposals are among them: a buffer made for one must not be too short for whatever a kernel takes the number for.
for (const { name, number, argument } of [...requests, ...proposedRequests]) {
  if (typeof argument === 'string') continue;
  const known = sized.get(number);
  sized.set(number, known === undefined ? name : `${known} or ${name}`);
}

/**
 * Refuses an argument whose length word promises more bytes than there are: a kernel believes the word, and would write
 * past the end of the buffer. Every kernel calls this before it looks at an argument.
 * @throws RangeError
 */
export function refuseOversized(request: number, argument: Uint8Array): void {
  const name = sized.get(request);
  // Node 20 takes ten times as long to tell byteLength.
  if (name !== undefined) refuseOversizedAt(name, argument, 0, argument.length);
}

/** The same for each of `count` arguments, one behind the other. */
export function refuseOversizedMany(request: number, structs: Uint8Array, count: number): void {
  const name = sized.get(request);
  if (name === undefined) return;
  const size = Math.floor(structs.length / count);
  for (let index = 0; index < count; index += 1) refuseOversizedAt(name, structs, index * size, size);
}

function refuseOversizedAt(name: string, bytes: Uint8Array, start: number, size: number): void {
  if (size < 4) throw new RangeError(`Expected at least 4 bytes, the size word, for ${name} but received ${size}`);
  const promised =
    ((bytes[start] ?? 0) | ((bytes[start + 1] ?? 0) << 8) | ((bytes[start + 2] ?? 0) << 16) | ((bytes[start + 3] ?? 0) << 24)) >>> 0;
  if (promised > size)
    throw new RangeError(`Expected an argsz of at most ${size} bytes, the size of the buffer, for ${name} but received ${promised}`);
}
