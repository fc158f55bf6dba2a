import { IOMMU_DESTROY, iommu_destroy } from '../abi/iommufd/object.js';
import type { Descriptor } from '../kernel/descriptor.js';

/** IOMMU_DESTROY of an object of the open file. @throws KernelError EBUSY while another object needs it. */
export function destroyObject(descriptor: Descriptor, id: number): void {
  const request = iommu_destroy.create();
  request.size = iommu_destroy.size;
  request.id = id;
  descriptor.ioctl(IOMMU_DESTROY, request.bytes);
}
