import type { DmaPool } from 'vfio';

/** Where the card finds a pool's blocks: the low and the high half of each one's IOVA, by its number, as descriptors have them. */
export function blockAddresses(pool: DmaPool): Uint32Array {
  const addresses = new Uint32Array(2 * pool.count);
  for (let number = 0; number < pool.count; number += 1) {
    const { iova } = pool.at(number);
    addresses[2 * number] = Number(iova & 0xffff_ffffn);
    addresses[2 * number + 1] = Number(iova >> 32n);
  }
  return addresses;
}
