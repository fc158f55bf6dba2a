import type { IommufdObject } from './objects.js';

/** What a device asks for, in the numbers of its record. */
export interface PageRequest {
  /** IOMMU_PGFAULT_FLAGS_* */
  readonly flags: number;
  /** 0 without one. */
  readonly pasid: number;
  readonly group: number;
  /** IOMMU_PGFAULT_PERM_* */
  readonly permission: number;
  readonly address: bigint;
}

/** Page requests that are answered as one. */
export interface PageRequestGroup {
  /** The id of the device. */
  readonly device: number;
  /** By what the device is attached: when that ends, the request does. */
  readonly attachment: object;
  readonly requests: readonly PageRequest[];
  /** Takes IOMMUFD_PAGE_RESP_*. */
  answered(code: number): void;
}

/** Where the page requests of a page table's devices go. */
export interface PageRequestQueue extends IommufdObject {
  deliver(group: PageRequestGroup): void;
  /** What was asked by that attachment is not there: it ends. */
  drain(attachment: object): void;
}
