/** DMA logging, as far as all drivers share it: the device features of the kernel's vfio_main.c. */
import { errno } from '../abi/errno.js';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '../abi/vfio/dma-logging.js';
import { VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET } from '../abi/vfio/feature.js';
import type { FeatureRequest } from './features.js';
import type { Interval } from './interval-map.js';

/** What a driver whose device tells which pages it wrote implements. */
export interface DmaLogging {
  /** Starts for these ranges: the page size it will tell in, which may not be the wished one, or -errno. */
  start(ranges: readonly Interval[], pageSize: bigint): bigint | number;
  /** 0 or -errno. */
  stop(): number;
  /** Calls `dirty` for what was written in the range since the last report, and forgets it. 0 or -errno. */
  report(iova: bigint, length: bigint, dirty: (iova: bigint, length: bigint) => void): number;
}

const top = 0xffff_ffff_ffff_ffffn;
/** As many as fit in a page of the kernel's. */
const mostRanges = 4096 / vfio_device_feature_dma_logging_range.size;
const smallestPage = 4096n;

/** The answer to a feature of DMA logging, or undefined where the request is of another. */
export function dmaLoggingFeature(request: FeatureRequest, logging: DmaLogging | undefined): number | undefined {
  switch (request.feature) {
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
      return logging === undefined ? -errno.ENOTTY : start(request, logging);
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
      return logging === undefined ? -errno.ENOTTY : stop(request, logging);
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      return logging === undefined ? -errno.ENOTTY : report(request, logging);
    default:
      return undefined;
  }
}

function start(request: FeatureRequest, logging: DmaLogging): number {
  const checked = request.check(VFIO_DEVICE_FEATURE_SET, vfio_device_feature_dma_logging_control.size);
  if (checked !== 1) return checked;
  const control = request.payload(vfio_device_feature_dma_logging_control);
  if (control === undefined) return -errno.EFAULT;
  if (control.num_ranges === 0) return -errno.EINVAL;
  if (control.num_ranges > mostRanges) return -errno.E2BIG;
  const ranges = takeRanges(request, control.ranges, control.num_ranges, control.page_size);
  if (typeof ranges === 'number') return ranges;
  const pageSize = logging.start(ranges, control.page_size);
  if (typeof pageSize === 'number') return pageSize;
  control.page_size = pageSize;
  const answered = request.answer(control.bytes);
  if (answered !== 0) logging.stop();
  return answered;
}

/** One after the other, each checked against those before it. Whether the page size is one is the driver's to check. */
function takeRanges(request: FeatureRequest, address: bigint, count: number, pageSize: bigint): Interval[] | number {
  const { size } = vfio_device_feature_dma_logging_range;
  const unaligned = (value: bigint): boolean => (value & (pageSize - 1n)) !== 0n;
  const ranges: Interval[] = [];
  for (let index = 0; index < count; index += 1) {
    const bytes = request.readAt(address + BigInt(index * size), size);
    if (bytes === undefined) return -errno.EFAULT;
    const { iova, length } = vfio_device_feature_dma_logging_range.copy(bytes);
    if (unaligned(iova) || unaligned(length)) return -errno.EINVAL;
    if (iova + length > top) return -errno.EOVERFLOW;
    // A range of no length ends before it starts, at 0 at the very top: so does the kernel compute it.
    const range = { start: iova, last: BigInt.asUintN(64, iova + length - 1n) };
    if (ranges.some((other) => other.start <= range.last && range.start <= other.last)) return -errno.EINVAL;
    ranges.push(range);
  }
  return ranges;
}

function stop(request: FeatureRequest, logging: DmaLogging): number {
  const checked = request.check(VFIO_DEVICE_FEATURE_SET, 0);
  return checked === 1 ? logging.stop() : checked;
}

function report(request: FeatureRequest, logging: DmaLogging): number {
  const checked = request.check(VFIO_DEVICE_FEATURE_GET, vfio_device_feature_dma_logging_report.size);
  if (checked !== 1) return checked;
  const asked = request.payload(vfio_device_feature_dma_logging_report);
  if (asked === undefined) return -errno.EFAULT;
  const { iova, length, page_size: pageSize, bitmap } = asked;
  if (pageSize < smallestPage || (pageSize & (pageSize - 1n)) !== 0n) return -errno.EINVAL;
  if (iova + length > top) return -errno.EOVERFLOW;
  return logging.report(iova, length, (from, bytes) => {
    const first = (from - iova) / pageSize;
    setBits(request, bitmap, first, (from + bytes - 1n - iova) / pageSize);
  });
}

/** iova_bitmap_set: bits that are set stay set, and a bitmap that is not there is no error. */
function setBits(request: FeatureRequest, bitmap: bigint, first: bigint, last: bigint): void {
  const address = bitmap + first / 8n;
  const bytes = request.readAt(address, Number(last / 8n - first / 8n) + 1);
  if (bytes === undefined) return;
  const skipped = Number(first % 8n);
  for (let bit = skipped; bit <= skipped + Number(last - first); bit += 1) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  request.writeAt(address, bytes);
}
