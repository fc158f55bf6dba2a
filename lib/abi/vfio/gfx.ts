/** linux/vfio.h: the picture of a virtual graphics device. Linux 4.16. */
import { _IO, request } from '../ioctl.js';
import { argsz, flags, reserved, sharing, since, struct, u32, u64 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

export const VFIO_GFX_PLANE_TYPE_PROBE = 1 << 0;
export const VFIO_GFX_PLANE_TYPE_DMABUF = 1 << 1;
export const VFIO_GFX_PLANE_TYPE_REGION = 1 << 2;

/** `drm_format` and `drm_format_mod` are those of drm/drm_fourcc.h; sizes are in pixels, `stride` and `size` in bytes. */
export const vfio_device_gfx_plane_info = struct('vfio_device_gfx_plane_info', {
  argsz,
  flags: flags('VFIO_GFX_PLANE_TYPE_'),
  drm_plane_type: u32,
  drm_format: u32,
  drm_format_mod: u64,
  width: u32,
  height: u32,
  stride: u32,
  size: u32,
  x_pos: u32,
  y_pos: u32,
  x_hot: u32,
  y_hot: u32,
  region_index: u32,
  dmabuf_id: sharing('region_index', u32),
  reserved: since('6.6', reserved),
});

export const VFIO_DEVICE_QUERY_GFX_PLANE = request('VFIO_DEVICE_QUERY_GFX_PLANE', _IO(VFIO_TYPE, VFIO_BASE + 14), {
  on: 'device',
  argument: vfio_device_gfx_plane_info,
  minimum: 'region_index',
});

/** Takes a pointer to the plane's `dmabuf_id`; returns a dma-buf's fd. */
export const VFIO_DEVICE_GET_GFX_DMABUF = request('VFIO_DEVICE_GET_GFX_DMABUF', _IO(VFIO_TYPE, VFIO_BASE + 15), {
  on: 'device',
  argument: 'fd',
});
