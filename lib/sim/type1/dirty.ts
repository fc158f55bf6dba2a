/** The dirty bitmaps of type1: one bit for a page, in the caller's memory, as the kernel's vfio_iommu_type1.c fills them. */
import { errno } from '../../abi/errno.js';
import type { vfio_bitmap } from '../../abi/vfio/type1.js';
import type { Interval } from '../interval-map.js';
import type { UserMemory } from '../user-memory.js';

/** Where a caller has room for one, and the size of the page that a bit stands for. */
export type Bitmap = ReturnType<typeof vfio_bitmap.create>;

/** The kernel's limit, as it reports it: one bit for each of 2^31 pages. */
export const largestDirtyBitmap = 256n << 20n;
export const mostDirtyPages = 1n << 31n;

/** Where user space ends on x86-64; what lies beyond is refused unseen. */
const userSpaceEnd = 0x7fff_ffff_f000n;

/** access_ok, and verify_bitmap_size for a range of `size` bytes: 0 or -errno. */
export function checkBitmap(size: bigint, bitmap: Bitmap): number {
  if (bitmap.data + bitmap.size > userSpaceEnd) return -errno.EINVAL;
  // Without a page size the kernel counts bytes.
  const pages = bitmap.pgsize === 0n ? size : size / (bitmap.pgsize & -bitmap.pgsize);
  const needed = ((pages + 63n) / 64n) * 8n;
  return pages !== 0n && bitmap.size >= needed && bitmap.size <= largestDirtyBitmap ? 0 : -errno.EINVAL;
}

/** What is dirty of one mapping, kept as the kernel keeps it, with what its way of shifting leaves behind. */
export class MappingBitmap {
  readonly #pages: number;
  // One word more than the pages take, for the shift.
  readonly #words: BigUint64Array;

  constructor(pages: bigint) {
    this.#pages = Number(pages);
    this.#words = new BigUint64Array(Math.ceil(this.#pages / 64) + 1);
  }

  /** Everything a device could have written. */
  setAll(): void {
    const words = this.#words;
    const whole = Math.floor(this.#pages / 64);
    words.fill(allOnes, 0, whole);
    words[whole] = (words[whole] ?? 0n) | lowBits(this.#pages % 64);
  }

  /**
   * After a report. Only the mapping's own bits go: those that the shift carried beyond them stay, and come out with the
   * next report of a mapping whose first page is not the first of a word, as pages that nobody wrote.
   */
  clear(): void {
    const words = this.#words;
    const whole = Math.floor(this.#pages / 64);
    words.fill(0n, 0, whole);
    words[whole] = (words[whole] ?? 0n) & ~lowBits(this.#pages % 64);
  }

  /**
   * update_user_bitmap: writes whole 64-bit words into the caller's bitmap, in which the mapping's first page is the one of
   * that number. What the first word held already is kept.
   */
  writeTo(memory: UserMemory, data: bigint, firstPage: bigint): number {
    const shift = Number(firstPage % 64n);
    const address = data + (firstPage / 64n) * 8n;
    const length = Math.ceil((this.#pages + shift) / 64);
    const words = this.#words.subarray(0, length);
    if (shift !== 0) {
      for (let at = length - 1; at >= 0; at -= 1) {
        const carried = at === 0 ? 0n : (words[at - 1] ?? 0n) >> BigInt(64 - shift);
        words[at] = BigInt.asUintN(64, (words[at] ?? 0n) << BigInt(shift)) | carried;
      }
      const kept = memory.read(address, 8);
      if (kept === undefined) return -errno.EFAULT;
      words[0] = (words[0] ?? 0n) | (new BigUint64Array(kept.buffer)[0] ?? 0n);
    }
    return memory.write(address, new Uint8Array(words.slice().buffer)) ? 0 : -errno.EFAULT;
  }
}

const allOnes = 0xffff_ffff_ffff_ffffn;

function lowBits(count: number): bigint {
  return (1n << BigInt(count)) - 1n;
}

/** How many pages of that size an interval has. */
export function pagesOf({ start, last }: Interval, pageSize: bigint): bigint {
  return (last - start + 1n) / pageSize;
}
