/** linux/vfio.h: the requests of /dev/vfio/GROUP. */
import { _IO, request } from '../ioctl.js';
import { argsz, flags, struct } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Every device of the group is with VFIO or with no driver that does DMA. */
export const VFIO_GROUP_FLAGS_VIABLE = 1 << 0;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1;

export const vfio_group_status = struct('vfio_group_status', {
  argsz,
  flags: flags('VFIO_GROUP_FLAGS_'),
});

/** Linux 3.6. */
export const VFIO_GROUP_GET_STATUS = request('VFIO_GROUP_GET_STATUS', _IO(VFIO_TYPE, VFIO_BASE + 3), {
  on: 'group',
  argument: vfio_group_status,
  minimum: 'flags',
});

/** Takes a pointer to the container's fd. Linux 3.6. */
export const VFIO_GROUP_SET_CONTAINER = request('VFIO_GROUP_SET_CONTAINER', _IO(VFIO_TYPE, VFIO_BASE + 4), {
  on: 'group',
  argument: 'fd',
});

/** EBUSY while a device of the group is open. Linux 3.6. */
export const VFIO_GROUP_UNSET_CONTAINER = request('VFIO_GROUP_UNSET_CONTAINER', _IO(VFIO_TYPE, VFIO_BASE + 5), {
  on: 'group',
  argument: 'none',
});

/** Takes the device's name in sysfs; returns its fd. Linux 3.6. */
export const VFIO_GROUP_GET_DEVICE_FD = request('VFIO_GROUP_GET_DEVICE_FD', _IO(VFIO_TYPE, VFIO_BASE + 6), {
  on: 'group',
  argument: 'text',
});
