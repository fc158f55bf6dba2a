import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '../abi/vfio/dma-logging.js';
import { expected } from '../kernel/error.js';
import { hold } from '../kernel/hold.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';
import { DirtyBitmap } from '../memory/dirty-bitmap.js';
import type { PageRange } from '../memory/dirty-tracking.js';
import type { Features } from './features.js';

export interface DmaLogOptions {
  /** What to watch: at least one range, none overlapping another. */
  readonly ranges: readonly PageRange[];
  /** Bytes a bit should stand for: a power of two, at least 4096, which the device may not be able to give. */
  readonly pageSize?: bigint;
}

/** A device that remembers which pages it wrote, from `Device.logDma()` until it is closed. Linux 6.1. */
export class DmaLog extends Resource {
  /** Bytes a bit stands for, as the device chose. */
  readonly pageSize: bigint;
  readonly #kernel: Kernel;
  readonly #features: Features;

  private constructor(owner: Resource, kernel: Kernel, features: Features, pageSize: bigint) {
    super(`DMA log of ${owner.label}`, owner);
    this.#kernel = kernel;
    this.#features = features;
    this.pageSize = pageSize;
  }

  /** VFIO_DEVICE_FEATURE_DMA_LOGGING_START. */
  static start(owner: Resource, kernel: Kernel, features: Features, { ranges, pageSize = 4096n }: DmaLogOptions): DmaLog {
    if (pageSize < 4096n || (pageSize & (pageSize - 1n)) !== 0n) throw expected('a power of two, at least 4096,', 'pageSize', pageSize);
    if (ranges.length === 0) throw expected('at least one range', 'ranges', 'none');
    const type = vfio_device_feature_dma_logging_range;
    const memory = new ArrayBuffer(ranges.length * type.size);
    ranges.forEach(({ iova, size }, index) => {
      const range = type.view(memory, index * type.size, type.size);
      range.iova = iova;
      range.length = size;
    });
    const control = vfio_device_feature_dma_logging_control.create();
    control.page_size = pageSize;
    control.num_ranges = ranges.length;
    control.ranges = kernel.addressOf(memory);
    hold(memory, () => features.set(VFIO_DEVICE_FEATURE_DMA_LOGGING_START, control.bytes));
    return new DmaLog(owner, kernel, features, control.page_size);
  }

  /** Which pages of the range were written since the last report. VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT. */
  report(range: PageRange): DirtyBitmap {
    this.assertOpen();
    const bitmap = new DirtyBitmap({ ...range, pageSize: this.pageSize });
    const report = vfio_device_feature_dma_logging_report.create();
    report.iova = range.iova;
    report.length = range.size;
    report.page_size = this.pageSize;
    report.bitmap = this.#kernel.addressOf(bitmap.memory);
    this.#features.get(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, report.bytes);
    return bitmap;
  }

  protected override release(): void {
    this.#features.set(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP);
  }
}
