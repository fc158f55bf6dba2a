import { O_CLOEXEC, O_RDWR } from '../abi/system.js';
import { VFIO_DEVICE_FEATURE_DMA_BUF, vfio_device_feature_dma_buf, vfio_region_dma_range } from '../abi/vfio/feature.js';
import { Descriptor } from '../kernel/descriptor.js';
import { expected } from '../kernel/error.js';
import type { Kernel } from '../kernel/kernel.js';
import { Resource } from '../kernel/resource.js';
import type { Features } from './features.js';

/** Memory as a file that drivers pass around, on Linux's own terms: a dma-buf. */
export class DmaBuf extends Resource {
  readonly #descriptor: Descriptor;

  constructor(owner: Resource, kernel: Kernel, fd: number, name: string) {
    super(name, owner);
    this.#descriptor = Descriptor.adopt(kernel, fd, name);
  }

  /** To hand to another driver or process. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  protected override release(): void {
    this.#descriptor.close();
  }
}

/** Bytes of a BAR, in whole pages. */
export interface BarRange {
  readonly offset: bigint;
  readonly size: bigint;
}

/** VFIO_DEVICE_FEATURE_DMA_BUF, whose fd is the ioctl's own result. */
export function exportBar(owner: Resource, kernel: Kernel, features: Features, bar: number, ranges: readonly BarRange[]): DmaBuf {
  if (ranges.length === 0) throw expected('at least one range', 'ranges', 'none');
  const request = vfio_device_feature_dma_buf.create(ranges.length * vfio_region_dma_range.size);
  request.region_index = bar;
  request.open_flags = O_RDWR | O_CLOEXEC;
  request.flags = 0;
  request.nr_ranges = ranges.length;
  request.dma_ranges.forEach((range, index) => {
    range.offset = ranges[index]?.offset ?? 0n;
    range.length = ranges[index]?.size ?? 0n;
  });
  const fd = features.get(VFIO_DEVICE_FEATURE_DMA_BUF, request.bytes);
  return new DmaBuf(owner, kernel, fd, `dma-buf over BAR ${bar} of ${owner.label}`);
}
