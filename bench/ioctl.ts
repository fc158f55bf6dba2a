/**
 * One ioctl with a struct: on a file that refuses it, so that what is measured is the way there and back. And a list of 64 of
 * them, of a request that any file takes, as a list ends at the first that is refused.
 */
import { openSync } from 'node:fs';
import { native } from 'vfio';
import { VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map } from 'vfio/abi';
import { beside, floor } from './floor.js';

/** Whether calls wait, by the first word: here they do, as before. */
const FIONBIO = 0x5421;

const c = floor(`
  int fd = open("/dev/null", O_RDONLY); uint64_t map[4] = {32}; static uint64_t maps[64][4];
  MEASURE("ioctl", 1000000, ioctl(fd, ${VFIO_IOMMU_MAP_DMA.number}, map));
  MEASURE("list-of-64", 20000, for (int k = 0; k < 64; k++) {
    maps[k][1] = maps[k][2] = maps[k][3] = 0x1000; ioctl(fd, ${FIONBIO}, maps[k]); });`);

const kernel = native();
const fd = openSync('/dev/null', 'r');
const map = vfio_iommu_type1_dma_map.create();
const maps = vfio_iommu_type1_dma_map.array(new ArrayBuffer(64 * vfio_iommu_type1_dma_map.size));
const results = new Int32Array(64);
const tasks = {
  ioctl: () => {
    map.argsz = 32;
    map.flags = 3;
    map.vaddr = 0x1000n;
    map.iova = 0x1000n;
    map.size = 0x1000n;
    kernel.ioctl(fd, VFIO_IOMMU_MAP_DMA.number, map.bytes);
  },
  'list-of-64': () => {
    for (let index = 0; index < 64; index += 1) {
      const each = maps.at(index);
      each.vaddr = 0x1000n;
      each.iova = 0x1000n;
      each.size = 0x1000n;
    }
    kernel.ioctlMany(fd, FIONBIO, maps.bytes, results);
  },
};
await beside('Filling a struct and an ioctl', c, tasks, 20);
