/** linux/vfio.h: resetting a device. */
import { _IO, request } from '../ioctl.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** Resets the function. EINVAL without `VFIO_DEVICE_FLAGS_RESET`. Linux 3.6. */
export const VFIO_DEVICE_RESET = request('VFIO_DEVICE_RESET', _IO(VFIO_TYPE, VFIO_BASE + 11), {
  on: 'device',
  argument: 'none',
});
