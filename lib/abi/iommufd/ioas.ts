/** linux/iommufd.h: I/O address spaces, and what is mapped in them. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, fd, flags, id, iova, reserved, struct, u32, u64 } from '../struct.js';
import {
  IOMMUFD_CMD_IOAS_ALLOC,
  IOMMUFD_CMD_IOAS_ALLOW_IOVAS,
  IOMMUFD_CMD_IOAS_COPY,
  IOMMUFD_CMD_IOAS_IOVA_RANGES,
  IOMMUFD_CMD_IOAS_MAP,
  IOMMUFD_CMD_IOAS_MAP_FILE,
  IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA,
  IOMMUFD_CMD_IOAS_UNMAP,
  IOMMUFD_TYPE,
} from './object.js';

export const iommu_ioas_alloc = struct('iommu_ioas_alloc', {
  size: argsz,
  flags: u32,
  out_ioas_id: id,
});

/** Linux 6.2. */
export const IOMMU_IOAS_ALLOC = request('IOMMU_IOAS_ALLOC', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC), {
  on: 'iommufd',
  argument: iommu_ioas_alloc,
  minimum: 'out_ioas_id',
});

/** `last` is inclusive. */
export const iommu_iova_range = struct('iommu_iova_range', {
  start: iova,
  last: iova,
});

/** `allowed_iovas` points to room for `num_iovas` of `iommu_iova_range`; too few is EMSGSIZE, with the count that there is. */
export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', {
  size: argsz,
  ioas_id: id,
  num_iovas: u32,
  __reserved: reserved,
  allowed_iovas: address,
  out_iova_alignment: u64,
});

/** What can be mapped now: it changes when a device is attached. Linux 6.2. */
export const IOMMU_IOAS_IOVA_RANGES = request('IOMMU_IOAS_IOVA_RANGES', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES), {
  on: 'iommufd',
  argument: iommu_ioas_iova_ranges,
  minimum: 'out_iova_alignment',
});

export const iommu_ioas_allow_iovas = struct('iommu_ioas_allow_iovas', {
  size: argsz,
  ioas_id: id,
  num_iovas: u32,
  __reserved: reserved,
  allowed_iovas: address,
});

/** Promises to map nothing else: a device that cannot do with these is not attached. Linux 6.2. */
export const IOMMU_IOAS_ALLOW_IOVAS = request('IOMMU_IOAS_ALLOW_IOVAS', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS), {
  on: 'iommufd',
  argument: iommu_ioas_allow_iovas,
  minimum: 'allowed_iovas',
});

/** `iova` is the caller's choice; without it, the kernel's, which it writes back. */
export const IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0;
export const IOMMU_IOAS_MAP_WRITEABLE = 1 << 1;
export const IOMMU_IOAS_MAP_READABLE = 1 << 2;

export const iommu_ioas_map = struct('iommu_ioas_map', {
  size: argsz,
  flags: flags('IOMMU_IOAS_MAP_'),
  ioas_id: id,
  __reserved: reserved,
  user_va: address,
  length: u64,
  iova,
});

/** Linux 6.2. */
export const IOMMU_IOAS_MAP = request('IOMMU_IOAS_MAP', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP), {
  on: 'iommufd',
  argument: iommu_ioas_map,
  minimum: 'iova',
});

/** `start` is an offset in the file. */
export const iommu_ioas_map_file = struct('iommu_ioas_map_file', {
  size: argsz,
  flags: flags('IOMMU_IOAS_MAP_'),
  ioas_id: id,
  fd,
  start: u64,
  length: u64,
  iova,
});

/** Maps a memfd; a dma-buf since 6.19. Linux 6.13. */
export const IOMMU_IOAS_MAP_FILE = request('IOMMU_IOAS_MAP_FILE', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP_FILE), {
  on: 'iommufd',
  argument: iommu_ioas_map_file,
  minimum: 'iova',
});

export const iommu_ioas_copy = struct('iommu_ioas_copy', {
  size: argsz,
  flags: flags('IOMMU_IOAS_MAP_'),
  dst_ioas_id: id,
  src_ioas_id: id,
  length: u64,
  dst_iova: iova,
  src_iova: iova,
});

/** Maps what another IOAS has mapped: the pages are pinned once. Linux 6.2. */
export const IOMMU_IOAS_COPY = request('IOMMU_IOAS_COPY', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY), {
  on: 'iommufd',
  argument: iommu_ioas_copy,
  minimum: 'src_iova',
});

/** IOVA 0 with a length of all ones is everything. `length` comes back as the bytes that were unmapped. */
export const iommu_ioas_unmap = struct('iommu_ioas_unmap', {
  size: argsz,
  ioas_id: id,
  iova,
  length: u64,
});

/** Linux 6.2. */
export const IOMMU_IOAS_UNMAP = request('IOMMU_IOAS_UNMAP', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP), {
  on: 'iommufd',
  argument: iommu_ioas_unmap,
  minimum: 'length',
});

/** `length` comes back as the bytes that lie together from `out_phys` on. */
export const iommu_ioas_noiommu_get_pa = struct('iommu_ioas_noiommu_get_pa', {
  size: argsz,
  flags: u32,
  ioas_id: id,
  __reserved: reserved,
  iova,
  length: u64,
  out_phys: u64,
});

/** Where mapped memory really is, for a device that has no IOMMU. Linux 7.3. */
export const IOMMU_IOAS_NOIOMMU_GET_PA = request('IOMMU_IOAS_NOIOMMU_GET_PA', _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA), {
  on: 'iommufd',
  argument: iommu_ioas_noiommu_get_pa,
  minimum: 'out_phys',
});
