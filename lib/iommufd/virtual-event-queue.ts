import { BadAnswerError } from '../abi/chain.js';
import { IOMMU_VEVENTQ_ALLOC, IOMMU_VEVENTQ_FLAG_LOST_EVENTS, iommu_veventq_alloc, iommufd_vevent_header } from '../abi/iommufd/viommu.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { check, checkedInteger } from '../kernel/error.js';
import type { Resource } from '../kernel/resource.js';
import { EventQueue, type QueueIds } from './event-queue.js';

/** How a type of event looks: a struct of `vfio/abi`. */
export interface EventLayout<Data> {
  readonly size: number;
  copy(bytes: Uint8Array): Data;
}

export interface VirtualEventQueueOptions<Data> {
  /** One of IOMMU_VEVENTQ_TYPE_. */
  readonly type: number;
  /** The struct of that type: `iommu_vevent_arm_smmuv3`. */
  readonly layout: EventLayout<Data>;
  /** Events that the kernel keeps; more are lost until some are read. At most 2^19. Default: 256. */
  readonly depth?: number;
}

export interface VirtualIommuEvent<Data> {
  /** Counts all events, those that were lost too, with 31 bits. */
  readonly sequence: number;
  /** How many were lost between the one before and this. */
  readonly lost: number;
  /** Undefined: that events were lost is all there is to say, and they came last. */
  readonly data: Data | undefined;
}

const headerSize = iommufd_vevent_header.size;
const sequences = 0x8000_0000;
/** Events to read at once. */
const room = 64;

/**
 * Events of one type that the IOMMU has for the guest, as the hardware would write them, with the guest's names of devices.
 * `VirtualIommu.createEventQueue` is the way to it. Linux 6.15.
 */
export class VirtualEventQueue<Data> extends EventQueue<VirtualIommuEvent<Data>> {
  readonly #layout: EventLayout<Data>;
  /** The number of the event that comes next, if none is lost. */
  #next = 0;

  private constructor(owner: Resource, iommufd: Descriptor, ids: QueueIds, layout: EventLayout<Data>) {
    super(owner, iommufd, 'event queue', ids);
    this.#layout = layout;
  }

  /** @internal */
  static create<Data>(
    owner: Resource & { readonly id: number },
    iommufd: Descriptor,
    { type, layout, depth = 256 }: VirtualEventQueueOptions<Data>,
  ): VirtualEventQueue<Data> {
    owner.assertOpen();
    const request = iommu_veventq_alloc.create();
    request.size = iommu_veventq_alloc.size;
    request.viommu_id = owner.id;
    request.type = checkedInteger('type', type);
    request.veventq_depth = checkedInteger('depth', depth);
    iommufd.ioctl(IOMMU_VEVENTQ_ALLOC, request.bytes);
    return new VirtualEventQueue(owner, iommufd, { id: request.out_veventq_id, fd: request.out_veventq_fd }, layout);
  }

  protected override take(): readonly VirtualIommuEvent<Data>[] {
    const events: VirtualIommuEvent<Data>[] = [];
    for (;;) {
      const bytes = new Uint8Array(room * (headerSize + this.#layout.size));
      const length = check(this.events.kernel.read(this.events.fd, bytes), { syscall: 'read', path: this.label });
      if (length === 0) return events;
      events.push(...this.#decode(bytes.subarray(0, length)));
    }
  }

  #decode(bytes: Uint8Array): VirtualIommuEvent<Data>[] {
    const events: VirtualIommuEvent<Data>[] = [];
    for (let at = 0; at < bytes.byteLength; ) {
      const { flags, sequence } = iommufd_vevent_header.copy(bytes.subarray(at, at + headerSize));
      const lostMore = (flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) !== 0;
      const end = at + headerSize + (lostMore ? 0 : this.#layout.size);
      if (end > bytes.byteLength) throw new BadAnswerError('an event that is shorter than its layout', bytes);
      // What says that events were lost is itself numbered as the last of them.
      const lost = (sequence - this.#next + (lostMore ? 1 : 0) + sequences) % sequences;
      events.push({ sequence, lost, data: lostMore ? undefined : this.#layout.copy(bytes.subarray(at + headerSize, end)) });
      this.#next = (sequence + 1) % sequences;
      at = end;
    }
    return events;
  }
}
