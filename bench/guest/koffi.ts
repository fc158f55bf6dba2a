/** The same MAP and UNMAP by koffi: the structs are this package's, the calls are not. */
import { openDevice, type AddressSpace } from 'vfio';
import {
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  iommu_ioas_map,
  iommu_ioas_unmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  type Request,
} from 'vfio/abi';
import { koffi } from '../koffi.js';
import { address, iova, kernel, large, memory, page } from './edu.js';
import { measure } from './measure.js';

function ioctl(fd: number, { name, number }: Request, { bytes }: { readonly bytes: Uint8Array }): void {
  if (koffi.ioctl(fd, number, bytes) !== 0) throw new Error(`${name} failed`);
}

const dmaMap = vfio_iommu_type1_dma_map.create();
const dmaUnmap = vfio_iommu_type1_dma_unmap.create();
function byType1({ fd }: { readonly fd: number }, size: bigint): void {
  dmaMap.argsz = vfio_iommu_type1_dma_map.size;
  dmaMap.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  dmaMap.vaddr = memory;
  dmaMap.iova = iova;
  dmaMap.size = size;
  ioctl(fd, VFIO_IOMMU_MAP_DMA, dmaMap);
  dmaUnmap.argsz = vfio_iommu_type1_dma_unmap.size;
  dmaUnmap.iova = iova;
  dmaUnmap.size = size;
  ioctl(fd, VFIO_IOMMU_UNMAP_DMA, dmaUnmap);
}

const ioasMap = iommu_ioas_map.create();
const ioasUnmap = iommu_ioas_unmap.create();
function byIoas({ fd, id }: { readonly fd: number; readonly id: number }, length: bigint): void {
  ioasMap.size = iommu_ioas_map.size;
  ioasMap.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
  ioasMap.ioas_id = id;
  ioasMap.user_va = memory;
  ioasMap.length = length;
  ioasMap.iova = iova;
  ioctl(fd, IOMMU_IOAS_MAP, ioasMap);
  ioasUnmap.size = iommu_ioas_unmap.size;
  ioasUnmap.ioas_id = id;
  ioasUnmap.iova = iova;
  ioasUnmap.length = length;
  ioctl(fd, IOMMU_IOAS_UNMAP, ioasUnmap);
}

function measurePairs(kind: string, pair: (size: bigint) => void): void {
  const pairs = (name: string, size: bigint): void =>
    measure(`${kind}, ${name}`, 16, () => {
      for (let turn = 0; turn < 16; turn += 1) pair(size);
    });
  pairs('one page', page);
  pairs('2 MiB', large);
}

const noFile = 2 ** 30;
measure('close', 64, () => {
  for (let turn = 0; turn < 64; turn += 1) koffi.close(noFile);
});
{
  using opened = openDevice(kernel, address, { by: 'group' });
  const container = opened.dma as AddressSpace & { readonly fd: number };
  measurePairs('type1', (size) => byType1(container, size));
}
{
  using opened = openDevice(kernel, address, { by: 'node' });
  const ioas = opened.dma as AddressSpace & { readonly fd: number; readonly id: number };
  measurePairs('IOAS', (length) => byIoas(ioas, length));
}
