/** /dev/iommu as it was proposed in 2022. What the proposal's text does not say, it does as Linux 6.12 does. */
import { errno } from '../../abi/errno.js';
import { iommu_ioas_copy, iommu_ioas_unmap, iommu_iova_range } from '../../abi/iommufd/ioas.js';
import * as rfc from '../../abi/iommufd/rfc-2022.js';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
} from '../../abi/vfio/container.js';
import {
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_unmap,
} from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';
import { dmaAvailableCapability, iovaRangesCapability } from '../type1/info.js';
import { answerInfo } from './compatibility-info.js';
import { chooseIoas } from './compatibility-ioctl.js';
import { mapDma } from './compatibility-requests.js';
import { Ioas, top } from './ioas.js';
import * as ioas from './ioas-requests.js';
import { operation, type Context, type Operation } from './operation.js';

/** As VFIO's own container says, though there is no limit. */
const mappingsAvailable = 0xffff;

/** The tail is for the answer, and has to come as zeros. */
const ranges: Operation = {
  request: rfc.IOMMU_IOAS_IOVA_RANGES,
  as: (request) => ({ ...ranges, request }),
  run({ objects }, argument, size) {
    const type = rfc.iommu_ioas_iova_ranges;
    if (size < type.size) return -errno.EINVAL;
    const given = argument.copyFrom(size);
    if (given === undefined) return -errno.EFAULT;
    const asked = type.copy(given.subarray(0, type.size));
    const tail = given.subarray(type.size);
    if (tail.some((byte) => byte !== 0)) return -errno.E2BIG;
    if (asked.__reserved !== 0) return -errno.EOPNOTSUPP;
    const found = objects.find(asked.ioas_id, Ioas)?.ranges();
    if (found === undefined) return -errno.ENOENT;
    const element = iommu_iova_range.create();
    for (const [index, range] of found.slice(0, Math.floor(tail.byteLength / element.bytes.byteLength)).entries()) {
      Object.assign(element, range);
      if (!argument.copyTo(element.bytes, type.size + index * element.bytes.byteLength)) return -errno.EFAULT;
    }
    asked.out_num_iovas = found.length;
    return argument.copyTo(asked.bytes) ? 0 : -errno.EFAULT;
  },
};

const unmap = operation(rfc.IOMMU_IOAS_UNMAP, iommu_ioas_unmap, ({ objects }, { ioas_id, iova, length }) => {
  const space = objects.find(ioas_id, Ioas);
  if (space === undefined) return -errno.ENOENT;
  if (iova === 0n && length === top) return space.unmap(0n, top).result;
  return iova >= top || length >= top ? -errno.EOVERFLOW : unmapExactly(space, iova, length);
});

const copyParts = ioas.copy.as(rfc.IOMMU_IOAS_COPY);
/** Parts of mappings, and several at once, are not to be had. */
const copy: Operation = {
  ...copyParts,
  run(context, argument, size) {
    const asked = argument.struct(iommu_ioas_copy, copyParts.request.minimum);
    if (asked === undefined || size < copyParts.request.minimum) return copyParts.run(context, argument, size);
    const source = context.objects.find(asked.src_ioas_id, Ioas);
    return source === undefined || source.maps(asked.src_iova, asked.length) ? copyParts.run(context, argument, size) : -errno.ENOENT;
  },
};

export const rfc2022Operations: readonly Operation[] = [
  ...[ranges, copy, unmap],
  ...[ioas.map.as(rfc.IOMMU_IOAS_MAP), chooseIoas.as(rfc.IOMMU_VFIO_IOAS)],
];

/** Likewise. */
function unmapExactly(space: Ioas, iova: bigint, length: bigint): number {
  if (length === 0n) return -errno.EINVAL;
  if (iova + length - 1n > top) return -errno.EOVERFLOW;
  return space.maps(iova, length) ? space.unmap(iova, iova + length - 1n).result : -errno.ENOENT;
}

/** VFIO's own requests. */
export function rfc2022Ioctl({ platform, compatibility: { ioas: space } }: Context, request: number, argument: Argument): number {
  switch (request) {
    case VFIO_GET_API_VERSION.number:
      return VFIO_API_VERSION;
    case VFIO_SET_IOMMU.number:
      if (argument.number !== VFIO_TYPE1v2_IOMMU) return -errno.EINVAL;
      return space === undefined ? -errno.ENODEV : 0;
    case VFIO_CHECK_EXTENSION.number:
      return argument.number === VFIO_TYPE1v2_IOMMU || argument.number === VFIO_UNMAP_ALL ? 1 : 0;
    case VFIO_IOMMU_GET_INFO.number:
      return answerInfo(space, argument, (asked) => ({
        pageSizes: asked.alignment,
        capabilities: [iovaRangesCapability(asked.ranges()), dmaAvailableCapability(mappingsAvailable)],
        multiple: 1,
      }));
    case VFIO_IOMMU_MAP_DMA.number:
      return mapDma(platform, space, argument);
    case VFIO_IOMMU_UNMAP_DMA.number:
      return unmapDma(space, argument);
    default:
      return -errno.ENOTTY;
  }
}

/** The size is not written back, and with ALL the range is not looked at. */
function unmapDma(space: Ioas | undefined, argument: Argument): number {
  const { minimum } = VFIO_IOMMU_UNMAP_DMA;
  const asked = argument.struct(vfio_iommu_type1_dma_unmap, minimum);
  if (asked === undefined) return -errno.EFAULT;
  if (asked.argsz < minimum || (asked.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return -errno.EINVAL;
  if (space === undefined) return -errno.ENODEV;
  return (asked.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0 ? space.unmap(0n, top).result : unmapExactly(space, asked.iova, asked.size);
}
