/** linux/vfio.h: a write to a register whenever an eventfd is signalled. */
import { _IO, request } from '../ioctl.js';
import { argsz, fd, flags, reserved, since, struct, u64 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** The width of the write, in bits. */
export const VFIO_DEVICE_IOEVENTFD_8 = 1 << 0;
export const VFIO_DEVICE_IOEVENTFD_16 = 1 << 1;
export const VFIO_DEVICE_IOEVENTFD_32 = 1 << 2;
export const VFIO_DEVICE_IOEVENTFD_64 = 1 << 3;
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

/** `offset` is the device fd's, `data` what is written; `fd` -1 takes the same pair away again. */
export const vfio_device_ioeventfd = struct('vfio_device_ioeventfd', {
  argsz,
  flags: flags('VFIO_DEVICE_IOEVENTFD_'),
  offset: u64,
  data: u64,
  fd,
  reserved: since('6.6', reserved),
});

/** Memory BARs only, not over the MSI-X table, and at most 1000 for a device. Linux 4.17. */
export const VFIO_DEVICE_IOEVENTFD = request('VFIO_DEVICE_IOEVENTFD', _IO(VFIO_TYPE, VFIO_BASE + 16), {
  on: 'device',
  argument: vfio_device_ioeventfd,
  minimum: 'fd',
});
