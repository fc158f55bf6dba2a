/**
 * One ioctl with a struct: on a file that refuses it, so that what is measured is the way there and back. And a list of 64 of
 * them, of a request that any file takes, as a list ends at the first that is refused.
 */
import { openSync } from 'node:fs';
import { native } from 'vfio';
import { VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map } from 'vfio/abi';
import { ffiNapi } from './ffi-napi.js';
import { beside, floor } from './floor.js';
import { koffi } from './koffi.js';
import type { Other } from './other.js';

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
const single = {
  ioctl: () => {
    map.argsz = 32;
    map.flags = 3;
    map.vaddr = 0x1000n;
    map.iova = 0x1000n;
    map.size = 0x1000n;
    kernel.ioctl(fd, VFIO_IOMMU_MAP_DMA.number, map.bytes);
  },
};
const maps = vfio_iommu_type1_dma_map.array(new ArrayBuffer(64 * vfio_iommu_type1_dma_map.size));
const results = new Int32Array(64);
const list = {
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

/** For others by typed arrays, as that is fastest: koffi takes twice as long with an object that it has to encode. */
function createStruct() {
  const memory = new ArrayBuffer(vfio_iommu_type1_dma_map.size);
  return { bytes: new Uint8Array(memory), words: new Uint32Array(memory), longs: new BigUint64Array(memory) };
}
const one = createStruct();
const many = Array.from(results, createStruct);
function fill({ longs }: typeof one): void {
  longs[1] = 0x1000n;
  longs[2] = 0x1000n;
  longs[3] = 0x1000n;
}
function filledOne(): Uint8Array {
  one.words[0] = 32;
  one.words[1] = 3;
  fill(one);
  return one.bytes;
}
const byKoffi = {
  ioctl: () => void koffi.ioctl(fd, VFIO_IOMMU_MAP_DMA.number, filledOne()),
  'list-of-64': () => {
    for (const struct of many) {
      fill(struct);
      koffi.ioctl(fd, FIONBIO, struct.bytes);
    }
  },
};
const byFfiNapi = (ffi: Other) => ({
  ioctl: () => void ffi.ioctl(fd, VFIO_IOMMU_MAP_DMA.number, filledOne()),
  'list-of-64': () => {
    for (const struct of many) {
      fill(struct);
      ffi.ioctl(fd, FIONBIO, struct.bytes);
    }
  },
});
const others = { koffi: byKoffi, 'ffi-napi': ffiNapi && byFfiNapi(ffiNapi) };
await beside('Filling a struct and an ioctl', c, single, 20, { others, aims: { ioctl: { times: 1.6 } } });
await beside('Filling 64 structs and an ioctl of each', c, list, 1, { others });
