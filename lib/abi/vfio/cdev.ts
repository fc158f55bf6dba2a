/** linux/vfio.h: the requests of a device opened by its own node, /dev/vfio/devices/vfioN. Linux 6.6. */
import { _IO, request } from '../ioctl.js';
import { address, argsz, fd, flags, id, since, struct, u32 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Linux 6.17. */
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0;

/** `token_uuid_ptr` points to 16 bytes. */
export const vfio_device_bind_iommufd = struct('vfio_device_bind_iommufd', {
  argsz,
  flags: flags('VFIO_DEVICE_BIND_FLAG_'),
  iommufd: fd,
  out_devid: id,
  token_uuid_ptr: since('6.17', address),
});

/** Comes first, and once for an open file. Longer than the kernel knows is E2BIG unless the rest is zero. */
export const VFIO_DEVICE_BIND_IOMMUFD = request('VFIO_DEVICE_BIND_IOMMUFD', _IO(VFIO_TYPE, VFIO_BASE + 18), {
  on: 'device',
  argument: vfio_device_bind_iommufd,
  minimum: 'out_devid',
});

/** Linux 6.15. */
export const VFIO_DEVICE_ATTACH_PASID = 1 << 0;

/** `pt_id` is an IOAS's or a page table's, and comes back as the page table's that is used. */
export const vfio_device_attach_iommufd_pt = struct('vfio_device_attach_iommufd_pt', {
  argsz,
  flags: flags('VFIO_DEVICE_ATTACH_'),
  pt_id: id,
  pasid: since('6.15', u32),
});

export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = request('VFIO_DEVICE_ATTACH_IOMMUFD_PT', _IO(VFIO_TYPE, VFIO_BASE + 19), {
  on: 'device',
  argument: vfio_device_attach_iommufd_pt,
  minimum: 'pt_id',
});

/** Linux 6.15. */
export const VFIO_DEVICE_DETACH_PASID = 1 << 0;

export const vfio_device_detach_iommufd_pt = struct('vfio_device_detach_iommufd_pt', {
  argsz,
  flags: flags('VFIO_DEVICE_DETACH_'),
  pasid: since('6.15', u32),
});

export const VFIO_DEVICE_DETACH_IOMMUFD_PT = request('VFIO_DEVICE_DETACH_IOMMUFD_PT', _IO(VFIO_TYPE, VFIO_BASE + 20), {
  on: 'device',
  argument: vfio_device_detach_iommufd_pt,
  minimum: 'flags',
});
