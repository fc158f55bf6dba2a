/** A dma-buf over parts of a BAR, for other devices to reach. The checks are those of the kernel's vfio_pci_dmabuf.c. */
import { errno } from '../../abi/errno.js';
import { VFIO_DEVICE_FEATURE_GET, vfio_device_feature_dma_buf, vfio_region_dma_range } from '../../abi/vfio/feature.js';
import { VFIO_PCI_ROM_REGION_INDEX } from '../../abi/vfio/region.js';
import type { FeatureRequest } from '../features.js';
import type { Registers } from '../mapping.js';
import { OpenFile, type FdTable } from '../open-file.js';

const pageSize = 4096n;

interface Target extends Registers {
  barSize(bar: number): number;
}

/** Offsets in bytes of the BAR. */
interface Part {
  readonly offset: bigint;
  readonly length: bigint;
}

export class DmaBufFile extends OpenFile {
  readonly device: Target;
  readonly bar: number;
  readonly parts: readonly Part[];

  constructor(device: Target, bar: number, parts: readonly Part[]) {
    super();
    this.device = device;
    this.bar = bar;
    this.parts = parts;
  }
}

export function exportDmaBuf(device: Target, request: FeatureRequest, fds: FdTable): number {
  const checked = request.check(VFIO_DEVICE_FEATURE_GET, vfio_device_feature_dma_buf.size);
  if (checked !== 1) return checked;
  const asked = request.payload(vfio_device_feature_dma_buf);
  if (asked === undefined) return -errno.EFAULT;
  if (asked.nr_ranges === 0 || asked.flags !== 0) return -errno.EINVAL;
  const bar = asked.region_index;
  const size = bar < VFIO_PCI_ROM_REGION_INDEX ? device.barSize(bar) : 0;
  if (size === 0) return -errno.ENODEV;
  const bytes = request.bytes(vfio_device_feature_dma_buf.size, asked.nr_ranges * vfio_region_dma_range.size);
  if (bytes === undefined) return -errno.EFAULT;
  const parts = Array.from({ length: asked.nr_ranges }, (_, index): Part => {
    const { offset, length } = vfio_region_dma_range.view(bytes.buffer, index * vfio_region_dma_range.size, vfio_region_dma_range.size);
    return { offset, length };
  });
  if (parts.some(({ offset, length }) => length === 0n || (offset | length) % pageSize !== 0n)) return -errno.EINVAL;
  if (parts.some(({ offset, length }) => offset + length > BigInt(size))) return -errno.EINVAL;
  return fds.install(new DmaBufFile(device, bar, parts));
}
