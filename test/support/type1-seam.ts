/** MAP_DMA, UNMAP_DMA and GET_INFO at the seam, on whatever file takes them, each answered in words. */
import {
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../lib/abi/vfio/type1.js';
import type { Kernel } from '../../lib/kernel/kernel.js';
import { answer } from './seam.js';

export class Type1Seam {
  readonly kernel: Kernel;
  readonly fd: number;
  /** What is mapped by default. */
  readonly address: bigint;

  constructor(kernel: Kernel, fd: number, address: bigint) {
    this.kernel = kernel;
    this.fd = fd;
    this.address = address;
  }

  /** By default one page at 1 MiB, to be read and written. */
  map(fields: { iova?: bigint; vaddr?: bigint; size?: bigint; flags?: number; argsz?: number } = {}): string {
    const view = vfio_iommu_type1_dma_map.create();
    const usual = { argsz: view.bytes.byteLength, flags: 3, vaddr: this.address, iova: 0x10_0000n, size: 0x1000n };
    Object.assign(view, { ...usual, ...fields });
    return answer(this.kernel.ioctl(this.fd, VFIO_IOMMU_MAP_DMA.number, view.bytes));
  }

  /** The bytes that came back, with the error if there was one. */
  unmap(iova: bigint, size: bigint, flags = 0, argsz?: number): string {
    const view = vfio_iommu_type1_dma_unmap.create();
    Object.assign(view, { argsz: argsz ?? view.bytes.byteLength, flags, iova, size });
    const result = answer(this.kernel.ioctl(this.fd, VFIO_IOMMU_UNMAP_DMA.number, view.bytes));
    const bytes = `0x${view.size.toString(16)} bytes`;
    return result === '0' ? bytes : `${result}${view.size === size ? '' : `, ${bytes}`}`;
  }

  /** The answer, and the words of the struct and what follows, up to the last that is not 0xa5a5a5a5. */
  info(argsz: number, room = argsz): string[] {
    const view = vfio_iommu_type1_info.create(Math.max(0, room - vfio_iommu_type1_info.size));
    view.bytes.fill(0xa5);
    view.argsz = argsz;
    const result = answer(this.kernel.ioctl(this.fd, VFIO_IOMMU_GET_INFO.number, view.bytes));
    const words = Array.from(new Uint32Array(view.bytes.buffer), (word) => word.toString(16));
    const last = words.findLastIndex((word) => word !== 'a5a5a5a5');
    return [result, ...words.slice(0, last + 1)];
  }
}
