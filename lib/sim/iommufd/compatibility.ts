/**
 * VFIO's own requests on /dev/iommu, while no address space was chosen for them: most of them then have nothing to work
 * on. The order of checks is that of the kernel's vfio_compat.c.
 */
import { errno } from '../../abi/errno.js';
import type { Request } from '../../abi/ioctl.js';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '../../abi/vfio/container.js';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';

export function compatibilityIoctl(request: number, argument: Argument): number {
  switch (request) {
    case VFIO_GET_API_VERSION.number:
      return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION.number:
      return checkExtension(argument.number);
    case VFIO_SET_IOMMU.number:
      return argument.number === VFIO_TYPE1_IOMMU || argument.number === VFIO_TYPE1v2_IOMMU ? -errno.ENODEV : -errno.EINVAL;
    case VFIO_IOMMU_GET_INFO.number:
      return withoutAddressSpace(VFIO_IOMMU_GET_INFO, argument);
    case VFIO_IOMMU_MAP_DMA.number:
      return withoutAddressSpace(VFIO_IOMMU_MAP_DMA, argument, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
    case VFIO_IOMMU_UNMAP_DMA.number:
      return withoutAddressSpace(VFIO_IOMMU_UNMAP_DMA, argument, VFIO_DMA_UNMAP_FLAG_ALL);
    default:
      return -errno.ENOTTY;
  }
}

function checkExtension(extension: number): number {
  switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
    case VFIO_NOIOMMU_IOMMU:
      return 1;
    case VFIO_DMA_CC_IOMMU:
      return -errno.ENODEV;
    default:
      return 0;
  }
}

/** `flags`: those that are known, where the request looks at them. */
function withoutAddressSpace({ minimum }: Request, argument: Argument, flags?: number): number {
  const given = argument.copyFrom(minimum);
  if (given === undefined) return -errno.EFAULT;
  const words = new DataView(given.buffer);
  const unknown = flags === undefined ? 0 : words.getUint32(4, true) & ~flags;
  return words.getUint32(0, true) < minimum || unknown !== 0 ? -errno.EINVAL : -errno.ENODEV;
}
