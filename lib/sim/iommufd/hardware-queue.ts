/** Queues of the hardware in a guest's memory. The order of checks is that of the kernel's viommu.c. */
import { errno } from '../../abi/errno.js';
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_HW_QUEUE_TYPE_DEFAULT, iommu_hw_queue_alloc } from '../../abi/iommufd/viommu.js';
import { Access, type Pinned } from './access.js';
import type { HardwareQueueHardware, HardwareQueueHost, MakeHardwareQueue } from './hardware.js';
import { top } from './ioas.js';
import { IommufdObject } from './objects.js';
import { operation, type Context } from './operation.js';
import { VirtualIommu } from './virtual-iommu.js';

const pageSize = 4096n;
/** The kernel lists the pages in memory, by pointers, and gives no list as long as this. */
const mostPages = 2n ** 31n / 8n;

class HardwareQueue extends IommufdObject implements HardwareQueueHost {
  readonly index: number;
  readonly #viommu: VirtualIommu;
  /** What the kernel holds pages by. */
  readonly #access: Access;
  /** The pages it lies in. */
  #pinned: Pinned | undefined;
  #needs: HardwareQueueHost | undefined;
  #hardware: HardwareQueueHardware | undefined;

  constructor(context: Context, viommu: VirtualIommu, index: number) {
    super();
    this.#viommu = viommu;
    this.index = index;
    viommu.users += 1;
    context.objects.add(this);
    this.#access = Access.create(context);
  }

  dependOn(other: HardwareQueueHost): void {
    other.users += 1;
    this.#needs = other;
  }

  /** iommufd_hw_queue_alloc_phys, then the driver's part: 0 or -errno. */
  start(make: MakeHardwareQueue, iova: bigint, length: bigint): number {
    const refused = this.#access.attachTo(this.#viommu.parent.ioas);
    if (refused !== 0) return refused;
    const [start, last] = [iova & -pageSize, (iova + length - 1n) | (pageSize - 1n)];
    const pinned = this.#access.pin(start, last - start + 1n, false);
    if (typeof pinned === 'number') return pinned;
    this.#pinned = pinned;
    // No two pages of a process are neighbours in physical memory here.
    if (last - start >= pageSize) return -errno.EFAULT;
    const hardware = make(this);
    if (typeof hardware === 'number') return hardware;
    this.#hardware = hardware;
    return 0;
  }

  override release(): void {
    this.#hardware?.release();
    if (this.#needs !== undefined) this.#needs.users -= 1;
    this.#pinned?.release();
    this.#access.unbind();
    this.#viommu.users -= 1;
  }
}

export const allocateHardwareQueue = operation(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, (context, asked, { respond }) => {
  const { objects } = context;
  const { type, length, nesting_parent_iova: iova } = asked;
  if (asked.flags !== 0 || type === IOMMU_HW_QUEUE_TYPE_DEFAULT) return -errno.EOPNOTSUPP;
  if (length === 0n) return -errno.EINVAL;
  if (iova + length - 1n > top) return -errno.EOVERFLOW;
  const viommu = objects.find(asked.viommu_id, VirtualIommu);
  if (viommu === undefined) return -errno.ENOENT;
  const make = viommu.hardware.hardwareQueues?.(type);
  if (make === undefined) return -errno.EOPNOTSUPP;
  const rounded = (iova % pageSize) + length + pageSize - 1n;
  if (rounded > top) return -errno.ERANGE;
  if (rounded / pageSize >= mostPages) return -errno.ENOMEM;
  const queue = new HardwareQueue(context, viommu, asked.index);
  let result = queue.start(make, iova, length);
  asked.out_hw_queue_id = queue.id;
  if (result === 0) result = respond();
  if (result !== 0) objects.destroy(queue.id);
  return result;
});
