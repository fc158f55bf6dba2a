import type { DirtyBitmap } from './dirty-bitmap.js';

/** Pages of an address space: multiples of its smallest, in bytes. */
export interface PageRange {
  readonly iova: bigint;
  readonly size: bigint;
}

/** Dirty page tracking that is on, until it is closed. */
export interface DirtyTracking extends Disposable {
  readonly closed: boolean;
  /** Pages of the range that devices may have written since the last look, or since tracking began. @throws KernelError */
  read(range: PageRange): DirtyBitmap;
  close(): void;
}
