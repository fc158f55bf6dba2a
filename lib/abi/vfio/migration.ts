/** linux/vfio.h: taking a device's state out of it and into another, as device features. Linux 5.18. */
import { _IO, request } from '../ioctl.js';
import { argsz, fd, flags, struct, u32, u64 } from '../struct.js';
import { VFIO_BASE, VFIO_TYPE } from './container.js';

/** GET: what the device can do. Linux 5.18. */
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;

export const VFIO_MIGRATION_STOP_COPY = 1 << 0;
/** The P2P states exist: a device that starts no DMA and still answers that of others. */
export const VFIO_MIGRATION_P2P = 1 << 1;
/** State can be read while the device runs. Linux 6.2. */
export const VFIO_MIGRATION_PRE_COPY = 1 << 2;

export const vfio_device_feature_migration = struct('vfio_device_feature_migration', {
  flags: u64,
});

/** GET and SET: the state machine. Linux 5.18. */
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;

/** Left by a reset of the device only. */
export const VFIO_DEVICE_STATE_ERROR = 0;
export const VFIO_DEVICE_STATE_STOP = 1;
export const VFIO_DEVICE_STATE_RUNNING = 2;
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
export const VFIO_DEVICE_STATE_RESUMING = 4;
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
export const VFIO_DEVICE_STATE_NR = 8;

/** `data_fd` comes back -1 unless the new state moves data. */
export const vfio_device_feature_mig_state = struct('vfio_device_feature_mig_state', {
  device_state: u32,
  data_fd: fd,
});

/** New initial data is in the stream. Only after SET of `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`. Linux 7.1. */
export const VFIO_PRECOPY_INFO_REINIT = 1 << 0;

export const vfio_precopy_info = struct('vfio_precopy_info', {
  argsz,
  flags: flags('VFIO_PRECOPY_INFO_'),
  initial_bytes: u64,
  dirty_bytes: u64,
});

/** Of the data fd, in the PRE_COPY states: about how much is still to be read. Linux 6.2. */
export const VFIO_MIG_GET_PRECOPY_INFO = request('VFIO_MIG_GET_PRECOPY_INFO', _IO(VFIO_TYPE, VFIO_BASE + 21), {
  on: 'migration',
  argument: vfio_precopy_info,
  minimum: 'dirty_bytes',
});

/** GET: about how many bytes STOP_COPY would move now. Linux 6.2. */
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;

export const vfio_device_feature_mig_data_size = struct('vfio_device_feature_mig_data_size', {
  stop_copy_length: u64,
});

/** SET: from now on the flags of `vfio_precopy_info` mean something. Linux 7.1. */
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;
