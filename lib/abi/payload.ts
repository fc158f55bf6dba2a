/** What lies behind a struct's fixed part where a field of it says so, and the header gives it no type. */
import type { Scalar, StructType } from './struct.js';
import { fd, u8 } from './struct.js';
import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_report,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
} from './vfio/dma-logging.js';
import * as feature from './vfio/feature.js';
import { VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, vfio_irq_set } from './vfio/irq.js';
import * as migration from './vfio/migration.js';
import {
  vfio_bitmap,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dirty_bitmap_get,
  vfio_iommu_type1_dma_unmap,
  VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
} from './vfio/type1.js';

const features: Readonly<Record<number, StructType>> = {
  [migration.VFIO_DEVICE_FEATURE_MIGRATION]: migration.vfio_device_feature_migration,
  [migration.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE]: migration.vfio_device_feature_mig_state,
  [migration.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE]: migration.vfio_device_feature_mig_data_size,
  [feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP]: feature.vfio_device_low_power_entry_with_wakeup,
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_START]: vfio_device_feature_dma_logging_control,
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT]: vfio_device_feature_dma_logging_report,
  [feature.VFIO_DEVICE_FEATURE_BUS_MASTER]: feature.vfio_device_feature_bus_master,
  [feature.VFIO_DEVICE_FEATURE_DMA_BUF]: feature.vfio_device_feature_dma_buf,
  [feature.VFIO_DEVICE_FEATURE_ZPCI_ERROR]: feature.vfio_device_feature_zpci_err,
};

const tails: Readonly<Record<string, (flags: number) => Scalar | StructType | undefined>> = {
  [feature.vfio_device_feature.name]: (flags) =>
    (flags & feature.VFIO_DEVICE_FEATURE_PROBE) === 0 ? features[flags & feature.VFIO_DEVICE_FEATURE_MASK] : undefined,
  [vfio_irq_set.name]: (flags) =>
    (flags & VFIO_IRQ_SET_DATA_EVENTFD) !== 0 ? fd : (flags & VFIO_IRQ_SET_DATA_BOOL) !== 0 ? u8 : undefined,
  [vfio_iommu_type1_dma_unmap.name]: (flags) => ((flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) !== 0 ? vfio_bitmap : undefined),
  [vfio_iommu_type1_dirty_bitmap.name]: (flags) =>
    (flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) !== 0 ? vfio_iommu_type1_dirty_bitmap_get : undefined,
};

/** The type of what follows the fields of `type`, by its flags; undefined where nobody knows. */
export function tailOf(type: StructType, { flags }: Readonly<Record<string, unknown>>): Scalar | StructType | undefined {
  return typeof flags === 'number' ? tails[type.name]?.(flags) : undefined;
}
