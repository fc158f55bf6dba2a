/** The memory of a process that sequences use, with its addresses. */
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../lib/abi/system.js';
import type { Kernel, Mapping } from '../../lib/kernel/kernel.js';

/** What devices are given: usual addresses, and room behind each for the longest mapping. Among them are lists and bitmaps. */
const memorySize = 0x22_0000;
export const scratchAt = 0x1_8000;
const scratchSize = 0x4000;
/** Both kernels have it at a multiple of this: /dev/iommu chooses IOVAs by how an address is aligned. */
const alignment = 0x20_0000n;

type Area = Mapping & { readonly memory: ArrayBuffer };

export class Memory {
  readonly address: bigint;
  /** All that requests are given addresses in. */
  readonly given: Uint8Array;
  /** Of it, the memory for lists and bitmaps. */
  readonly scratch: Uint8Array;
  readonly #area: Area;

  constructor(kernel: Kernel) {
    const map = (length: number): Area => {
      const area = kernel.mmap(-1, length, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, 0);
      if (typeof area === 'number') throw new Error(`No memory: ${area}`);
      return area as Area;
    };
    let area = map(memorySize);
    if (kernel.addressOf(area.memory) % alignment !== 0n) {
      area.unmap();
      area = map(memorySize + Number(alignment));
    }
    const start = kernel.addressOf(area.memory);
    this.#area = area;
    this.address = (start + alignment - 1n) & -alignment;
    this.given = new Uint8Array(area.memory, Number(this.address - start), scratchAt + scratchSize);
    this.scratch = this.given.subarray(scratchAt);
  }

  free(): void {
    this.#area.unmap();
  }
}
