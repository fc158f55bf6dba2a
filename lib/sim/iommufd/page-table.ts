import type { DmaMapping } from '../dma.js';
import type { Ioas } from './ioas.js';
import { IommufdObject } from './objects.js';

/** A page table of the IOMMU that follows an address space: a HWPT the kernel made by itself, for devices to be attached to. */
export class PageTable extends IommufdObject {
  readonly ioas: Ioas;

  constructor(ioas: Ioas) {
    super();
    this.ioas = ioas;
    ioas.users += 1;
  }

  /** The mapping a device's access to `iova` falls in. */
  at(iova: bigint): DmaMapping | undefined {
    return this.ioas.at(iova);
  }

  override release(): void {
    this.ioas.removeTable(this);
    this.ioas.users -= 1;
  }
}

/** What the devices of a group share: one page table, because the IOMMU cannot tell them apart. */
export interface Attachment {
  table: PageTable;
  readonly devices: Set<IommufdObject>;
}
