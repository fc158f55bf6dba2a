/** Events of a virtual IOMMU on their way to user space. The order of checks is that of the kernel's eventq.c. */
import { errno } from '../../abi/errno.js';
import {
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  IOMMU_VEVENTQ_TYPE_DEFAULT,
  iommu_veventq_alloc,
  iommufd_vevent_header,
} from '../../abi/iommufd/viommu.js';
import { EventQueue, installQueue } from './event-queue.js';
import { operation } from './operation.js';
import { VirtualIommu } from './virtual-iommu.js';

const greatestDepth = 1 << 19;
const headerSize = iommufd_vevent_header.size;

interface Event {
  readonly sequence: number;
  /** Without data, it says that events were lost. */
  readonly data: Uint8Array | undefined;
}

class VirtualEventQueue extends EventQueue {
  readonly #viommu: VirtualIommu;
  readonly #type: number;
  readonly #depth: number;
  /** Oldest first. Only the last can be one that says that events were lost. */
  readonly #events: Event[] = [];
  #sequence = 0;

  constructor(viommu: VirtualIommu, type: number, depth: number) {
    super();
    this.#viommu = viommu;
    this.#type = type;
    this.#depth = depth;
    viommu.users += 1;
    viommu.queues.set(type, this);
  }

  override get readable(): boolean {
    return this.#events.length > 0;
  }

  /** iommufd_viommu_report_event. A full queue counts on, and keeps one place for the count. */
  deliver(data: Uint8Array): void {
    if (this.#events.at(-1)?.data === undefined) this.#events.pop();
    this.#events.push({ sequence: this.#sequence, data: this.#events.length < this.#depth ? data : undefined });
    this.#sequence = (this.#sequence + 1) & 0x7fff_ffff;
    this.wake();
  }

  /** Whole events, as many as fit. */
  override read(bytes: Uint8Array): number {
    if (bytes.byteLength < headerSize) return -errno.EINVAL;
    let done = 0;
    for (let event = this.#events[0]; event !== undefined; event = this.#events[0]) {
      const { sequence, data } = event;
      const end = done + headerSize + (data?.byteLength ?? 0);
      if (end > bytes.byteLength) return done === 0 ? -errno.EINVAL : done;
      const header = iommufd_vevent_header.create();
      Object.assign(header, { flags: data === undefined ? IOMMU_VEVENTQ_FLAG_LOST_EVENTS : 0, sequence });
      bytes.set(header.bytes, done);
      if (data !== undefined) bytes.set(data, done + headerSize);
      this.#events.shift();
      done = end;
    }
    return done;
  }

  override release(): void {
    this.#viommu.queues.delete(this.#type);
    this.#viommu.users -= 1;
  }
}

export const allocateVirtualEventQueue = operation(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, (context, asked, { respond }) => {
  const { type, veventq_depth: depth } = asked;
  if (asked.flags !== 0 || asked.__reserved !== 0 || type === IOMMU_VEVENTQ_TYPE_DEFAULT) return -errno.EOPNOTSUPP;
  if (depth === 0 || depth > greatestDepth) return -errno.EINVAL;
  const viommu = context.objects.find(asked.viommu_id, VirtualIommu);
  if (viommu === undefined) return -errno.ENOENT;
  if (viommu.queues.has(type)) return -errno.EEXIST;
  const queue = new VirtualEventQueue(viommu, type, depth);
  return installQueue(context, queue, (fd) => {
    asked.out_veventq_id = queue.id;
    asked.out_veventq_fd = fd;
    return respond();
  });
});
