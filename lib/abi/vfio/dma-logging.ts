/** linux/vfio.h: which pages a device wrote, told by the device itself, as device features. Linux 6.1. */
import { address, iova, reserved, struct, u32, u64 } from '../struct.js';

/** SET: starts for the given ranges. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;

/** `ranges` points to `num_ranges` of `vfio_device_feature_dma_logging_range`; `page_size` is a wish. */
export const vfio_device_feature_dma_logging_control = struct('vfio_device_feature_dma_logging_control', {
  page_size: u64,
  num_ranges: u32,
  __reserved: reserved,
  ranges: address,
});

export const vfio_device_feature_dma_logging_range = struct('vfio_device_feature_dma_logging_range', {
  iova,
  length: u64,
});

/** SET: stops. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;

/** GET: sets a bit for each page that was written since the last report, and leaves the others as they are. */
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;

export const vfio_device_feature_dma_logging_report = struct('vfio_device_feature_dma_logging_report', {
  iova,
  length: u64,
  page_size: u64,
  bitmap: address,
});
