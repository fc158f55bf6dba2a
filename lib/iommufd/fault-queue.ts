import { errno } from '../abi/errno.js';
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_EXEC,
  IOMMU_PGFAULT_PERM_PRIV,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
} from '../abi/iommufd/fault.js';
import { BadAnswerError } from '../abi/chain.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { check, CodedError, expected } from '../kernel/error.js';
import type { Resource } from '../kernel/resource.js';
import { EventQueue } from './event-queue.js';

/** What the device wanted. */
export interface PageAccess {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly privileged: boolean;
}

/** One page that a device asks for. */
export interface PageRequest {
  /** An IOVA in the page. */
  readonly address: bigint;
  readonly access: PageAccess;
}

/** 'success': the page is there now, and the device tries again. 'invalid': there is no such page. @useDeclaredType */
export type PageResponse = keyof typeof codes;

const codes = { success: IOMMUFD_PAGE_RESP_SUCCESS, invalid: IOMMUFD_PAGE_RESP_INVALID } as const;

/** Pages that a device asked for together, and that are answered together. */
export interface PageRequestGroup {
  /** The id of the device in the open file: a `Cdev`'s. */
  readonly device: number;
  /** The address space of the device that it means; undefined: its own. */
  readonly pasid: number | undefined;
  /** The device's own number for the group. */
  readonly index: number;
  readonly requests: readonly PageRequest[];
  /**
   * Lets the device go on, once. write(2).
   * @throws CodedError ERR_VFIO_ANSWERED when it was answered. KernelError EINVAL when the kernel did it, because the device
   * was detached or moved meanwhile.
   */
  respond(response: PageResponse): void;
}

type PageFault = ReturnType<typeof iommu_hwpt_pgfault.copy>;

/** Records to read at first. */
const usualRoom = 64;
/** A kernel with a longer group is not one. */
const mostRoom = 1 << 20;

/**
 * Where devices ask for pages that their page tables lack, and are answered: those page tables that were made with this
 * queue. A device that asked waits for the answer. What nobody answers, the kernel answers 'invalid' when the device is
 * detached or moved to another page table; closing the queue answers nothing.
 *
 * Closing comes after that of the page tables: before, it closes the fd and is EBUSY. `Iommufd.createFaultQueue` is the
 * way to it. Linux 6.11.
 */
export class FaultQueue extends EventQueue<PageRequestGroup> {
  /** By cookie. The kernel uses that of a group again once it is answered, also when it answered by itself. */
  readonly #unanswered = new Map<number, PageRequestGroup>();

  /** `Iommufd.createFaultQueue` is the way to it. @internal */
  static create(owner: Resource, iommufd: Descriptor): FaultQueue {
    const alloc = iommu_fault_alloc.create();
    alloc.size = iommu_fault_alloc.size;
    iommufd.ioctl(IOMMU_FAULT_QUEUE_ALLOC, alloc.bytes);
    return new FaultQueue(owner, iommufd, 'fault queue', { id: alloc.out_fault_id, fd: alloc.out_fault_fd });
  }

  protected override take(): readonly PageRequestGroup[] {
    const groups: PageRequestGroup[] = [];
    for (let room = usualRoom; ; ) {
      const bytes = new Uint8Array(room * iommu_hwpt_pgfault.size);
      const result = this.events.kernel.read(this.events.fd, bytes);
      // The first group is longer.
      if (result === -errno.EINVAL && room < mostRoom) {
        room *= 2;
        continue;
      }
      const length = check(result, { syscall: 'read', path: this.label });
      if (length === 0) return groups;
      groups.push(...this.#decode(bytes.subarray(0, length)));
    }
  }

  #decode(bytes: Uint8Array): PageRequestGroup[] {
    const groups: PageRequestGroup[] = [];
    let requests: PageRequest[] = [];
    for (let at = 0; at < bytes.byteLength; at += iommu_hwpt_pgfault.size) {
      const record = iommu_hwpt_pgfault.copy(bytes.subarray(at, at + iommu_hwpt_pgfault.size));
      requests.push({ address: record.addr, access: decodeAccess(record.perm) });
      if ((record.flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE) === 0) continue;
      groups.push(this.#group(record, requests));
      requests = [];
    }
    if (requests.length > 0) throw new BadAnswerError('a group of page requests without its last', bytes);
    return groups;
  }

  #group({ flags, dev_id, pasid, grpid, cookie }: PageFault, requests: readonly PageRequest[]): PageRequestGroup {
    const group = {
      device: dev_id,
      pasid: (flags & IOMMU_PGFAULT_FLAGS_PASID_VALID) === 0 ? undefined : pasid,
      index: grpid,
      requests,
      respond: (response: PageResponse) => this.#respond(cookie, group, response),
    };
    this.#unanswered.set(cookie, group);
    return group;
  }

  #respond(cookie: number, group: PageRequestGroup, response: PageResponse): void {
    if (!Object.hasOwn(codes, response)) throw expected(`one of ${Object.keys(codes).join(', ')}`, 'response', response);
    this.assertOpen();
    if (this.#unanswered.get(cookie) !== group)
      throw new CodedError('ERR_VFIO_ANSWERED', `Page request group ${group.index} of device ${group.device} is answered`);
    const answer = iommu_hwpt_page_response.create();
    answer.cookie = cookie;
    answer.code = codes[response];
    check(this.events.kernel.write(this.events.fd, answer.bytes), { syscall: 'write', path: this.label });
    this.#unanswered.delete(cookie);
  }
}

function decodeAccess(permission: number): PageAccess {
  const has = (flag: number): boolean => (permission & flag) !== 0;
  return {
    read: has(IOMMU_PGFAULT_PERM_READ),
    write: has(IOMMU_PGFAULT_PERM_WRITE),
    execute: has(IOMMU_PGFAULT_PERM_EXEC),
    privileged: has(IOMMU_PGFAULT_PERM_PRIV),
  };
}
