/** The same MAP and UNMAP by koffi, whose structs are objects. Where it is not installed, nothing. */
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
} from 'vfio/abi';
import { address, iova, kernel, large, memory, page } from './edu.js';
import { measure } from './measure.js';

type Ioctl = (fd: number, request: number, argument: object) => number;

/** What is used of koffi. */
interface Koffi {
  load(library: string): { func(declaration: string): Ioctl };
  struct(name: string, fields: Readonly<Record<string, string>>): unknown;
}

const name = 'koffi';
const koffi = await import(name).then(
  (module: { readonly default: Koffi }) => module.default,
  () => process.exit(),
);
const c = koffi.load('libc.so.6');
/** ioctl(2) with a struct of those fields, which is copied there and, if it is `_Inout_`, back. */
function ioctlWith(direction: '_In_' | '_Inout_', struct: string, fields: Readonly<Record<string, string>>): Ioctl {
  koffi.struct(struct, fields);
  return c.func(`int ioctl(int fd, unsigned long request, ${direction} ${struct} *argument)`);
}
const u32 = 'uint32_t';
const u64 = 'uint64_t';
const type1Map = ioctlWith('_In_', 'dma_map', { argsz: u32, flags: u32, vaddr: u64, iova: u64, size: u64 });
const type1Unmap = ioctlWith('_Inout_', 'dma_unmap', { argsz: u32, flags: u32, iova: u64, size: u64 });
const ioasMap = ioctlWith('_Inout_', 'ioas_map', {
  size: u32,
  flags: u32,
  ioas_id: u32,
  reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64,
});
const ioasUnmap = ioctlWith('_Inout_', 'ioas_unmap', { size: u32, ioas_id: u32, iova: u64, length: u64 });

function done(result: number): void {
  if (result !== 0) throw new Error(`ioctl answered ${result}`);
}

function byType1({ fd }: { readonly fd: number }, size: bigint): void {
  const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  done(type1Map(fd, VFIO_IOMMU_MAP_DMA.number, { argsz: vfio_iommu_type1_dma_map.size, flags, vaddr: memory, iova, size }));
  done(type1Unmap(fd, VFIO_IOMMU_UNMAP_DMA.number, { argsz: vfio_iommu_type1_dma_unmap.size, flags: 0, iova, size }));
}

const ioasFlags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
function byIoas({ fd, id }: { readonly fd: number; readonly id: number }, length: bigint): void {
  const map = { size: iommu_ioas_map.size, flags: ioasFlags, ioas_id: id, reserved: 0, user_va: memory, length, iova };
  done(ioasMap(fd, IOMMU_IOAS_MAP.number, map));
  done(ioasUnmap(fd, IOMMU_IOAS_UNMAP.number, { size: iommu_ioas_unmap.size, ioas_id: id, iova, length }));
}

function measurePairs(kind: string, pair: (size: bigint) => void): void {
  const pairs = (name: string, size: bigint): void =>
    measure(`${kind}, ${name}`, 16, () => {
      for (let turn = 0; turn < 16; turn += 1) pair(size);
    });
  pairs('one page', page);
  pairs('2 MiB', large);
}

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
