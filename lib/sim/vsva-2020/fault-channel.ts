import { errno } from '../../abi/errno.js';
import {
  IOMMU_FAULT_DMA_UNRECOV,
  IOMMU_FAULT_PAGE_REQ,
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_FAULT_UNRECOV_ADDR_VALID,
  IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID,
  IOMMU_FAULT_UNRECOV_PASID_VALID,
  IOMMU_PAGE_RESP_FAILURE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_PASID_VALID,
  IOMMU_UAPI_VERSION,
  iommu_fault,
  iommu_page_response,
} from '../../abi/vfio/vsva-2020.js';
import { PageRequestNumbers } from '../page-request-numbers.js';

/** An access that found no translation, as its record tells it. */
export interface ReportedFault {
  readonly pasid: number;
  /** IOMMU_FAULT_PERM_* of what was asked for. */
  readonly permission: number;
  /** The page. */
  readonly address: bigint;
}

interface PageRequest {
  readonly pasid: number;
  readonly owner: object;
  /** Takes one of the response codes. */
  readonly answered: (code: number) => void;
}

/**
 * Where the faults of one device come out and responses go in, as bytes. The proposal declares the records and no way
 * for them: this is the simulated machine's own, with the manners of a file.
 */
export class FaultChannel {
  readonly #records: Uint8Array[] = [];
  readonly #pending = new Map<number, PageRequest>();
  readonly #numbers = new PageRequestNumbers();
  #owner: object | undefined;
  #dropping = false;

  /** Takes as many `iommu_fault` records as fit. Returns bytes; EAGAIN when there is none, EINVAL when none fits. */
  read(bytes: Uint8Array): number {
    if (bytes.byteLength < iommu_fault.size) return -errno.EINVAL;
    if (this.#records.length === 0) return -errno.EAGAIN;
    const taken = this.#records.splice(0, Math.floor(bytes.byteLength / iommu_fault.size));
    taken.forEach((record, index) => bytes.set(record, index * iommu_fault.size));
    return taken.length * iommu_fault.size;
  }

  /**
   * One `iommu_page_response`. Returns its bytes; EINVAL for one that is malformed or names another PASID than the
   * request did, ENOENT when no request of that group waits.
   */
  write(bytes: Uint8Array): number {
    if (bytes.byteLength < iommu_page_response.size) return -errno.EINVAL;
    const { version, flags, pasid, grpid, code } = iommu_page_response.copy(bytes);
    if (version !== IOMMU_UAPI_VERSION || (flags & ~IOMMU_PAGE_RESP_PASID_VALID) !== 0 || code > IOMMU_PAGE_RESP_FAILURE)
      return -errno.EINVAL;
    const request = this.#pending.get(grpid);
    if (request === undefined) return -errno.ENOENT;
    if ((flags & IOMMU_PAGE_RESP_PASID_VALID) === 0 || pasid !== request.pasid) return -errno.EINVAL;
    this.#end(grpid);
    if (code === IOMMU_PAGE_RESP_FAILURE) this.#dropping = true;
    request.answered(code);
    return iommu_page_response.size;
  }

  /** An access that is lost. */
  report(fault: ReportedFault, reason: number, fetchAddress: bigint | undefined): void {
    const record = iommu_fault.create();
    record.type = IOMMU_FAULT_DMA_UNRECOV;
    const { event } = record;
    event.reason = reason;
    event.flags =
      IOMMU_FAULT_UNRECOV_PASID_VALID |
      IOMMU_FAULT_UNRECOV_ADDR_VALID |
      (fetchAddress === undefined ? 0 : IOMMU_FAULT_UNRECOV_FETCH_ADDR_VALID);
    event.pasid = fault.pasid;
    event.perm = fault.permission;
    event.addr = fault.address;
    event.fetch_addr = fetchAddress ?? 0n;
    this.#records.push(record.bytes);
  }

  /** Asks for a page, in a group of its own, and hears the response's code. After a FAILURE nothing is asked any more. */
  request(fault: ReportedFault, owner: object, answered: (code: number) => void): void {
    if (this.#owner !== owner) this.#dropping = false;
    this.#owner = owner;
    const group = this.#dropping ? undefined : this.#numbers.take();
    if (group === undefined) return answered(IOMMU_PAGE_RESP_FAILURE);
    const record = iommu_fault.create();
    record.type = IOMMU_FAULT_PAGE_REQ;
    const { prm } = record;
    prm.flags = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID | IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
    prm.pasid = fault.pasid;
    prm.grpid = group;
    prm.perm = fault.permission;
    prm.addr = fault.address;
    this.#records.push(record.bytes);
    this.#pending.set(group, { pasid: fault.pasid, owner, answered });
  }

  /** What the owner's devices wait for, of one PASID or of all, is answered: there will be no such page. */
  drain(owner: object, pasid?: number): void {
    for (const [group, request] of this.#pending) {
      if (request.owner !== owner || (pasid !== undefined && request.pasid !== pasid)) continue;
      this.#end(group);
      request.answered(IOMMU_PAGE_RESP_INVALID);
    }
  }

  #end(group: number): void {
    this.#pending.delete(group);
    this.#numbers.give(group);
  }
}
