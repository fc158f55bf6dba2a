/** What the devices of a group are attached to, and what their accesses meet there: the kernel's iommufd_group. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_PRIV,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMUFD_PAGE_RESP_SUCCESS,
} from '../../abi/iommufd/fault.js';
import { findPieces, type Access, type DmaMapping, type PasidTranslation, type Translated } from '../dma.js';
import { PageRequestNumbers } from '../page-request-numbers.js';
import type { Ioas } from './ioas.js';
import type { IommufdObject } from './objects.js';
import type { PageRequest } from './page-request.js';
import { NestedPageTable, type HardwarePageTable } from './page-table.js';

/** IOMMU_NO_PASID: the devices' own accesses. */
export const noPasid = 0;
const pageSize = 4096n;

/** A device, as the others of its group see it. */
export interface AttachedDevice extends IommufdObject {
  /** Keeps from the address space what the device cannot have. 0 or -errno. */
  reserve(ioas: Ioas): number;
}

/** The devices of a group share a page table, because the IOMMU cannot tell them apart: one for each PASID, and one for none. */
export interface Attachment {
  table: HardwarePageTable;
  readonly devices: Set<AttachedDevice>;
  /** The device that the group was attached by, in whose name it asks for pages. */
  by: AttachHandle;
}

/** One time that a page table is attached. */
export interface AttachHandle {
  /** Its id. */
  readonly device: number;
  readonly knowsPasids: boolean;
  readonly requestsPages: boolean;
}

export class GroupAttachments implements PasidTranslation {
  readonly #byPasid = new Map<number, Attachment>();
  readonly #numbers = new PageRequestNumbers();
  readonly #pasidTablesOfGuests: boolean;

  /** Whether the IOMMU's driver leaves tables of PASIDs to guests: what they ask for then is the nested page table's. */
  constructor(pasidTablesOfGuests: boolean) {
    this.#pasidTablesOfGuests = pasidTablesOfGuests;
  }

  get(pasid: number): Attachment | undefined {
    return this.#byPasid.get(pasid);
  }

  set(pasid: number, attachment: Attachment): void {
    this.#byPasid.set(pasid, attachment);
  }

  delete(pasid: number): void {
    this.#byPasid.delete(pasid);
  }

  /** What is attached, the devices' own accesses included. */
  get attachedPasids(): readonly number[] {
    return [...this.#byPasid.keys()];
  }

  /** iommufd_hwpt_pasid_compat: 0, or EINVAL where one of the group's page tables was not made for the other. */
  compatible(table: HardwarePageTable, pasid: number): number {
    const other = this.#byPasid.get(noPasid);
    const fits =
      pasid === noPasid
        ? table.forPasids || [...this.#byPasid.keys()].every((each) => each === noPasid)
        : table.forPasids && other?.table.forPasids !== false;
    return fits ? 0 : -errno.EINVAL;
  }

  /** Where an access without a PASID goes. */
  at(iova: bigint): DmaMapping | undefined {
    return this.#byPasid.get(noPasid)?.table.at(iova);
  }

  get pasids(): PasidTranslation {
    return this;
  }

  translate(access: Access): Translated {
    const attachment = this.#byPasid.get(access.pasid ?? noPasid);
    if (attachment === undefined) return access.pasid === undefined ? 'not mapped' : 'PASID not bound';
    if (access.pasid !== undefined && !attachment.by.knowsPasids) return 'PASID not bound';
    return findPieces(attachment.table, access);
  }

  translateOnDemand(access: Access, done: (found: Translated) => void): void {
    const found = this.translate(access);
    if (typeof found !== 'string') return done(found);
    const number = this.#numbers.take();
    const answered = (code: number): void => {
      if (number !== undefined) this.#numbers.give(number);
      if (code === IOMMUFD_PAGE_RESP_SUCCESS) this.translateOnDemand(access, done);
      else done(found);
    };
    if (number === undefined || !this.request(this.#missing(access, number), answered)) answered(-1);
  }

  /** A request for each page of the access that it cannot have. */
  #missing(access: Access, group: number): PageRequest[] {
    const { iova, size, direction, pasid = noPasid, privileged } = access;
    const permission =
      (direction === 'read' ? IOMMU_PGFAULT_PERM_READ : IOMMU_PGFAULT_PERM_WRITE) | (privileged ? IOMMU_PGFAULT_PERM_PRIV : 0);
    const flags = access.pasid === undefined ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID;
    const requests: PageRequest[] = [];
    for (let address = iova & -pageSize; address < iova + BigInt(size); address += pageSize)
      if (typeof this.translate({ ...access, iova: address, size: 1 }) === 'string')
        requests.push({ flags, pasid, group, permission, address });
    return requests.map((request, index) =>
      index === requests.length - 1 ? { ...request, flags: flags | IOMMU_PGFAULT_FLAGS_LAST_PAGE } : request,
    );
  }

  /** iommu_report_device_fault, of whole groups: false when no page table that is attached has a queue for them. */
  request(requests: readonly PageRequest[], answered: (code: number) => void): boolean {
    const attachment = this.#asked(requests[0]?.pasid ?? noPasid);
    const queue = attachment?.table.faultQueue;
    if (attachment?.by.requestsPages !== true || queue === undefined) return false;
    queue.deliver({ device: attachment.by.device, attachment: attachment.by, requests, answered });
    return true;
  }

  /** find_fault_handler. */
  #asked(pasid: number): Attachment | undefined {
    const own = this.#byPasid.get(pasid);
    if (own !== undefined || !this.#pasidTablesOfGuests) return own;
    const other = this.#byPasid.get(noPasid);
    return other?.table instanceof NestedPageTable ? other : undefined;
  }
}
