/** MAP_DMA and UNMAP_DMA on /dev/iommu. The order of checks is that of the kernel's vfio_compat.c. */
import { errno } from '../../abi/errno.js';
import {
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../abi/vfio/type1.js';
import type { Argument } from '../argument.js';
import type { Platform } from '../platform.js';
import { top, type Ioas, type Unmapped } from './ioas.js';
import { userMemory } from './ioas-requests.js';

export function mapDma(platform: Platform, ioas: Ioas | undefined, argument: Argument): number {
  const { minimum } = VFIO_IOMMU_MAP_DMA;
  const map = argument.struct(vfio_iommu_type1_dma_map, minimum);
  if (map === undefined) return -errno.EFAULT;
  const known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  if (map.argsz < minimum || (map.flags & ~known) !== 0) return -errno.EINVAL;
  if (ioas === undefined) return -errno.ENODEV;
  const access = {
    readable: (map.flags & VFIO_DMA_MAP_FLAG_READ) !== 0,
    writable: (map.flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0,
  };
  const slice = userMemory(platform, map.vaddr, map.size, access.writable);
  if (typeof slice === 'number') return slice;
  const mapped = ioas.map([slice], map.size, map.iova, access);
  slice.pages.drop();
  return typeof mapped === 'number' ? mapped : 0;
}

/** What was unmapped before an error is told with it. */
export function unmapDma(ioas: Ioas | undefined, argument: Argument): number {
  const { minimum } = VFIO_IOMMU_UNMAP_DMA;
  const unmap = argument.struct(vfio_iommu_type1_dma_unmap, minimum);
  if (unmap === undefined) return -errno.EFAULT;
  if (unmap.argsz < minimum || (unmap.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return -errno.EINVAL;
  if (ioas === undefined) return -errno.ENODEV;
  const { iova, size } = unmap;
  let done: Unmapped;
  if ((unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0) {
    if (iova !== 0n || size !== 0n) return -errno.EINVAL;
    done = ioas.unmap(0n, top);
  } else {
    const cut = ioas.largePages ? 0 : cutOut(ioas, iova, size);
    if (cut !== 0) return cut;
    done = unmapRange(ioas, iova, size);
  }
  unmap.size = done.bytes;
  return argument.copyTo(unmap.bytes) ? done.result : -errno.EFAULT;
}

/** As version 1 of type1 has it: what lies across an end of the range is cut there. */
function cutOut(ioas: Ioas, iova: bigint, size: bigint): number {
  const cut = ioas.cutBehind(BigInt.asUintN(64, iova + size - 1n));
  return cut === 0 && iova !== 0n ? ioas.cutBehind(iova - 1n) : cut;
}

/** iopt_unmap_iova. */
function unmapRange(ioas: Ioas, iova: bigint, size: bigint): Unmapped {
  if (size === 0n) return { bytes: 0n, result: -errno.EINVAL };
  if (iova + size - 1n > top) return { bytes: 0n, result: -errno.EOVERFLOW };
  return ioas.unmap(iova, iova + size - 1n);
}
