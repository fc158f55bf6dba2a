/** linux/vfio.h: extensions, and the requests of /dev/vfio/vfio. */
import { _IO, request } from '../ioctl.js';

export const VFIO_API_VERSION = 0;

export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_SPAPR_TCE_IOMMU = 2;
export const VFIO_TYPE1v2_IOMMU = 3;
/** The IOMMU enforces cache coherency on DMA. */
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_EEH = 5;
/** Two-stage translation; gone from Linux 6.13 on. */
export const VFIO_TYPE1_NESTING_IOMMU = 6;
/** The same number since, which answers 0. */
export const __VFIO_RESERVED_TYPE1_NESTING_IOMMU = 6;
export const VFIO_SPAPR_TCE_v2_IOMMU = 7;
export const VFIO_NOIOMMU_IOMMU = 8;
/** `VFIO_DMA_UNMAP_FLAG_ALL` works. */
export const VFIO_UNMAP_ALL = 9;
/** `VFIO_DMA_MAP_FLAG_VADDR` and `VFIO_DMA_UNMAP_FLAG_VADDR` work. */
export const VFIO_UPDATE_VADDR = 10;

export const VFIO_TYPE = ';'.charCodeAt(0);
export const VFIO_BASE = 100;

/** Returns `VFIO_API_VERSION`. Linux 3.6. */
export const VFIO_GET_API_VERSION = request('VFIO_GET_API_VERSION', _IO(VFIO_TYPE, VFIO_BASE + 0), {
  on: 'container',
  argument: 'none',
});

/** Takes an extension number; returns 0 if it is not there, else a positive number. Linux 3.6. */
export const VFIO_CHECK_EXTENSION = request('VFIO_CHECK_EXTENSION', _IO(VFIO_TYPE, VFIO_BASE + 1), {
  on: 'container',
  argument: 'number',
});

/** Takes an IOMMU type, one of the extensions. Needs a group in the container, and can be done once. Linux 3.6. */
export const VFIO_SET_IOMMU = request('VFIO_SET_IOMMU', _IO(VFIO_TYPE, VFIO_BASE + 2), {
  on: 'container',
  argument: 'number',
});
