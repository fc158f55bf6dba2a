/** Where devices see memory, and what they may do with it. */
export interface DmaOptions {
  /** The highest IOVA the device can drive. Default: no limit of its own. */
  readonly below?: bigint;
  /** What an IOVA that is chosen is a multiple of, in bytes: a power of two. Default: the smallest page. */
  readonly alignment?: bigint;
  /** The device may read it. Default: true. */
  readonly read?: boolean;
  /** The device may write it. Default: true. */
  readonly write?: boolean;
}

export interface AllocateOptions extends DmaOptions {
  /**
   * The size in bytes of the pages it is made of, or several: then the first of which the machine has enough free.
   * `0x20_0000n` and `0x4000_0000n` are the huge pages of most machines, which have to be reserved; `0x1000n` the ordinary ones.
   * The IOVA is a multiple of it, so that an IOMMU can map with pages as large. Default: ordinary pages.
   */
  readonly pageSize?: bigint | readonly bigint[];
  /** From the memory of this NUMA node alone, by its number. Linux 5.14. Default: what the process's policy says. */
  readonly numaNode?: number;
  /** Other threads can have it too, by `buffer.share()`: it is a memfd, and holds an fd. Default: false. */
  readonly shared?: boolean;
}
