/**
 * /dev/iommu as it was first proposed, in March 2022 (iommufd, RFC): the same requests under other numbers, and one with
 * another struct. Mainline took the interface in Linux 6.2 with its numbers given out anew, so no released kernel answers
 * these, and on one that is released most of the numbers mean something else. So they are apart from `vfio/abi`, and no
 * header can judge them; the facts the tests hold them to are those of the proposal.
 *
 * @module vfio/iommufd-rfc
 */
import { _IO, request, type Request } from '../ioctl.js';
import { argsz, flexible, reserved, struct, u32 } from '../struct.js';
import { iommu_ioas_copy, iommu_ioas_map, iommu_ioas_unmap, iommu_iova_range } from './ioas.js';
import { iommu_vfio_ioas, IOMMUFD_TYPE } from './object.js';

// DESTROY and IOAS_ALLOC are those that mainline has, 0x80 and 0x81.
export const IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x82;
export const IOMMUFD_CMD_IOAS_MAP = 0x83;
export const IOMMUFD_CMD_IOAS_COPY = 0x84;
export const IOMMUFD_CMD_IOAS_UNMAP = 0x85;
export const IOMMUFD_CMD_VFIO_IOAS = 0x86;

/** The ranges follow the struct, as many as `size` has room for; `out_num_iovas` comes back as how many there are. */
export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', {
  size: argsz,
  ioas_id: u32,
  out_num_iovas: u32,
  __reserved: reserved,
  out_valid_iovas: flexible(iommu_iova_range),
});

export const IOMMU_IOAS_IOVA_RANGES = request('IOMMU_IOAS_IOVA_RANGES', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES), {
  on: 'iommufd',
  argument: iommu_ioas_iova_ranges,
  minimum: '__reserved',
});

export const IOMMU_IOAS_MAP = request('IOMMU_IOAS_MAP', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP), {
  on: 'iommufd',
  argument: iommu_ioas_map,
  minimum: '__reserved',
});

/** Of the very range that one MAP mapped. */
export const IOMMU_IOAS_COPY = request('IOMMU_IOAS_COPY', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY), {
  on: 'iommufd',
  argument: iommu_ioas_copy,
  minimum: 'src_iova',
});

/** Of the very range that one MAP mapped, or IOVA 0 with a length of all ones for everything. `length` is not written back. */
export const IOMMU_IOAS_UNMAP = request('IOMMU_IOAS_UNMAP', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP), {
  on: 'iommufd',
  argument: iommu_ioas_unmap,
  minimum: 'length',
});

/** Which IOAS VFIO's own requests use when they are made on /dev/iommu. */
export const IOMMU_VFIO_IOAS = request('IOMMU_VFIO_IOAS', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS), {
  on: 'iommufd',
  argument: iommu_vfio_ioas,
  minimum: '__reserved',
});

/** Those whose numbers are not what mainline has. */
export const renumberedRequests: readonly Request[] = [
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_UNMAP,
  IOMMU_VFIO_IOAS,
];
