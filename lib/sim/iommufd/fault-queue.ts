/** Page requests of devices on their way to user space, and the answers back. The order of checks is that of fault.c, later eventq.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
} from '../../abi/iommufd/fault.js';
import { EventQueue, installQueue } from './event-queue.js';
import { operation } from './operation.js';
import type { PageRequestGroup, PageRequestQueue } from './page-request.js';

const recordSize = iommu_hwpt_pgfault.size;
const responseSize = iommu_hwpt_page_response.size;

export class FaultQueue extends EventQueue implements PageRequestQueue {
  #unread: PageRequestGroup[] = [];
  /** Those that were read, by cookie. */
  readonly #read = new Map<number, PageRequestGroup>();

  override get readable(): boolean {
    return this.#unread.length > 0;
  }

  /** iommufd_fault_iopf_handler. */
  deliver(group: PageRequestGroup): void {
    this.#unread.push(group);
    this.wake();
  }

  /** Whole groups, as many as fit. */
  override read(bytes: Uint8Array): number {
    if (bytes.byteLength % recordSize !== 0) return -errno.ESPIPE;
    let done = 0;
    for (let group = this.#unread[0]; group !== undefined; group = this.#unread[0]) {
      const end = done + group.requests.length * recordSize;
      if (end > bytes.byteLength) return done === 0 ? -errno.EINVAL : done;
      this.#unread.shift();
      const cookie = this.#freeCookie();
      this.#read.set(cookie, group);
      for (const { flags, pasid, group: grpid, permission: perm, address: addr } of group.requests) {
        const record = iommu_hwpt_pgfault.create();
        Object.assign(record, { flags, dev_id: group.device, pasid, grpid, perm, addr, cookie });
        bytes.set(record.bytes, done);
        done += recordSize;
      }
    }
    return done;
  }

  override write(bytes: Uint8Array): number {
    if (bytes.byteLength % responseSize !== 0) return -errno.ESPIPE;
    for (let done = 0; done < bytes.byteLength; done += responseSize) {
      const { cookie, code } = iommu_hwpt_page_response.copy(bytes.subarray(done, done + responseSize));
      const group = code === IOMMUFD_PAGE_RESP_SUCCESS || code === IOMMUFD_PAGE_RESP_INVALID ? this.#read.get(cookie) : undefined;
      if (group === undefined) return done === 0 ? -errno.EINVAL : done;
      this.#read.delete(cookie);
      group.answered(code);
    }
    return bytes.byteLength;
  }

  /** iommufd_auto_response_faults: an attachment ends, and what it asked for is not there. */
  drain(attachment: object): void {
    const ended = this.#unread.filter((group) => group.attachment === attachment);
    this.#unread = this.#unread.filter((group) => group.attachment !== attachment);
    for (const [cookie, group] of this.#read) {
      if (group.attachment !== attachment) continue;
      this.#read.delete(cookie);
      ended.push(group);
    }
    for (const group of ended) group.answered(IOMMUFD_PAGE_RESP_INVALID);
  }

  /** The lowest from 1 on. */
  #freeCookie(): number {
    let cookie = 1;
    while (this.#read.has(cookie)) cookie += 1;
    return cookie;
  }

  /** Page tables need it while a device could ask, so that nothing is left to be answered. */
  override release(): void {}
}

/** iommufd_fault_alloc. */
export const allocateFaultQueue = operation(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, (context, asked, { respond }) => {
  if (asked.flags !== 0) return -errno.EOPNOTSUPP;
  const queue = new FaultQueue();
  return installQueue(context, queue, (fd) => {
    asked.out_fault_id = queue.id;
    asked.out_fault_fd = fd;
    return respond();
  });
});
