/** One ioctl with a struct: on a file that refuses it, so that what is measured is the way there and back. */
import { openSync } from 'node:fs';
import { native } from 'vfio';
import { VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map } from 'vfio/abi';
import { beside, floor } from './floor.js';

const c = floor(`
  int fd = open("/dev/null", O_RDONLY); uint64_t map[4] = {32};
  MEASURE("ioctl", 5000000, ioctl(fd, ${VFIO_IOMMU_MAP_DMA.number}, map));`);

const kernel = native();
const fd = openSync('/dev/null', 'r');
const map = vfio_iommu_type1_dma_map.create();
const tasks = {
  ioctl: () => {
    map.argsz = 32;
    map.flags = 3;
    map.vaddr = 0x1000n;
    map.iova = 0x1000n;
    map.size = 0x1000n;
    kernel.ioctl(fd, VFIO_IOMMU_MAP_DMA.number, map.bytes);
  },
};
await beside('Filling a struct and an ioctl', c, tasks, 100);
