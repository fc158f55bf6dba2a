/** VFIO's own requests on /dev/iommu. The order of checks is that of the kernel's vfio_compat.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommu_vfio_ioas,
} from '../../abi/iommufd/object.js';
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
import { VFIO_IOMMU_GET_INFO, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA } from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';
import { compatibilityInfo } from './compatibility-info.js';
import { mapDma, unmapDma } from './compatibility-requests.js';
import { Ioas } from './ioas.js';
import { operation, type Context } from './operation.js';

export function compatibilityIoctl(context: Context, request: number, argument: Argument): number {
  const { platform, compatibility } = context;
  switch (request) {
    case VFIO_GET_API_VERSION.number:
      return VFIO_API_VERSION;
    case VFIO_SET_IOMMU.number:
      return setIommu(context, argument.number);
    case VFIO_CHECK_EXTENSION.number:
      return checkExtension(context, argument.number);
    case VFIO_IOMMU_GET_INFO.number:
      return compatibilityInfo(platform, compatibility.ioas, argument);
    case VFIO_IOMMU_MAP_DMA.number:
      return mapDma(platform, compatibility.ioas, argument);
    case VFIO_IOMMU_UNMAP_DMA.number:
      return unmapDma(compatibility.ioas, argument);
    default:
      return -errno.ENOTTY;
  }
}

function checkExtension({ platform, compatibility: { ioas, noIommu } }: Context, extension: number): number {
  switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return noIommu ? 0 : 1;
    case VFIO_NOIOMMU_IOMMU:
      return 1;
    case VFIO_DMA_CC_IOMMU:
      if (ioas === undefined) return -errno.ENODEV;
      // Of no page table at all, each enforces it.
      return ioas.tables === 0 || platform.iommu.enforcesCoherency ? 1 : 0;
    default:
      return 0;
  }
}

/** Nothing is remembered of it, so it can be repeated. Version 1 unmaps parts of mappings, which large pages do not allow. */
function setIommu({ platform, compatibility: { ioas, noIommu } }: Context, type: number): number {
  if (noIommu && type === VFIO_NOIOMMU_IOMMU) return platform.rawIo ? 0 : -errno.EPERM;
  if ((type !== VFIO_TYPE1_IOMMU && type !== VFIO_TYPE1v2_IOMMU) || noIommu) return -errno.EINVAL;
  if (ioas === undefined) return -errno.ENODEV;
  return type === VFIO_TYPE1_IOMMU ? ioas.useLargePages(false) : 0;
}

export const chooseIoas = operation(IOMMU_VFIO_IOAS, iommu_vfio_ioas, ({ objects, compatibility }, asked, caller) => {
  if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
  switch (asked.op) {
    case IOMMU_VFIO_IOAS_GET:
      if (compatibility.ioas === undefined) return -errno.ENODEV;
      asked.ioas_id = compatibility.ioas.id;
      return caller.respond();
    case IOMMU_VFIO_IOAS_SET: {
      const ioas = objects.find(asked.ioas_id, Ioas);
      if (ioas === undefined) return -errno.ENOENT;
      compatibility.ioas = ioas;
      return 0;
    }
    case IOMMU_VFIO_IOAS_CLEAR:
      compatibility.ioas = undefined;
      return 0;
    default:
      return -errno.EOPNOTSUPP;
  }
});
